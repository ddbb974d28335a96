package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"runtime/debug"
	"sync"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Why an exchange has nobody to answer to any more.
var (
	errCanceled = errors.New("the node that asked has given the request up")
	errGone     = errors.New("the connection to the node that asked is lost")
)

// serverConn is the end of a connection that answers.
type serverConn struct {
	link
	s   *Server
	ctx context.Context

	// Owned by the reader.
	spare *hit // what the next request is read into

	// Guarded by mu.
	calls    int // that are being served
	orphans  int // exchanges that go on though their stream has ended
	draining bool
}

// served is a request at the end that answers. A hit that fits is never one.
type served struct {
	stream

	// Static after it was taken in.
	c       *serverConn
	request *exchange.Request
	call    string // its name, when it is one
	most    int64  // content that was announced, -1 when it is not known
	interim bool   // 1xx responses are wanted

	// Guarded by link.mu.
	held    bool // until GO comes
	running bool
	asksFor bool // the request's content was asked for
	got     int64
	cancel  context.CancelCauseFunc
}

func newServerConn(ctx context.Context, s *Server, id affinity.NodeID, tc *tls.Conn, below *pipe) *serverConn {
	c := &serverConn{
		link: link{
			id: id, conn: tc, below: below, theirs: asker, limits: &s.conf.Limits, counters: s.conf.Counters,
			met: s.met.link, log: s.conf.Log,
		},
		s:     s,
		ctx:   ctx,
		spare: hits.Get().(*hit),
	}
	c.init(c)
	return c
}

// goAway has the other end ask no more.
func (c *serverConn) goAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.draining {
		c.draining = true
		c.append(frameGoAway, 0)
		c.wake()
		c.rest()
	}
}

// rest notes when nothing is left to drain. The other end closes then; if it
// does not, the alarm rings. Under mu.
func (c *serverConn) rest() {
	if c.draining && c.slots() == 0 {
		c.alarm.Reset(c.limits.RelayDead)
	}
}

// alarmed implements side.
func (c *serverConn) alarmed() {
	c.mu.Lock()
	over := c.draining && c.slots() == 0
	c.mu.Unlock()
	if over {
		c.fail(errDrained)
	}
}

// ended implements side.
func (c *serverConn) ended(error) {
	for _, s := range c.streams {
		c.drop(s, errGone)
	}
}

// slots is how many of limits.RelayStreams are in use: an exchange keeps its
// slot until it has noticed that nobody waits for it.
func (c *serverConn) slots() int { return len(c.streams) + c.orphans }

// drop takes leave of a stream that nobody waits for.
func (c *serverConn) drop(s *stream, why error) {
	if s.hit != nil {
		c.leave(s, why)
		c.release(s.hit, exchange.ClientAborted)
		s.hit.recycle()
		s.hit = nil
		return
	}
	x := s.served
	c.part(x, why)
	if x.running {
		x.cancel(why)
	}
}

// part takes leave of an exchange's stream.
func (c *serverConn) part(x *served, why error) {
	if !x.open {
		return
	}
	c.leave(&x.stream, why)
	if x.running {
		c.orphans++
	}
	c.rest()
}

// frame implements side.
func (c *serverConn) frame(f frame, p []byte) error {
	switch f.kind {
	case frameHello:
		return nil
	case frameHead:
		return c.onHead(f.stream, p)
	case frameCall:
		return c.onCall(f.stream, p)
	default: // about a stream that is here
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[f.stream]
	switch {
	case s == nil:
		return nil // it has ended here, which the other end could not know
	case f.kind == frameCancel:
		c.drop(s, errCanceled)
		c.rest()
		return nil
	case f.kind == frameWindow:
		return s.onWindow(p)
	case s.served == nil:
		return malformed("%s for a request without content", f.kind)
	}
	return s.served.frame(f.kind, p)
}

// frame takes a frame in. Under link.mu.
func (x *served) frame(k kind, p []byte) error {
	switch k {
	case frameGo:
		if !x.held {
			return malformed("GO out of place")
		}
		x.held = false
		x.start()
		return nil
	case frameData, frameLast:
		if err := x.onData(k, p); err != nil {
			return err
		}
		if x.got += int64(len(p)); x.most >= 0 && x.got > x.most {
			return malformed("more content than its length promised")
		}
	case frameEnd:
		if err := x.onEnd(p); err != nil {
			return err
		}
	default:
		return malformed("%s out of place", k)
	}
	x.l.tell(&x.stream)
	return nil
}

// onHead takes a request in: the way of a request from its head to its answer,
// or to its exchange.
func (c *serverConn) onHead(id uint32, p []byte) error {
	h := c.spare
	if !h.incoming.parse(p, c.limits.RequestFields+fieldsRoom) {
		return malformed("HEAD cannot be read")
	}
	if why, err := c.refuses(id, 0); err != nil || why < endRefusals {
		return c.refuse(id, why, err)
	}
	r := &h.incoming.request
	r.Arrived = c.now
	plain := (r.Method == "GET" || r.Method == "HEAD") && !h.incoming.flags.has(hasBody) && r.Upgrade == ""
	if plain && c.answer(id) {
		return nil
	}
	x := c.newServed(id, h.incoming.kept(), h.incoming.flags)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.admit(x, !safe(r.Method))
	return nil
}

// refuses says whether there is no room for another stream: why is endRefusals
// when there is.
func (c *serverConn) refuses(id uint32, calls int) (why refusal, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.streams[id] != nil:
		return endRefusals, malformed("stream %d is in use", id)
	case c.draining:
		return refusedLeaving, nil
	case c.slots() >= c.limits.RelayStreams || c.calls+calls > maxCalls:
		c.counters.Hit(limits.RelayStreams)
		return refusedBusy, nil
	}
	return endRefusals, nil
}

// refuse sends a request back that was not begun.
func (c *serverConn) refuse(id uint32, why refusal, err error) error {
	if err != nil {
		return err
	}
	c.s.met.served[servedRefused].Inc()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.append(frameRefused, id)
	c.out = append(c.out, byte(why))
	setLength(c.out, len(c.out)-1-frameHeader)
	c.owes = true
	return nil
}

// onCall takes a call in.
func (c *serverConn) onCall(id uint32, p []byte) error {
	name, n, ok := parseCall(p)
	if !ok {
		return malformed("CALL cannot be read")
	}
	if why, err := c.refuses(id, 1); err != nil || why < endRefusals {
		return c.refuse(id, why, err)
	}
	f := flags(0)
	if n > 0 {
		f = hasBody
	}
	x := c.newServed(id, &exchange.Request{Method: "POST", Length: int64(n)}, f)
	x.call = name
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.admit(x, true)
	return nil
}

// newServed returns a request that is not taken in yet.
func (c *serverConn) newServed(id uint32, r *exchange.Request, f flags) *served {
	x := &served{
		stream:  stream{l: &c.link, id: id, news: make(chan struct{}, 1), room: make(chan struct{}, 1)},
		c:       c,
		request: r,
		most:    r.Length,
	}
	x.stream.served = x
	x.interim = f.has(wantsInterim)
	if f.has(hasBody) {
		r.Body = (*requested)(x)
	}
	if f.has(hasTrailer) {
		r.Trailer = (*requested)(x).fields
	}
	return x
}

// admit accepts a request. What is not safe is held until GO.
func (c *serverConn) admit(x *served, held bool) {
	c.enter(&x.stream)
	x.credit = int64(c.peer.window)
	c.append(frameAccept, x.id)
	c.owes = true
	if x.held = held; !held {
		x.start()
	}
}

// start has the request served, on a goroutine of its own. Under link.mu.
func (x *served) start() {
	c := x.c
	ctx, cancel := context.WithCancelCause(c.ctx)
	x.cancel, x.running = cancel, true
	c.tasks.Go(func() { c.exchange(ctx, x) })
}

// exchange is an exchange, start to end.
func (c *serverConn) exchange(ctx context.Context, x *served) {
	w := &writer{x: x, head: x.request.Method == "HEAD"}
	defer func() {
		if p := recover(); p != nil {
			c.met.panics.Inc()
			c.log.Error("panic while serving another node", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			w.aborted = true
		}
		w.conclude()
	}()
	if x.call != "" {
		c.serveCall(ctx, w, x)
		return
	}
	if x.interim {
		x.request.Interim = func(status int, h exchange.Header) { _ = w.Interim(status, h) } // a loss shows in what follows
	}
	c.s.met.served[servedExchange].Inc()
	c.s.conf.Handler.ServeExchange(ctx, w, x.request)
}

// requested is the request's content, as its reader sees it.
type requested served

// Read implements io.Reader. The first one asks for the content: until then
// the client has not been read.
func (b *requested) Read(p []byte) (int, error) {
	x := (*served)(b)
	x.l.mu.Lock()
	x.askFor()
	x.l.mu.Unlock()
	n, err := x.read(p)
	if err == io.EOF && x.short() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// askFor has content sent, once. Under link.mu.
func (x *served) askFor() {
	if !x.asksFor && x.open {
		x.asksFor = true
		x.grant(int64(x.l.firstWindow()))
		x.l.wake()
	}
}

// short reports whether less came than was announced.
func (x *served) short() bool {
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	return x.most >= 0 && x.got < x.most
}

// Close implements io.Closer. What still comes is dropped; the stream ends
// with the answer.
func (b *requested) Close() error {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	b.unwant()
	return nil
}

// fields returns the trailer fields.
func (b *requested) fields() exchange.Header {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	return b.trailer
}

// hits lends what hits are made of.
var hits = sync.Pool{New: func() any { return new(hit) }}
