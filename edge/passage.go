package edge

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
)

// passage is one request's way through the edge, and what its access
// record will say. Only the request's goroutine touches it.
type passage struct {
	s   *Server
	ctx context.Context
	w   exchange.Writer
	r   *exchange.Request
	log *zap.Logger

	site   *site.Site   // nil until found
	met    *siteMetrics // nil until found
	placed *placed      // nil until it is for the store to answer

	account
	// uploaded counts the bytes of the request's content. An upload may
	// outlive its answer: its goroutine is the origin's.
	uploaded atomic.Int64
}

func (s *Server) begin(ctx context.Context, w exchange.Writer, r *exchange.Request) *passage {
	if !r.Relayed() {
		r.ID = s.ids.next()
	}
	x := &passage{s: s, ctx: ctx, w: w, r: r, log: s.conf.Log, met: s.met.unrouted}
	if r.Body != nil {
		r.Body = &counted{ReadCloser: r.Body, n: &x.uploaded}
	}
	return x
}

// counted counts the content that a client sends.
type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (x *passage) belongsTo(st *site.Site, met *siteMetrics) { x.site, x.met = st, met }

// end closes the passage: a panic costs this request only, and every
// request leaves one record.
func (x *passage) end() {
	if p := recover(); p != nil {
		x.panicked(p)
	}
	if x.r.Body != nil {
		if x.status != 0 && x.cause != exchange.ClientAborted {
			// The client may be waiting for this before it sends more, or
			// sends nothing more at all.
			_ = x.w.Flush() // an error shows when the connection is used
		}
		_ = x.r.Body.Close() // the front end decides about the connection
	}
	if x.received == 0 {
		x.received = x.uploaded.Load()
	}
	x.s.settle(x.r, x.met, &x.account)
}

func (x *passage) panicked(p any) {
	x.s.met.panics.Inc()
	x.log.Error("panic while serving a request", zap.Any("panic", p), zap.String("id", x.r.ID),
		zap.String("host", x.r.Host), zap.String("path", x.r.Path), zap.ByteString("stack", debug.Stack()))
	x.outcome, x.cause = exchange.Failed, exchange.ProxyInternalError
	if x.status != 0 {
		x.w.Abort()
		return
	}
	x.page(exchange.ProxyInternalError.Status(), nil)
}

// head sends the final head and notes when.
func (x *passage) head(status int, h exchange.Header, length int64) error {
	x.status = status
	x.firstByte = time.Since(x.r.Arrived)
	return x.w.Head(status, h, length)
}

// refuse answers a request that was not exchange.Admitted.
func (x *passage) refuse(why exchange.Refusal) {
	x.outcome, x.refused = exchange.Refused, why
	x.s.met.refused[why].Inc()
	if limit, ok := limitOf(why); ok {
		x.s.conf.Counters.Hit(limit)
	}
	if x.r.Relayed() {
		x.decline(0) // the two nodes do not have the same sites
		return
	}
	h := exchange.Header{}
	switch why {
	case exchange.BadMethod:
		h.Add("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	case exchange.Loop:
		x.s.met.loops.Inc()
		h.Add("proxy-status", Name+"; error="+exchange.ProxyLoopDetected.String())
	default: // the status says it all
	}
	x.page(why.Status(), h)
}

// synthesize sends an answer of our own.
func (x *passage) synthesize(a *answer) {
	x.outcome = exchange.Synthetic
	if a.location != "" {
		x.page(a.status, exchange.Header{{Name: "location", Value: a.location}})
		return
	}
	h := exchange.Header{{Name: "content-type", Value: "text/plain"}, {Name: "cache-control", Value: "no-store"}}
	x.write(a.status, h, a.text)
}

// fail answers a request that no response could be had for.
func (x *passage) fail(err error) {
	x.outcome = exchange.Failed
	x.blame(err)
	if x.cause == exchange.ClientAborted {
		// Nobody reads an answer; 499 is what the record shows.
		x.status = x.cause.Status()
		x.w.Abort()
		return
	}
	if peer, ok := x.w.(exchange.PeerWriter); ok {
		x.status = x.cause.Status()
		peer.Fail(&exchange.Error{Cause: x.cause, Endpoint: x.endpoint, Err: err})
		return
	}
	h := exchange.Header{{Name: "proxy-status", Value: Name + "; error=" + x.cause.String()}}
	x.page(x.cause.Status(), h)
}

// note takes down an error of closing what had already been sent: the
// client has everything, so it only shows in the record.
func (x *passage) note(err error) {
	if err != nil && x.cause == exchange.NoCause {
		x.blame(err)
	}
}

func (x *passage) blame(err error) {
	x.cause, x.detail = causeOf(err), err.Error()
	var e *exchange.Error
	if errors.As(err, &e) {
		x.endpoint = e.Endpoint
	}
	if x.ctx.Err() != nil {
		x.cause = exchange.ClientAborted
	}
}

// served notes what the cache said.
func (x *passage) served(res *cache.Result) {
	x.outcome = res.Outcome
	x.ttl, x.hasTTL = int64(res.Status.TTL/time.Second), res.Status.HasTTL
	if res.Outcome != exchange.Stale { // what a fill in the background gets is not this answer
		x.from = x.placed.from.Load()
	}
}
