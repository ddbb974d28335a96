package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/quic-go/quic-go"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// ListenConfig is what a UDP endpoint needs.
type ListenConfig struct {
	// TLS picks certificates and policy; its ALPN tokens are replaced.
	TLS *tls.Config
	// ResetKey makes this node's stateless resets (RFC 9000, 10.3).
	ResetKey quic.StatelessResetKey
	// TokenKey seals its address validation tokens (RFC 9000, 8.1).
	TokenKey quic.TokenGeneratorKey

	Limits   limits.Limits
	Counters *limits.Counters
	Log      *zap.Logger
}

const (
	// connIDLength is the length of our connection IDs in bytes.
	connIDLength = 8
	// uniStreams is how many unidirectional streams a client may have open:
	// the three that RFC 9114 and RFC 9204 define, and a few that are
	// reserved to be ignored.
	uniStreams = 8
)

// Listener is a UDP endpoint that accepts QUIC connections for HTTP/3.
type Listener struct {
	// Static after Listen.
	socket    *net.UDPConn
	transport *quic.Transport
	ln        *quic.EarlyListener
	gate      *gate
}

// Listen accepts QUIC connections on conn, which the Listener owns from now
// on, also when it fails. What the kernel does not give, and transfers will
// be slower for, is logged.
func Listen(conn *net.UDPConn, conf ListenConfig) (*Listener, error) {
	if conf.Log == nil {
		conf.Log = zap.NewNop()
	}
	tuneSocket(conn).log(conf.Log.With(zap.Stringer("listen", conn.LocalAddr())))
	gate := &gate{limit: int64(conf.Limits.HalfOpen), counters: conf.Counters}
	transport := &quic.Transport{
		Conn:                conn,
		StatelessResetKey:   &conf.ResetKey,
		TokenGeneratorKey:   &conf.TokenKey,
		ConnectionIDLength:  connIDLength,
		VerifySourceAddress: gate.verify,
		ConnContext:         gate.enter,
	}
	ln, err := transport.ListenEarly(serverTLS(conf.TLS, &conf.Limits), quicConfig(&conf.Limits))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for QUIC on %s: %w", conn.LocalAddr(), err), transport.Close(), conn.Close())
	}
	return &Listener{socket: conn, transport: transport, ln: ln, gate: gate}, nil
}

func quicConfig(lim *limits.Limits) *quic.Config {
	stream, conn := uint64(lim.StreamWindow), uint64(lim.ConnWindow)
	return &quic.Config{
		// quic-go ends a handshake after twice this time at the latest.
		HandshakeIdleTimeout:           lim.HandshakeTime / 2,
		MaxIdleTimeout:                 lim.IdleTime,
		InitialStreamReceiveWindow:     stream,
		MaxStreamReceiveWindow:         max(stream, conn),
		InitialConnectionReceiveWindow: min(2*stream, max(stream, conn)),
		MaxConnectionReceiveWindow:     max(stream, conn),
		MaxIncomingStreams:             int64(lim.Streams),
		MaxIncomingUniStreams:          uniStreams,
		Allow0RTT:                      true,
	}
}

// Addr returns the address of the socket.
func (l *Listener) Addr() net.Addr { return l.socket.LocalAddr() }

// Accept returns the next connection. Its handshake may still be in
// progress; until it is done, what comes is early data. An error is final.
func (l *Listener) Accept(ctx context.Context) (*quic.Conn, error) { return l.ln.Accept(ctx) }

// Stop accepts no more connections: handshakes in progress are refused,
// connections that Accept has returned go on.
func (l *Listener) Stop() error { return l.ln.Close() }

// Close closes the socket. Connections that are still open end without a
// word to their clients.
func (l *Listener) Close() error {
	return errors.Join(l.ln.Close(), l.transport.Close(), l.socket.Close())
}
