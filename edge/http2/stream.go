package http2

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Why an exchange lost its stream.
var (
	errReset          = errors.New("the client reset the stream")
	errConnectionLost = errors.New("the connection to the client is lost")
	errMalformed      = errors.New("the request's content is malformed")
	errAborted        = errors.New("the exchange was aborted")
	errShort          = errors.New("stored content is shorter than its head says")
	errBodyClosed     = errors.New("the request's body was closed")
)

// stream is one request and its response. A hit that is sent at once is
// never in Conn.streams; any other stream is, until it is closed.
//
// Everything is guarded by Conn.mu.
type stream struct {
	c  *Conn
	id uint32

	open     bool // in Conn.streams
	received bool // the client has sent END_STREAM
	gone     error

	// What is to be sent: header blocks, content, trailer, END_STREAM.
	window  int64 // what the client takes
	blocks  [][]byte
	content fifo            // of an exchange
	stored  exchange.Stored // of a hit
	trailer []byte
	ended   bool // END_STREAM follows
	sent    int64

	// Its place in the output.
	order   order
	queued  bool
	turn    uint64
	blocked time.Time     // since when only the client's windows hold it up
	waited  time.Duration // how long they have, before that

	// A hit.
	hit     bool
	request exchange.Request // borrowed by Handler.Hit
	block   []byte           // what blocks[0] lies in

	// An exchange.
	x *exchanging
}

// exchanging is what a stream has beside when ServeExchange serves it. The
// exchange keeps it longer than the connection keeps the stream, so neither
// is used again.
type exchanging struct {
	running bool
	cancel  context.CancelFunc
	// changed tells whoever reads the request's content or writes the
	// response's that there is something new.
	changed  sync.Cond
	tunnel   bool
	headed   bool // the final head is queued
	finished bool // END_STREAM was produced, and the client's is awaited

	// The request's content.
	in         fifo
	wanted     bool  // somebody may still read it
	declared   int64 // by Content-Length; -1: not
	got        int64
	recvWindow int64
	unreturned int
	trailer    exchange.Header
	due        time.Time // when waiting for content becomes too long; zero: nobody waits
	tooSlow    bool
}

// spares lends streams for hits.
var spares = sync.Pool{New: func() any { return new(stream) }}

// maxSpareFields bounds the field list that a spare stream keeps, and
// maxSpareBlock its header block.
const (
	maxSpareFields = 64
	maxSpareBlock  = 4 << 10
)

// recycle gives back a stream that no exchange has had.
func (s *stream) recycle() {
	h := s.request.Header[:cap(s.request.Header)]
	if len(h) > maxSpareFields {
		h = nil
	}
	clear(h) // no string of this client outlives it here
	block, blocks := s.block[:0], s.blocks[:0]
	if cap(block) > maxSpareBlock {
		block = nil
	}
	*s = stream{block: block, blocks: blocks}
	s.request.Header = h[:0]
	spares.Put(s)
}

// take returns a stream for the next request.
func (c *Conn) take() *stream {
	s := c.spare
	if s == nil {
		s = spares.Get().(*stream)
		s.c = c
	}
	c.spare = nil
	return s
}

// slots is how many of limits.Streams are in use: a stream that was reset
// keeps its slot until its exchange has noticed. One that has ended well does
// not: its client knows that it is over, and may open another.
func (c *Conn) slots() int { return len(c.streams) + c.orphans }

// full reports whether there is no room for another stream. Exchanges that
// outlast a good end are bounded apart: all streams may have ended just now,
// and as many more begin, before any is refused for them.
func (c *Conn) full() bool {
	most := c.srv.conf.Limits.Streams
	return c.slots() >= most || c.closing > most
}

// busy reports whether any stream or exchange is left.
func (c *Conn) busy() bool { return c.slots()+c.closing > 0 }

// outlasting counts the exchanges that go on like that of s, whose stream is
// over.
func (c *Conn) outlasting(s *stream) *int {
	if s.gone == nil {
		return &c.closing
	}
	return &c.orphans
}

// enter makes s one of the connection's streams.
func (c *Conn) enter(s *stream, end bool) {
	s.open, s.received = true, end
	s.window = c.initialWindow
	s.order = orderOf(s.request.Header.Get("priority"))
	c.streams[s.id] = s
	c.quiet = time.Time{}
	c.srv.conf.InFlight.Add(1)
}

// leave takes s out of the connection: it was sent whole, or is lost.
func (c *Conn) leave(s *stream, why error) {
	delete(c.streams, s.id)
	s.open, s.gone = false, why
	c.unqueue(s)
	if s.hit {
		c.leaveHit(s, why)
		c.rest()
		return
	}
	s.content.reset()
	s.blocks, s.trailer = nil, nil
	if s.x.running {
		*c.outlasting(s)++
	} else {
		c.srv.conf.InFlight.Add(-1)
	}
	if why != nil {
		s.x.cancel()
		s.x.in.reset()
	}
	s.x.changed.Broadcast()
	c.rest()
}

// rest notes when the connection's last stream has ended.
func (c *Conn) rest() {
	if c.busy() {
		return
	}
	c.quiet = time.Now()
	if c.drain == draining {
		c.remind(c.quiet) // Serve is to see that it is over
	}
}

// complete is called when END_STREAM was produced.
func (c *Conn) complete(s *stream) {
	if !s.received && s.x.tunnel {
		s.x.finished = true // the other direction goes on
		return
	}
	if !s.received {
		// Nobody wants the rest of the request (RFC 9113, 8.1).
		c.control = appendReset(c.control, s.id, noError)
		c.ourClosed = c.ourClosed.add(s.id, c.srv.conf.Limits.Streams)
	}
	c.budget.ended()
	c.leave(s, nil)
}

// reset ends a stream with RST_STREAM.
func (c *Conn) reset(s *stream, why code, err error) {
	c.resetID(s.id, why, s.received)
	c.leave(s, err)
}

// resetID sends RST_STREAM, and counts it. ended says whether the client has
// sent END_STREAM: when not, more may be on its way.
func (c *Conn) resetID(id uint32, why code, ended bool) {
	lim := &c.srv.conf.Limits
	c.control = appendReset(c.control, id, why)
	if !ended {
		c.ourClosed = c.ourClosed.add(id, lim.Streams)
	}
	c.srv.met.resetsOurs.Inc()
	c.budget.reset(1, lim, c.srv.conf.Counters)
}

// closeAll ends all streams without a word: the connection is over.
func (c *Conn) closeAll(why error) {
	for _, s := range c.streams {
		c.leave(s, why)
	}
}

// expireStream cuts a stream whose client is too slow. It returns when to
// look again, zero for no need.
func (c *Conn) expireStream(s *stream, now time.Time) (due time.Time) {
	if c.stuck(s) && !s.blocked.IsZero() {
		due = s.blocked.Add(c.pace.Read(s.sent, s.waited))
		if !now.Before(due) {
			c.srv.conf.Counters.Hit(limits.BodyStall)
			c.reset(s, canceled, wire.ErrTooSlow)
			return time.Time{}
		}
	}
	if x := s.x; x != nil && !x.due.IsZero() && x.in.len() == 0 && !s.received {
		if !now.Before(x.due) {
			c.srv.conf.Counters.Hit(limits.MinRate)
			x.tooSlow = true
			x.changed.Broadcast()
			return due
		}
		if due.IsZero() {
			return x.due
		}
		due = earlier(due, x.due)
	}
	return due
}

// recent is a bounded set of stream ids: the newest replaces the oldest.
type recent struct {
	ids  []uint32
	next int
}

// add returns r, which may be nil, with id in it.
func (r *recent) add(id uint32, size int) *recent {
	if r == nil {
		r = &recent{}
	}
	if len(r.ids) < size {
		r.ids = append(r.ids, id)
		return r
	}
	r.ids[r.next] = id
	r.next = (r.next + 1) % size
	return r
}

func (r *recent) has(id uint32) bool {
	if r == nil {
		return false
	}
	for _, v := range r.ids {
		if v == id {
			return true
		}
	}
	return false
}

// drop takes id out: nothing more of the stream can come.
func (r *recent) drop(id uint32) {
	if r == nil {
		return
	}
	for i, v := range r.ids {
		if v == id {
			r.ids[i] = 0
		}
	}
}
