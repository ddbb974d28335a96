// Package nethttp is the front end over net/http and quic-go's http3: it
// owns the sockets, and turns what those servers read into exchanges and
// exchanges back into bytes. *http.Request does not leave this package.
package nethttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Config says where a Front listens and whom it feeds.
type Config struct {
	// HTTPS are served over TCP (HTTP/1.1, HTTP/2) and UDP (HTTP/3).
	HTTPS []netip.AddrPort
	HTTP  []netip.AddrPort
	// TLS picks a site's certificate and policy; it serves TCP and QUIC.
	TLS *tls.Config
	// ResetKey makes this node's QUIC stateless resets (RFC 9000, 10.3).
	ResetKey quic.StatelessResetKey
	// TokenKey seals its address validation tokens (RFC 9000, 8.1).
	TokenKey quic.TokenGeneratorKey

	Handler  exchange.Handler
	Limits   limits.Limits
	Counters *limits.Counters
	// Drain bounds how long requests may take to end once told to stop.
	Drain time.Duration
	Log   *zap.Logger
}

// Front listens and serves.
type Front struct {
	// Static after Listen.
	conf  Config
	met   *metrics
	tcp   []*endpoint
	udp   []*quicEndpoint
	conns *perClient

	// inflight counts exchanges, tunnels included; Run waits for them.
	inflight tally
}

// endpoint is one TCP listener and its server.
type endpoint struct {
	ln     net.Listener
	server *http.Server
	secure bool
}

// quicEndpoint is one UDP socket and its server.
type quicEndpoint struct {
	conn      *net.UDPConn
	transport *quic.Transport
	ln        *quic.EarlyListener
	server    *http3.Server
}

// Listen opens all sockets, so that a taken port is known before anything
// else starts. Nothing is accepted before Run.
func Listen(conf Config, reg prometheus.Registerer) (*Front, error) {
	f := &Front{conf: conf, conns: newPerClient(conf.Limits.ConnsPerClient, conf.Counters)}
	f.met = newMetrics(reg, &f.inflight)
	for _, addr := range conf.HTTP {
		if err := f.listenTCP(addr, false); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	for _, addr := range conf.HTTPS {
		if err := f.listenTCP(addr, true); err != nil {
			return nil, errors.Join(err, f.close())
		}
		// With port 0 TCP chose the port; QUIC must have the same.
		addr = f.tcp[len(f.tcp)-1].ln.Addr().(*net.TCPAddr).AddrPort()
		if err := f.listenQUIC(addr); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

func (f *Front) listenTCP(addr netip.AddrPort, secure bool) error {
	ln, err := net.Listen("tcp", addr.String())
	if err != nil {
		return explain("tcp", addr, err)
	}
	f.tcp = append(f.tcp, &endpoint{ln: &listener{Listener: ln, front: f, secure: secure}, secure: secure})
	return nil
}

func (f *Front) listenQUIC(addr netip.AddrPort) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return explain("udp", addr, err)
	}
	transport := &quic.Transport{
		Conn:               conn,
		StatelessResetKey:  &f.conf.ResetKey,
		TokenGeneratorKey:  &f.conf.TokenKey,
		ConnectionIDLength: 8,
	}
	ln, err := transport.ListenEarly(http3.ConfigureTLSConfig(f.conf.TLS), &quic.Config{
		HandshakeIdleTimeout:  f.conf.Limits.HandshakeTime / 2,
		MaxIdleTimeout:        f.conf.Limits.IdleTime,
		MaxIncomingStreams:    int64(f.conf.Limits.Streams),
		MaxIncomingUniStreams: 8,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("listen for QUIC on %s: %w", addr, err), conn.Close())
	}
	f.udp = append(f.udp, &quicEndpoint{conn: conn, transport: transport, ln: ln})
	return nil
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

// HTTPSAddrs returns the addresses of the TLS listeners.
func (f *Front) HTTPSAddrs() []netip.AddrPort { return f.addrs(true) }

// HTTPAddrs returns the addresses of the plain listeners.
func (f *Front) HTTPAddrs() []netip.AddrPort { return f.addrs(false) }

func (f *Front) addrs(secure bool) (out []netip.AddrPort) {
	for _, e := range f.tcp {
		if e.secure == secure {
			out = append(out, e.ln.Addr().(*net.TCPAddr).AddrPort())
		}
	}
	return out
}

// Run serves until ctx is done, then drains: HTTP/2 and HTTP/3 clients get
// GOAWAY, HTTP/1.1 clients Connection: close, and requests in flight may
// end within Config.Drain.
func (f *Front) Run(ctx context.Context, ready func()) error {
	// Exchanges outlive ctx, to the end of the drain.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	failed := make(chan error, len(f.tcp)+len(f.udp))
	var servers sync.WaitGroup
	for _, e := range f.tcp {
		e.server = f.newServer(base, e.secure)
		servers.Go(func() { failed <- e.serve() })
	}
	for _, e := range f.udp {
		e.server = f.newQUICServer(base, e)
		servers.Go(func() { failed <- e.serve(f) })
	}
	ready()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	err = errors.Join(err, f.drain(cut))
	servers.Wait()
	return err
}

func (e *endpoint) serve() error {
	serve := e.server.Serve
	if e.secure {
		serve = func(ln net.Listener) error { return e.server.ServeTLS(ln, "", "") }
	}
	if err := serve(e.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", e.ln.Addr(), err)
	}
	return nil
}

func (e *quicEndpoint) serve(f *Front) error {
	err := e.server.ServeListener(&quicListener{EarlyListener: e.ln, front: f})
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve QUIC %s: %w", e.conn.LocalAddr(), err)
	}
	return nil
}

// drain tells every client to go and waits for requests in flight, to the
// limit; then cut cancels what is left and the sockets close.
func (f *Front) drain(cut context.CancelFunc) error {
	ctx, cancel := context.WithTimeout(context.Background(), f.conf.Drain)
	defer cancel()
	var tcp, all sync.WaitGroup
	for _, e := range f.tcp {
		e.server.SetKeepAlivesEnabled(false)
		shutdown := func() { _ = e.server.Shutdown(ctx) } // what it could not end is cut below
		tcp.Go(shutdown)
	}
	for _, e := range f.udp {
		all.Go(func() { _ = e.server.Shutdown(ctx) })
	}
	tcp.Wait()
	// Over TCP nothing new can come now; left are tunnels, and streams of
	// QUIC clients, which keep their connections open after GOAWAY.
	select {
	case <-f.inflight.idle():
	case <-ctx.Done():
		left := f.inflight.count()
		f.conf.Log.Warn("drain limit reached, cutting the requests that are left",
			zap.Duration("limit", f.conf.Drain), zap.Int("requests", left))
		f.met.cut.Add(float64(left))
	}
	cut()
	cancel()
	err := f.close()
	all.Wait()
	<-f.inflight.idle()
	return err
}

// close closes every socket that is open, connections included.
func (f *Front) close() (err error) {
	for _, e := range f.tcp {
		if e.server != nil {
			err = errors.Join(err, e.server.Close())
		} else {
			err = errors.Join(err, e.ln.Close())
		}
	}
	for _, e := range f.udp {
		if e.server != nil {
			err = errors.Join(err, e.server.Close())
		}
		err = errors.Join(err, e.ln.Close(), e.transport.Close(), e.conn.Close())
	}
	return err
}
