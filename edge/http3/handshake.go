package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// refuseAt is how many times limits.HalfOpen handshakes may be in progress
// at most, those of clients with a proven address included.
const refuseAt = 4

var errTooManyHandshakes = errors.New("too many handshakes in progress")

// gate counts the handshakes in progress of one endpoint. Over the limit
// it makes clients show first that their address is theirs (RFC 9000,
// 8.1.2), which costs us no memory; far over it nobody gets in.
type gate struct {
	// Static after construction.
	limit    int64
	counters *limits.Counters

	inProgress atomic.Int64
}

// verify implements quic.Transport.VerifySourceAddress.
func (g *gate) verify(net.Addr) bool {
	if g.inProgress.Load() < g.limit {
		return false
	}
	g.counters.Hit(limits.HalfOpen)
	return true
}

// enter implements quic.Transport.ConnContext. ctx ends with the
// connection, or when its handshake fails.
func (g *gate) enter(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if g.inProgress.Load() >= refuseAt*g.limit {
		g.counters.Hit(limits.HalfOpen)
		return nil, errTooManyHandshakes
	}
	g.inProgress.Add(1)
	h := &handshake{gate: g}
	h.forget = context.AfterFunc(ctx, func() { h.failed(context.Cause(ctx)) })
	return context.WithValue(ctx, handshakeKey{}, h), nil
}

// handshakeKey finds a connection's handshake in its context: quic-go has no
// other way from ConnContext to the connection.
type handshakeKey struct{}

// handshake is one of those that a gate counts.
type handshake struct {
	gate   *gate
	over   atomic.Bool
	forget func() bool // ends the watch over the connection's context
}

// failed ends a handshake that was not completed.
func (h *handshake) failed(why error) {
	var late *quic.HandshakeTimeoutError
	if errors.As(why, &late) || silent(why) {
		h.gate.counters.Hit(limits.HandshakeTime)
	}
	h.end()
}

// end takes the handshake off the count, the first time.
func (h *handshake) end() {
	if h.over.CompareAndSwap(false, true) {
		h.gate.inProgress.Add(-1)
	}
}

// handshakeDone notes that the handshake of a connection was completed.
func handshakeDone(ctx context.Context) {
	if h, ok := ctx.Value(handshakeKey{}).(*handshake); ok {
		h.end()
		h.forget()
	}
}

// serverTLS makes conf, and the configurations that it picks by server
// name, fit for HTTP/3: ALPN, TLS 1.3 (RFC 9001, 4.2), and tickets that
// remember the settings they were given under.
func serverTLS(conf *tls.Config, lim *limits.Limits) *tls.Config {
	conf = conf.Clone()
	conf.NextProtos = []string{NextProto}
	conf.MinVersion = tls.VersionTLS13
	rememberSettings(conf, append([]byte(settingsMark), appendControlStart(nil, lim)...))
	if pick := conf.GetConfigForClient; pick != nil {
		conf.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			picked, err := pick(hello)
			if picked == nil || err != nil {
				return picked, err
			}
			return serverTLS(picked, lim), nil
		}
	}
	return conf
}

// settingsMark tells our part of a ticket from others'.
const settingsMark = "landfall h3 settings 1 "

// rememberSettings puts mark into every ticket, and allows early data only
// with a ticket that has it: a client that sends early data holds us to the
// settings of its last connection (RFC 9114, 7.2.4.2).
func rememberSettings(conf *tls.Config, mark []byte) {
	wrap, unwrap := conf.WrapSession, conf.UnwrapSession
	if wrap == nil {
		wrap = conf.EncryptTicket
	}
	if unwrap == nil {
		unwrap = conf.DecryptTicket
	}
	conf.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra, mark)
		return wrap(cs, ss)
	}
	conf.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := unwrap(identity, cs)
		if ss != nil && ss.EarlyData {
			ss.EarlyData = false
			for _, extra := range ss.Extra {
				ss.EarlyData = ss.EarlyData || bytes.Equal(extra, mark)
			}
		}
		return ss, err
	}
}
