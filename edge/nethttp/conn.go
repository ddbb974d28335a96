package nethttp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// perClient bounds the open connections of each client address.
type perClient struct {
	limit    int
	counters *limits.Counters

	// Guarded by mu.
	mu   sync.Mutex
	open map[netip.Addr]int
}

func newPerClient(limit int, counters *limits.Counters) *perClient {
	return &perClient{limit: limit, counters: counters, open: map[netip.Addr]int{}}
}

// clientOf is the unit that the bound counts by: a host in IPv4, a /64 in
// IPv6, where one host has as many addresses as it likes.
func clientOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // cannot fail: 64 is within 128
		return p.Addr()
	}
	return a
}

func (p *perClient) acquire(client netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[client] >= p.limit {
		p.counters.Hit(limits.ConnsPerClient)
		return false
	}
	p.open[client]++
	return true
}

func (p *perClient) release(client netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[client]--; p.open[client] == 0 {
		delete(p.open, client)
	}
}

// listener accepts connections within the bound per client, and wraps
// each so that a deadline that passes is counted under its limit's name.
type listener struct {
	net.Listener
	front  *Front
	secure bool
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client := clientOf(addrPort(c.RemoteAddr()).Addr())
		if !l.front.conns.acquire(client) {
			_ = c.Close() // refused: nothing was read or written
			continue
		}
		own := &conn{Conn: c, front: l.front, client: client}
		if !l.secure {
			own.phase.Store(active) // from the start a head is waited for
		}
		return own, nil
	}
}

// phase is what a connection is waiting for.
type phase = uint32

const (
	handshaking phase = iota
	active            // a head
	reading           // a request's body
	idle
)

// conn is a client's TCP connection, below TLS.
type conn struct {
	net.Conn
	front  *Front
	client netip.Addr
	phase  atomic.Uint32
	closed sync.Once
	cut    sync.Once // counts the deadline that ended it
	// aborting is whether net/http stops a read of its own, which it does
	// by a deadline in the distant past.
	aborting atomic.Bool

	// shaken is whether the handshake's deadline was set; owned by the
	// goroutine that serves the connection.
	shaken bool
}

var longAgo = time.Unix(1<<20, 0)

// SetReadDeadline implements net.Conn. The first deadline that net/http
// sets on a TLS connection is that of the handshake, for which it has no
// setting of its own; with the next, the handshake is over.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.aborting.Store(!t.IsZero() && t.Before(longAgo))
	switch {
	case c.phase.Load() != handshaking:
	case c.shaken:
		c.phase.CompareAndSwap(handshaking, active)
	default:
		c.shaken = true
		t = time.Now().Add(c.front.conf.Limits.HandshakeTime)
	}
	return c.Conn.SetReadDeadline(t)
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && !c.aborting.Load() {
		c.cut.Do(c.countTimeout)
	}
	return n, err
}

// CloseWrite ends our direction only.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// countTimeout names the limit behind a read deadline that has passed.
// Deadlines within a body are counted where they are set.
func (c *conn) countTimeout() {
	switch c.phase.Load() {
	case handshaking:
		c.front.conf.Counters.Hit(limits.HandshakeTime)
	case idle:
		c.front.conf.Counters.Hit(limits.IdleTime)
	case active:
		c.front.conf.Counters.Hit(limits.HeaderTime)
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closed.Do(func() { c.front.conns.release(c.client) })
	return c.Conn.Close()
}

// connState follows net/http's view of a connection.
func connState(c net.Conn, state http.ConnState) {
	own := below(c)
	switch state {
	case http.StateActive:
		own.phase.Store(active)
	case http.StateIdle:
		own.phase.Store(idle)
	default: // a new connection has its phase; of others nothing is read
	}
}

// below returns our connection under net/http's.
func below(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*conn) // every listener of ours makes these
}

// quicListener accepts QUIC connections within the bound per client.
type quicListener struct {
	*quic.EarlyListener
	front *Front
}

// Accept implements http3.QUICListener.
func (l *quicListener) Accept(ctx context.Context) (*quic.Conn, error) {
	for {
		c, err := l.EarlyListener.Accept(ctx)
		if err != nil {
			return nil, err
		}
		client := clientOf(addrPort(c.RemoteAddr()).Addr())
		if !l.front.conns.acquire(client) {
			_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many connections")
			continue
		}
		context.AfterFunc(c.Context(), func() { l.front.conns.release(client) })
		return c, nil
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
