// Package http1 serves HTTP/1.1, and HTTP/1.0 one request at a time, on a
// connection that somebody else has accepted (RFC 9112). It owns where a
// request begins and ends, and refuses what two readers could read in two
// ways; it never says what a request may do, and never opens a socket.
package http1

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Config is what a Server needs to know.
type Config struct {
	Handler  exchange.Handler
	Limits   limits.Limits
	Counters *limits.Counters
	Log      *zap.Logger
	// InFlight counts the connections that are answering: from the first
	// request after a pause until all that was asked is answered and handed
	// to the network.
	InFlight *atomic.Int64
	// Tunnels counts connections after a switch of protocols. May be nil.
	Tunnels *atomic.Int64
}

// Server is what all connections share.
type Server struct {
	// Static after New.
	conf Config
	met  *metrics

	desks  sync.Pool // of *desk
	inputs inputs
}

// New returns a Server. reg may be nil.
func New(conf Config, reg prometheus.Registerer) *Server {
	if conf.Tunnels == nil {
		conf.Tunnels = new(atomic.Int64)
	}
	return &Server{
		conf:   conf,
		met:    newMetrics(reg),
		desks:  sync.Pool{New: func() any { return &desk{fields: make(exchange.Header, 0, deskFields)} }},
		inputs: newInputs(conf.Limits.RequestHead),
	}
}

// deskFields is how many field lines a desk holds without growing.
const deskFields = 32

// desk is what answering needs beside the bytes. It is lent while a
// connection is awake.
type desk struct {
	head   head
	req    exchange.Request
	fields exchange.Header // where req.Header lies
	hit    exchange.Stored
}

// Conn is one connection.
type Conn struct {
	// Static after Server.Conn.
	s    *Server
	p    *wire.Plain
	base exchange.Request

	// Owned by the goroutine of Serve. A body that is being read has in,
	// until it is stopped.
	in    input
	desk  *desk     // nil while parked
	now   time.Time // of the last wake-up
	until time.Time // the read deadline in force
	// unclocked is how much was queued since now was read.
	unclocked int64
	served    bool // a request was read whole
	busy      bool // counted in InFlight
	queued    bool // an answer is waiting to be flushed
	why       end  // of the connection

	// tooSlow counts a client that does not take its answer, once.
	tooSlow sync.Once
	// leaving says that the next answer is the last one.
	leaving atomic.Bool

	mu sync.Mutex
	// Guarded by mu.
	parked   bool
	unserved bool // parked without having been asked for anything yet
	draining bool // leaving, and waits for no request
}

// Conn returns the server of one connection. What base says holds for all
// its requests; Proto is set for each.
func (s *Server) Conn(p *wire.Plain, base exchange.Request) *Conn {
	return &Conn{s: s, p: p, base: base, in: input{p: p, from: &s.inputs}}
}

// Serve answers requests until the connection is over, and closes it.
// Exchanges get contexts under ctx. When ctx ends, somebody must close the
// connection below TLS for Serve to return.
func (c *Conn) Serve(ctx context.Context) {
	defer c.close()
	for c.park() && c.burst(ctx) {
	}
}

// Drain lets the exchange in progress end, tells the client that no other
// follows, and ends a connection that waits for a request.
func (c *Conn) Drain() {
	c.leaving.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.parked {
		_ = c.p.SetReadDeadline(past) // cannot fail but on a closed connection
	}
}

// retireTime is how long a client that was served may be silent once its
// connection is retired.
const retireTime = 2 * time.Second

// Retire tells the client with the next answer that no other follows. A
// client that was served before gets a moment to ask: closed at once, the
// connection of a busy one would often end under a request. One that was not
// is waited for as ever.
func (c *Conn) Retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving.Swap(true) {
		return
	}
	if c.parked && !c.unserved {
		_ = c.p.SetReadDeadline(time.Now().Add(retireTime)) // cannot fail but on a closed connection
	}
}

// departs reports whether waiting for a request ends sooner than the limits
// say. mu is held.
func (c *Conn) departs() bool { return c.draining || c.leaving.Load() && !c.unserved }

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// park waits for the first byte of a request, on a shallow stack and with
// nothing lent. It reports whether something came.
func (c *Conn) park() bool {
	limit, name, why := c.s.conf.Limits.HeaderTime, limits.HeaderTime, endHeadSlow
	if c.served {
		limit, name, why = c.s.conf.Limits.IdleTime, limits.IdleTime, endIdle
	}
	idleEnd := time.Now().Add(limit)
	for {
		if !c.await(idleEnd, limit/8) {
			return c.ends(endDrained)
		}
		err := c.p.Conn.Wait()
		c.now, c.unclocked = time.Now(), 0
		if err == nil {
			return true // first wakes it
		}
		poked := c.wake()
		switch {
		case !isTimeout(err):
			return c.ends(endClientLeft)
		case poked:
			return c.ends(endDrained)
		case !c.now.Before(idleEnd):
			c.s.conf.Counters.Hit(name)
			return c.ends(why)
		}
		c.p.Conn.Resume() // the deadline in force was an earlier one
		c.until = time.Time{}
	}
}

// await makes a read deadline hold until t, or up to slack less, and lets
// Drain and Retire end the wait sooner. It is false when Drain was there
// before.
func (c *Conn) await(t time.Time, slack time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unserved = !c.served
	switch {
	case c.draining:
		return false
	case c.departs():
		if soon := time.Now().Add(retireTime); soon.Before(t) {
			t, slack = soon, 0
		}
	}
	c.bound(t, slack)
	c.parked = true
	return true
}

// wake takes back what await allowed, and reports whether Drain or Retire
// has set the deadline meanwhile, or may have.
func (c *Conn) wake() (poked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked = false
	if poked = c.departs(); poked {
		c.until = time.Time{}
	}
	return poked
}

// bound sets the read deadline to t unless the one in force is that or
// less than slack before it: setting one costs.
func (c *Conn) bound(t time.Time, slack time.Duration) {
	if early := t.Sub(c.until); early >= 0 && early <= slack {
		return
	}
	c.until = t
	_ = c.p.SetReadDeadline(t) // an error shows in the read
}

// ends notes why the connection ends, and is false.
func (c *Conn) ends(why end) bool {
	c.why = why
	return false
}

// close ends everything. A panic costs this connection only.
func (c *Conn) close() {
	if p := recover(); p != nil {
		c.why = endPanic
		c.s.conf.Log.Error("panic while serving an HTTP/1.1 connection", zap.Any("panic", p),
			zap.Stringer("client", c.base.Client), zap.ByteString("stack", debug.Stack()))
	}
	_ = c.p.Close() // there is nobody left to tell
	c.rest()
	c.p.Release()
	c.s.met.closed[c.why].Inc()
}
