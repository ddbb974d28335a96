package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/netguard"
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer connects to one endpoint. Its errors are *exchange.Error.
type dialer struct {
	// Static.
	net     dialFunc // resolves and connects, checking every address
	allow   []netip.Prefix
	window  int
	limit   time.Duration
	maxHead int
	slots   chan struct{} // one element per open connection
	tls     *tls.Config
	met     *endpointMetrics
	outcome func(err *exchange.Error) // told of every connection
	spare   func()                    // asked to close connections that nobody uses
}

var errNoSlot = errors.New("all connections to the endpoint are in use")

// system returns the way to the network. What it connects to is checked on
// the very address, after resolution, so that a name cannot change its
// meaning in between.
func (d *dialer) system(r *net.Resolver) dialFunc {
	nd := net.Dialer{
		Resolver:        r,
		ControlContext:  d.control,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 4},
	}
	return nd.DialContext
}

// control runs between socket and connect.
func (d *dialer) control(_ context.Context, _, address string, c syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &prohibitedError{address, "not an address"}
	}
	if reason, bad := netguard.Prohibited(ap.Addr().Unmap(), d.allow); bad {
		return &prohibitedError{ap.Addr().String(), reason}
	}
	return limitWindow(c, d.window)
}

// counted connects within the limit on open connections.
func (d *dialer) counted(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := d.acquire(ctx); err != nil {
		return nil, err
	}
	conn, err := d.uncounted(ctx, network, addr)
	if err != nil {
		<-d.slots
		return nil, err
	}
	d.met.connections.Inc()
	return &slotConn{Conn: conn, release: func() {
		d.met.connections.Dec()
		<-d.slots
	}}, nil
}

func (d *dialer) acquire(ctx context.Context) error {
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
	}
	// A tunnel may want a place that an idle connection holds.
	d.spare()
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &exchange.Error{Cause: exchange.ConnectionLimitReached, Err: errNoSlot}
	}
}

func (d *dialer) uncounted(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.net(ctx, network, addr)
	if err != nil {
		return nil, d.fault(connecting, addr, err)
	}
	return conn, nil
}

// http1 connects to an http endpoint.
func (d *dialer) http1(plain dialFunc) dialFunc {
	return d.timed(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := plain(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &http1Conn{Conn: conn, maxHead: d.maxHead}, nil
	})
}

// https connects to an https endpoint. For HTTP/2, net/http wants the
// *tls.Conn itself.
func (d *dialer) https(plain dialFunc, http2 bool) dialFunc {
	conf := d.tls.Clone()
	conf.NextProtos = []string{"http/1.1"}
	if http2 {
		conf.NextProtos = []string{"h2", "http/1.1"}
	}
	return d.timed(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := plain(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		tc := tls.Client(conn, conf)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, d.fault(handshaking, addr, err)
		}
		if tc.ConnectionState().NegotiatedProtocol == "h2" {
			return tc, nil
		}
		return &http1Conn{Conn: tc, maxHead: d.maxHead}, nil
	})
}

// timed bounds a connection's making and reports on it.
func (d *dialer) timed(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, d.limit)
		defer cancel()
		start := time.Now()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			var xe *exchange.Error
			if errors.As(err, &xe) && !errors.Is(context.Cause(ctx), context.Canceled) {
				d.outcome(xe)
			}
			return nil, err
		}
		d.met.connect.Observe(time.Since(start).Seconds())
		d.outcome(nil)
		return conn, nil
	}
}

func (d *dialer) fault(s stage, addr string, err error) error {
	return &exchange.Error{Cause: classify(s, err), Endpoint: addr, Err: err}
}

// slotConn gives its place back when it is closed.
type slotConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *slotConn) Close() error {
	defer c.once.Do(c.release)
	return c.Conn.Close()
}

// CloseWrite ends the sending direction, for tunnels.
func (c *slotConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}
