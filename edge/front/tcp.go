package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/http2"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// endpoint is one TCP listener.
type endpoint struct {
	ln     net.Listener
	secure bool
}

func (f *Front) listenTCP(addr netip.AddrPort, secure bool) (netip.AddrPort, error) {
	ln, err := (&net.ListenConfig{Control: f.socketOptions}).Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return addr, explain("tcp", addr, err)
	}
	f.tcp = append(f.tcp, &endpoint{ln: ln, secure: secure})
	return addrPort(ln.Addr()), nil
}

// socketOptions sets what accepted sockets inherit: the kernel drops a
// connection whose peer takes nothing of what was sent, when the program
// has long handed everything over (RFC 5482).
func (f *Front) socketOptions(_, _ string, c syscall.RawConn) error {
	patience := 3 * f.conf.Limits.BodyStall
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(patience.Milliseconds()))
	}); cerr != nil {
		return cerr
	}
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", err)
}

// explain says what an operator can do about a socket that does not open.
func explain(network string, addr netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s %s: the port is in use by another program (ss -lnp names it)", network, addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s %s: no permission for this port; use one above 1023 or grant CAP_NET_BIND_SERVICE", network, addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s %s: this machine has no such address", network, addr)
	}
	return fmt.Errorf("listen on %s %s: %w", network, addr, err)
}

// retryAccept is how long accepting rests when there are no descriptors or
// no memory for another connection.
const retryAccept = 50 * time.Millisecond

// accept takes connections within the bound per client, until the listener
// is closed.
func (f *Front) accept(base context.Context, e *endpoint) {
	for {
		c, err := e.ln.Accept()
		switch {
		case err == nil:
			f.admit(base, c, e.secure)
		case errors.Is(err, net.ErrClosed):
			return
		case exhausted(err):
			f.conf.Log.Warn("cannot accept a connection", zap.Error(err))
			rest := time.NewTimer(retryAccept)
			select {
			case <-rest.C:
			case <-base.Done():
				rest.Stop()
			}
		default: // the connection was gone before it was accepted
		}
	}
}

func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

func (f *Front) admit(base context.Context, c net.Conn, secure bool) {
	client := clientOf(addrPort(c.RemoteAddr()).Addr())
	if !f.perClient.acquire(client) {
		_ = c.Close() // refused: nothing was read or written
		return
	}
	lim := &f.conf.Limits
	t := &tcpConn{
		front: f, client: client,
		wire:   wire.NewConn(c, secure, wire.Pace{Stall: lim.BodyStall, Rate: lim.MinRate}),
		shaken: !secure,
		base: exchange.Request{
			Scheme: "http", Client: addrPort(c.RemoteAddr()), Local: addrPort(c.LocalAddr()),
		},
	}
	t.base.Conn = &t.shared
	if secure {
		_ = t.wire.SetReadDeadline(time.Now().Add(lim.HandshakeTime)) // an error shows in the handshake
	}
	t.connection.close = func() { _ = c.Close() } // whoever uses it gets the error
	if !f.open.add(&t.connection, t, shaking) {
		t.refuse()
		return
	}
	if secure {
		go t.shake(base)
		return
	}
	go t.serve(base, t.server(&wire.Plain{Conn: t.wire}, ""))
}

// tcpConn is a client's TCP connection.
type tcpConn struct {
	connection

	// Static after accept, but for base.TLS, set by the handshake.
	front  *Front
	client netip.Addr
	wire   *wire.Conn
	base   exchange.Request
	shared exchange.Conn
	tls    exchange.TLS

	mu sync.Mutex
	// Guarded by mu.
	shaken bool
}

// hurried is what a handshake may still take once the node drains.
const hurried = time.Second

// Drain implements session, for the handshake.
func (t *tcpConn) Drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.shaken {
		_ = t.wire.SetReadDeadline(time.Now().Add(hurried)) // an error shows in the handshake
	}
}

// Retire implements session: what follows the handshake is retired.
func (*tcpConn) Retire() {}

// done ends the handshake's time: from here on deadlines are the server's.
func (t *tcpConn) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shaken = true
	_ = t.wire.SetReadDeadline(time.Time{}) // an error shows in the next read
}

// shake does the handshake, which takes a deep stack; serving gets a
// goroutine of its own.
func (t *tcpConn) shake(base context.Context) {
	secure := tls.Server(t.wire, t.front.conf.TLS)
	if err := secure.Handshake(); err != nil {
		t.failed(err)
		return
	}
	t.done()
	state := secure.ConnectionState()
	if state.Version < tls.VersionTLS13 {
		// The last flight is ours, and the client waits for it. In TLS 1.3 it
		// is tickets, which go with the first answer.
		if err := t.wire.Flush(); err != nil {
			t.end()
			return
		}
	}
	t.tls = exchange.TLS{
		Version:    state.Version,
		ServerName: strings.ToLower(strings.TrimSuffix(state.ServerName, ".")),
		ALPN:       state.NegotiatedProtocol,
		Resumed:    state.DidResume,
	}
	t.base.Scheme, t.base.TLS = "https", &t.tls
	s := t.server(&wire.Plain{Conn: t.wire, TLS: secure}, state.NegotiatedProtocol)
	if s == nil {
		t.end()
		return
	}
	go t.serve(base, s)
}

// failed ends a handshake that did not succeed. The alert that says why has
// been gathered.
func (t *tcpConn) failed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.front.conf.Counters.Hit(limits.HandshakeTime)
	}
	var header tls.RecordHeaderError
	if errors.As(err, &header) && header.Conn != nil && looksLikeHTTP(header.RecordHeader) {
		_, _ = io.WriteString(t.wire, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"+
			"This port speaks HTTPS: use https:// here.\n")
	}
	t.front.met.handshakeFailures.Inc()
	t.refuse()
}

// looksLikeHTTP reports whether what came instead of a TLS record begins a
// request line.
func looksLikeHTTP(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}

// refuse closes a connection that is not served.
func (t *tcpConn) refuse() {
	_ = t.wire.Close()
	t.wire.Release()
	t.end()
}

func (t *tcpConn) end() {
	t.front.perClient.release(t.client)
	t.front.open.remove(&t.connection)
}

// served is a connection in the hands of a version's server.
type served interface {
	session
	Serve(ctx context.Context)
}

// speaks returns what a connection in the hands of s counts as.
func speaks(s served) stage {
	if _, ok := s.(*http2.Conn); ok {
		return speaksHTTP2
	}
	return speaksHTTP1
}

// server returns what serves the connection; nil when nothing does, and it
// is closed.
func (t *tcpConn) server(p *wire.Plain, protocol string) served {
	switch protocol {
	case "h2":
		return t.front.http2.Conn(p, t.base)
	case "", "http/1.1":
		return t.front.http1.Conn(p, t.base)
	}
	// The handshake was all that was wanted (RFC 8737, 3).
	_ = p.Close()
	p.Release()
	return nil
}

// serve has nothing on its stack but s: that of a connection that idles is
// most of what it costs.
func (t *tcpConn) serve(base context.Context, s served) {
	defer t.end()
	t.front.open.becomes(&t.connection, s, speaks(s))
	s.Serve(base)
}
