package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/http3"
)

// The codes of RFC 9114, 8.1, for connections that are not served.
const (
	noError       quic.ApplicationErrorCode = 0x100
	excessiveLoad quic.ApplicationErrorCode = 0x107
)

// quicEndpoint is one UDP socket.
type quicEndpoint struct{ *http3.Listener }

func (f *Front) listenQUIC(addr netip.AddrPort) error {
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return explain("udp", addr, err)
	}
	ln, err := http3.Listen(socket, http3.ListenConfig{
		TLS: f.conf.TLS, ResetKey: f.conf.ResetKey, TokenKey: f.conf.TokenKey,
		Limits: f.conf.Limits, Counters: f.conf.Counters, Log: f.conf.Log,
	})
	if err != nil {
		return err
	}
	f.udp = append(f.udp, &quicEndpoint{ln})
	return nil
}

// acceptQUIC takes connections within the bound per client, until the
// listener stops.
func (f *Front) acceptQUIC(base context.Context, e *quicEndpoint) error {
	for {
		qc, err := e.Accept(base)
		switch {
		case err == nil:
			f.admitQUIC(base, e, qc)
		case errors.Is(err, quic.ErrServerClosed) || base.Err() != nil:
			return nil
		default:
			return fmt.Errorf("serve QUIC on %s: %w", e.Addr(), err)
		}
	}
}

func (f *Front) admitQUIC(base context.Context, e *quicEndpoint, qc *quic.Conn) {
	remote := addrPort(qc.RemoteAddr())
	q := &quicConn{front: f, qc: qc, client: clientOf(remote.Addr())}
	state := qc.ConnectionState().TLS
	q.tls = exchange.TLS{
		Version:    state.Version,
		ServerName: strings.ToLower(strings.TrimSuffix(state.ServerName, ".")),
		ALPN:       state.NegotiatedProtocol,
		Resumed:    state.DidResume,
	}
	s := f.http3.Conn(qc, exchange.Request{
		Scheme: "https", Client: remote, Local: addrPort(e.Addr()), TLS: &q.tls, Conn: &q.shared,
	})
	q.connection.close = func() { q.refuse(noError, "the node stops") }
	if !f.open.add(&q.connection, s, speaksHTTP3) {
		q.refuse(noError, "the node drains")
		return
	}
	go q.serve(base, s)
}

// serve serves early data at once, and counts the connection for its client
// when the handshake has shown that the address is the client's own: who
// forges addresses must not use up somebody else's bound.
func (q *quicConn) serve(base context.Context, s served) {
	defer q.front.open.remove(&q.connection)
	counted := make(chan bool, 1)
	go func() {
		select {
		case <-q.qc.HandshakeComplete():
		case <-q.qc.Context().Done():
			counted <- false
			return
		}
		ok := q.front.perClient.acquire(q.client)
		if !ok {
			q.refuse(excessiveLoad, "too many connections")
		}
		counted <- ok
	}()
	s.Serve(base)
	if <-counted {
		q.front.perClient.release(q.client)
	}
}

// quicConn is a client's QUIC connection.
type quicConn struct {
	connection

	// Static after accept.
	front  *Front
	qc     *quic.Conn
	client netip.Addr
	tls    exchange.TLS
	shared exchange.Conn
}

func (q *quicConn) refuse(code quic.ApplicationErrorCode, why string) {
	_ = q.qc.CloseWithError(code, why) // nothing more can be said
}
