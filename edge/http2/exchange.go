package http2

import (
	"context"
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/ascii"
)

// exchange hands a request to ServeExchange, on a goroutine of its own. What
// it hands over is not used again: an exchange may leave a reader of its
// content behind.
func (c *Conn) exchange(s *stream, end bool) {
	r := new(exchange.Request)
	*r = s.request
	x := &exchanging{running: true, wanted: !end, declared: r.Length, recvWindow: c.streamWindow()}
	x.changed.L = &c.mu
	s.x = x
	c.enter(s, end)
	s.request = exchange.Request{}
	w := &writer{s: s, head: r.Method == "HEAD"}
	r.Interim = func(status int, h exchange.Header) { _ = w.Interim(status, h) }
	switch {
	case r.Upgrade != "":
		r.Length, x.declared, x.wanted = 0, -1, true
	case end:
		r.Length, x.declared = 0, 0
	case r.Length == 0:
		x.wanted = false
	default:
		r.Body = c.newBody(s, r)
		r.Trailer = func() exchange.Header {
			c.mu.Lock()
			defer c.mu.Unlock()
			return x.trailer
		}
	}
	ctx, cancel := context.WithCancel(c.ctx)
	x.cancel = cancel
	c.group.Go(func() { c.run(ctx, w, r) })
}

// streamWindow is what a new stream's client may send. Before it has seen our
// settings it may have taken the default for it.
func (c *Conn) streamWindow() int64 {
	n := int64(c.srv.conf.Limits.StreamWindow)
	if !c.acknowledged {
		n = max(n, defaultWindow)
	}
	return n
}

// run is an exchange, start to end.
func (c *Conn) run(ctx context.Context, w *writer, r *exchange.Request) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.panicked(p)
			w.aborted = true
		}
		c.conclude(w)
	}()
	c.srv.conf.Handler.ServeExchange(ctx, w, r)
}

// conclude ends what an exchange has begun.
func (c *Conn) conclude(w *writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, x := w.s, w.s.x
	x.running, x.wanted = false, false
	if x.tunnel {
		c.srv.conf.Tunnels.Add(-1)
	}
	x.in.reset()
	x.cancel()
	if !s.open {
		*c.outlasting(s)--
		c.srv.conf.InFlight.Add(-1)
		c.rest()
		return
	}
	switch {
	case x.tunnel:
		c.hangUp(s)
	case w.aborted || !x.headed || w.short():
		c.reset(s, internalError, errAborted)
	default:
		s.ended = true
		c.enqueue(s)
	}
	c.push()
}

// panicked notes a broken invariant. It costs its request, or its connection.
func (s *Server) panicked(p any) {
	s.met.panics.Inc()
	s.conf.Log.Error("panic while serving HTTP/2", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
}

// takeExpect takes the expectation of 100-continue out of a request: it is
// met here. Any other stays, for admission to refuse.
func takeExpect(r *exchange.Request) bool {
	if !ascii.EqualFold(r.Header.Get("expect"), "100-continue") {
		return false
	}
	r.Header.Del("expect")
	return true
}
