package http3

import (
	"context"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// session is what a Conn needs of a *quic.Conn to end it.
type session interface {
	CloseWithError(quic.ApplicationErrorCode, string) error
}

// Conn is one client's HTTP/3 connection.
type Conn struct {
	// Static after Serve has begun.
	server  *Server
	qc      *quic.Conn // nil in tests of single streams
	session session
	base    exchange.Request // what all requests have in common
	shaken  <-chan struct{}  // closed when the handshake is done
	ctx     context.Context  // parent of every request's

	// Counters of what the client may do.
	credit    atomic.Int64 // control frames it may still send
	resets    atomic.Int64 // streams that ended by a reset, less those that ended well
	isShaken  atomic.Bool  // shaken is closed
	closing   atomic.Bool  // close was called
	following atomic.Bool  // a control stream of the client's has come
	encoding  atomic.Bool  // its QPACK encoder stream
	decoding  atomic.Bool  // its QPACK decoder stream

	// Requests and who answers them; see workers.go.
	workers workers

	// Silence; see quiet.go.
	quiet quiet

	// Draining; see drain.go.
	drain    drain
	next     atomic.Int64 // ID of the next request stream
	refused  atomic.Int64 // ID of the first request stream that is not accepted
	retiring atomic.Bool  // drains once there was a request

	tasks sync.WaitGroup // every goroutine of the connection but Serve's
}

// contentUnit is how much content earns the right to one control frame.
const contentUnit = 4 << 10

func newConn(s *Server, q session, base exchange.Request) *Conn {
	c := &Conn{server: s, session: q, base: base, ctx: context.Background()}
	c.base.Proto = exchange.HTTP3
	c.credit.Store(int64(s.conf.Limits.ControlFrames))
	c.refused.Store(math.MaxInt64)
	c.quiet.began = time.Now()
	c.workers.streams = make(chan stream)
	c.drain.idleC = make(chan struct{}, 1)
	return c
}

// Serve answers requests until the connection is over, by either side, or
// until ctx is done; then it closes the connection and waits for every
// goroutine it has started. ctx is the parent of every request's context.
func (c *Conn) Serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.ctx = ctx
	if control, err := c.openControl(); err == nil {
		c.tasks.Go(c.acceptControl)
		c.beginDrains(control)
		c.watchQuiet()
		c.acceptRequests(ctx)
		c.stopQuiet()
	}
	_ = c.session.CloseWithError(quic.ApplicationErrorCode(codeNoError), "") // always nil; no-op when it is over
	cancel()
	c.endDrains()
	c.stopWorkers()
	c.tasks.Wait()
}

// acceptRequests accepts request streams until the connection is over.
func (c *Conn) acceptRequests(ctx context.Context) {
	for {
		s, err := c.qc.AcceptStream(ctx)
		if err != nil {
			if silent(err) {
				c.countIdle()
			}
			return
		}
		if c.accept(s, int64(s.StreamID())) {
			c.dispatch(s)
		}
	}
}

// accept reports whether the request of a stream is to be answered; if so,
// it is active until leave. Otherwise the stream is reset.
func (c *Conn) accept(s stream, id int64) bool {
	// Before next: goAway must see a request that it has not refused as an
	// active one.
	room := c.workers.room(c.server.conf.Limits.Streams)
	c.next.Store(id + streamStep)
	if c.retiring.Load() {
		c.Drain()
	}
	switch {
	case id >= c.refused.Load():
		if room {
			c.leave()
		}
		c.cancel(s, codeRequestRejected)
		return false
	case !room:
		c.hit(limits.Streams)
		c.reset(s, codeRequestRejected)
		return false
	}
	return true
}

// streamStep is how far the IDs of two request streams are apart (RFC 9000,
// 2.1).
const streamStep = 4

// requests lends requests.
var requests = sync.Pool{New: func() any { return new(request) }}

// serve answers the request of one stream.
func (c *Conn) serve(s stream) {
	defer c.caught(s)
	c.credit.Add(1)
	q := requests.Get().(*request)
	q.c, q.s = c, s
	if err := q.serve(); err != nil {
		if timedOut(err) {
			err = q.late()
		}
		c.failed(s, err)
	}
	q.release()
}

// caught keeps a mistake of ours within the request that met it. What the
// request held is not used again.
func (c *Conn) caught(s stream) {
	if p := recover(); p != nil {
		c.server.conf.Log.Error("request panicked", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		c.reset(s, codeInternalError)
	}
}

// early reports whether what comes now is early data: the handshake is not
// done, so it may be a replay (RFC 8470, 3).
func (c *Conn) early() bool {
	if c.isShaken.Load() {
		return false
	}
	select {
	case <-c.shaken:
		c.isShaken.Store(true)
		return false
	default:
		return true
	}
}

func (c *Conn) hit(l limits.Name) { c.server.conf.Counters.Hit(l) }

// charge takes the price of a frame that moves nothing on.
func (c *Conn) charge() error {
	if c.credit.Add(-1) >= 0 {
		return nil
	}
	c.hit(limits.ControlFrames)
	return fatal(codeExcessiveLoad, "too many control frames")
}

// moved gives credit for n bytes of content that came after before.
func (c *Conn) moved(before, n int64) {
	if units := (before+n)/contentUnit - before/contentUnit; units > 0 {
		c.credit.Add(units)
	}
}

// close closes the connection, unless it is being closed already.
func (c *Conn) close(with code, why string) {
	if c.closing.Swap(true) {
		return
	}
	count(c.server.met.conns, with)
	_ = c.session.CloseWithError(quic.ApplicationErrorCode(with), why) // always nil
}

// quicCode is a code as QUIC's streams take it.
func quicCode(c code) quic.StreamErrorCode { return quic.StreamErrorCode(c) }

// cancel ends both directions of a stream by a reset.
func (c *Conn) cancel(s stream, with code) {
	count(c.server.met.streams, with)
	s.CancelRead(quicCode(with))
	s.CancelWrite(quicCode(with))
}

// reset is cancel for a stream whose end counts.
func (c *Conn) reset(s stream, with code) {
	c.cancel(s, with)
	c.endedByReset()
}
