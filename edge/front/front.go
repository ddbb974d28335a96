// Package front owns a node's sockets: it accepts, shakes hands, bounds
// what one client may hold open, gives each connection to the server of its
// HTTP version, and drains them all. It never looks into a request.
package front

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/http1"
	"github.com/landfall-cdn/landfall/edge/http2"
	"github.com/landfall-cdn/landfall/edge/http3"
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
	http1 *http1.Server
	http2 *http2.Server
	http3 *http3.Server

	perClient *perClient
	open      *open
	// inFlight counts exchanges, tunnels included.
	inFlight atomic.Int64
	tunnels  atomic.Int64
}

// Listen opens all sockets, so that a taken port is known before anything
// else starts. Nothing is accepted before Run.
func Listen(conf Config, reg prometheus.Registerer) (*Front, error) {
	f := &Front{conf: conf, perClient: newPerClient(conf.Limits.ConnsPerClient, conf.Counters), open: newOpen()}
	f.met = newMetrics(reg, f)
	f.http1 = http1.New(http1.Config{
		Handler: conf.Handler, Limits: conf.Limits, Counters: conf.Counters, Log: conf.Log, InFlight: &f.inFlight, Tunnels: &f.tunnels,
	}, reg)
	f.http2 = http2.New(http2.Config{
		Handler: conf.Handler, Limits: conf.Limits, Counters: conf.Counters, Log: conf.Log, InFlight: &f.inFlight, Tunnels: &f.tunnels,
	}, reg)
	f.http3 = http3.New(http3.Config{
		Handler: conf.Handler, Limits: conf.Limits, Counters: conf.Counters, Log: conf.Log, InFlight: &f.inFlight, Tunnels: &f.tunnels,
	}, reg)
	if err := f.listen(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *Front) listen() error {
	for _, addr := range f.conf.HTTP {
		if _, err := f.listenTCP(addr, false); err != nil {
			return err
		}
	}
	for _, addr := range f.conf.HTTPS {
		// With port 0 TCP chooses the port; QUIC must have the same.
		chosen, err := f.listenTCP(addr, true)
		if err == nil {
			err = f.listenQUIC(chosen)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// HTTPSAddrs returns the addresses of the TLS listeners.
func (f *Front) HTTPSAddrs() []netip.AddrPort { return f.addrs(true) }

// HTTPAddrs returns the addresses of the plain listeners.
func (f *Front) HTTPAddrs() []netip.AddrPort { return f.addrs(false) }

func (f *Front) addrs(secure bool) (out []netip.AddrPort) {
	for _, e := range f.tcp {
		if e.secure == secure {
			out = append(out, addrPort(e.ln.Addr()))
		}
	}
	return out
}

// Counts is what is open at one moment.
type Counts struct {
	// Connections by what they speak; those in a TLS handshake over TCP
	// speak nothing yet.
	Handshakes, HTTP1, HTTP2, HTTP3 int
	// Earlier are those that were there when SetDraining(true) was called;
	// 0 after SetDraining(false).
	Earlier int
	// Accepted counts connections since Listen.
	Accepted uint64
	// InFlight are exchanges, tunnels included; not those that are answered
	// from memory at once.
	InFlight int
	// Tunnels are WebSockets and the like.
	Tunnels int
}

// Connections returns how many there are.
func (c Counts) Connections() int { return c.Handshakes + c.HTTP1 + c.HTTP2 + c.HTTP3 }

// Counts returns what is open now.
func (f *Front) Counts() Counts {
	c := Counts{InFlight: int(f.inFlight.Load()), Tunnels: int(f.tunnels.Load())}
	f.open.counts(&c)
	return c
}

// SetDraining sends clients away, or stops doing so. Connections that are
// open are told at once: HTTP/2 and HTTP/3 by GOAWAY, HTTP/1.1 by
// Connection: close with the next answer, and soon the idle ones end. New
// ones are accepted and served as ever, since until the routes have moved
// there is nowhere else for them to go, and are told with their first
// requests. After SetDraining(false) new connections stay; those that were
// told go all the same. It may be called at any time.
func (f *Front) SetDraining(on bool) { f.open.retire(on) }

// Run serves until ctx is done, then drains: HTTP/2 and HTTP/3 clients get
// GOAWAY, HTTP/1.1 clients Connection: close, and requests in flight may
// end within Config.Drain.
func (f *Front) Run(ctx context.Context, ready func()) error {
	// Exchanges outlive ctx, to the end of the drain.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	failed := make(chan error, len(f.udp))
	var loops sync.WaitGroup
	for _, e := range f.tcp {
		loops.Go(func() { f.accept(base, e) })
	}
	for _, e := range f.udp {
		loops.Go(func() { failed <- f.acceptQUIC(base, e) }) // before ctx is done, only by a fault
	}
	ready()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	for _, e := range f.tcp {
		err = errors.Join(err, closing(e.ln.Close()))
	}
	for _, e := range f.udp {
		err = errors.Join(err, e.Stop())
	}
	f.drain(cut)
	err = errors.Join(err, f.close())
	loops.Wait()
	return err
}

// drain tells every client to go and waits for what is in flight, to the
// limit; then it cuts the rest.
func (f *Front) drain(cut context.CancelFunc) {
	ended := f.open.drain()
	defer func() { <-f.open.told }()
	limit := time.NewTimer(f.conf.Drain)
	defer limit.Stop()
	select {
	case <-ended:
		return
	case <-limit.C:
	}
	left := f.inFlight.Load()
	f.conf.Log.Warn("drain limit reached, cutting the requests that are left",
		zap.Duration("limit", f.conf.Drain), zap.Int64("requests", left))
	f.met.cut.Add(float64(left))
	cut()
	f.open.cut()
	<-ended
}

// close closes the sockets that are open.
func (f *Front) close() (err error) {
	for _, e := range f.tcp {
		err = errors.Join(err, closing(e.ln.Close()))
	}
	for _, e := range f.udp {
		err = errors.Join(err, e.Close())
	}
	return err
}

// closing forgets that a socket was closed before.
func closing(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
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
