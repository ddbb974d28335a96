package http2

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http2/hpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/message"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Conn is one client's connection. Serve's goroutine reads and answers hits;
// each other request has a goroutine for its exchange. All of them change
// the connection under one mutex, and one at a time writes (write.go).
type Conn struct {
	// Static after newConn.
	srv  *Server
	p    *wire.Plain
	base exchange.Request
	pace wire.Pace

	// Static while Serve runs.
	ctx context.Context

	// group has the goroutines that Serve waits for. It grows under mu, and
	// not once dead is set.
	group sync.WaitGroup

	// Owned by Serve's goroutine, which holds mu as well when it uses any
	// but in.
	in     *input // nil: nothing of a frame is held
	parser parser
	spare  *stream // of the last hit, for the next one

	mu sync.Mutex // guards what follows

	// The connection's life.
	now       time.Time // of the latest wake-up
	deadline  time.Time // of reading: the next time to look at what is due
	partial   time.Time // when the part of a frame or head that is here began; zero: there is none
	quiet     time.Time // when the last stream ended; zero while there is one
	drain     drain
	retiring  bool      // drains once there was a request
	callAt    time.Time // when the last call is due, once announced
	answered  bool      // the client has answered that it was
	dead      bool      // Serve is about to return
	broken    bool      // writing has failed
	lastID    uint32
	skipped   [2]uint32 // the newest run of streams that were never opened lies between these
	callID    uint32    // the last stream that GOAWAY named, once draining
	ourClosed *recent   // streams that we reset while the client could still be sending on them

	// Streams.
	streams map[uint32]*stream
	orphans int // exchanges whose stream was reset
	closing int // exchanges whose stream has ended well

	// Output.
	control  []byte    // frames that move no content
	queue    []*stream // those with something to send
	writing  bool      // somebody writes
	mine     bool      // it is Serve's goroutine
	produced bool      // there is something to flush
	turns    uint64
	smalls   int  // small pieces of content in a row
	inOrder  bool // the last piece was of a stream that is served in one go
	shrink   bool // the next header block has to say that our HPACK table is empty
	shrunk   bool // that was asked for

	// Flow control and budgets.
	window        int64 // what the client takes on the connection
	initialWindow int64 // and on each new stream
	recvWindow    int64 // what we take
	unreturned    int   // of recvWindow
	acknowledged  bool  // our settings were
	budget        budget
}

// parser is where the input is between two frames that belong together.
type parser struct {
	greeted bool // the preface has come
	settled bool // and the SETTINGS after it

	// A head that is not complete: CONTINUATION must follow.
	head      frame  // of the HEADERS that began it; stream 0: none
	depends   bool   // it depends on itself (RFC 9113, 5.3.1)
	fragments []byte // what has come

	// A DATA frame that is not complete.
	data dataFrame

	decoder *hpack.Decoder
	into    destination
	section message.Section
	trailer message.Trailer
}

// drain is how far the connection's orderly end has come.
type drain uint8

const (
	notDraining drain = iota
	announced         // GOAWAY that leaves room for what is on its way
	draining          // GOAWAY with the last stream
)

// grace is how long a client has to answer that it has seen the first GOAWAY,
// and to take the last one before the connection is closed under it.
const grace = time.Second

// crossing is how long requests may come after that answer: one goroutine of
// a client's answers, and another may have begun a request before.
const crossing = 100 * time.Millisecond

func newConn(s *Server, p *wire.Plain, base exchange.Request) *Conn {
	c := &Conn{
		srv:           s,
		p:             p,
		base:          base,
		pace:          wire.Pace{Stall: s.conf.Limits.BodyStall, Rate: s.conf.Limits.MinRate},
		streams:       map[uint32]*stream{},
		window:        defaultWindow,
		initialWindow: defaultWindow,
		recvWindow:    int64(max(s.conf.Limits.ConnWindow, defaultWindow)),
	}
	c.parser.decoder = hpack.NewDecoder(defaultHeaderTable, c.field)
	c.parser.decoder.SetMaxStringLength(s.conf.Limits.RequestHead + s.conf.Limits.RequestURI)
	return c
}

// Serve serves requests until the connection is over. It closes it, and has
// waited for every goroutine it started.
func (c *Conn) Serve(ctx context.Context) {
	c.begin(ctx)
	defer c.end()
	for c.park() && c.wake() {
	}
}

// Drain finishes what is in flight and accepts no more: the client gets
// GOAWAY, and Serve returns once the last stream has ended. It does not wait.
func (c *Conn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startDrain()
}

// Retire is Drain for a connection that has had a request; one that has not
// is drained with its first. Requests may come for all of grace, whatever the
// client answers. It does not wait.
func (c *Conn) Retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retiring = true; c.lastID > 0 {
		c.startDrain()
	}
}

// startDrain tells the client to go, once. mu is held.
func (c *Conn) startDrain() {
	if c.drain != notDraining || c.dead {
		return
	}
	c.drain = announced
	if c.ctx != nil {
		c.announce()
		c.handOver()
	}
}

// begin queues what a server says first (RFC 9113, 3.4).
func (c *Conn) begin(ctx context.Context) {
	c.p.Conn.BeforeWait(c.beforeWait)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx = ctx
	c.now = time.Now()
	c.budget.since = c.now
	c.partial, c.quiet = c.now, c.now
	c.remind(c.now.Add(c.srv.conf.Limits.HeaderTime))
	lim := &c.srv.conf.Limits
	c.control = appendSettings(c.control,
		setting{settingStreams, uint32(lim.Streams)},
		setting{settingInitialWindow, uint32(lim.StreamWindow)},
		setting{settingMaxHeaderList, uint32(wireSlack * lim.RequestHead)},
		setting{settingConnectProtocol, 1},
		setting{settingNoOldPriorities, 1},
	)
	if more := c.recvWindow - defaultWindow; more > 0 {
		c.control = appendWindowUpdate(c.control, 0, int(more))
	}
	if c.drain == announced {
		c.announce()
	}
	// With the client's first frames here already, one write does for both.
	if !c.p.Conn.Ready() {
		c.claim()
		c.settle()
	}
}

// park waits until there is something to read, without any buffer.
func (c *Conn) park() bool {
	for {
		err := c.p.Conn.Wait()
		if err == nil {
			return true
		}
		if !c.outlives(err) {
			return false
		}
	}
}

// outlives reports whether the connection goes on after an error of reading:
// after a deadline, when nothing was due that ends it.
func (c *Conn) outlives(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p.Conn.Resume()
	c.now = time.Now()
	next, end := c.expire(c.now)
	if end != nil {
		c.fail(end)
		return false
	}
	c.deadline = next
	_ = c.p.SetReadDeadline(next) // an error shows when it is read
	c.claim()
	c.settle()
	return !c.finished()
}

// remind has Serve look at what is due no later than at.
func (c *Conn) remind(at time.Time) {
	if c.deadline.IsZero() || at.Before(c.deadline) {
		c.deadline = at
		_ = c.p.SetReadDeadline(at) // an error shows when it is read
	}
}

// wake reads what there is, and returns with all of it answered.
func (c *Conn) wake() bool {
	for {
		n, err := c.read()
		if n > 0 && !c.consume() {
			return false
		}
		if err != nil && !c.outlives(err) {
			return false
		}
		if !c.p.Conn.Ready() {
			return true
		}
	}
}

// read reads once.
func (c *Conn) read() (int, error) {
	if !c.p.Conn.Ready() {
		// A part of a TLS record. Without streams it can only become a head.
		// With them it may be content, which has a pace of its own.
		c.mu.Lock()
		if !c.quiet.IsZero() {
			c.started(time.Now())
		}
		c.mu.Unlock()
	}
	if c.in == nil {
		c.in = inputs.Get().(*input)
	}
	c.in.compact()
	n, err := c.p.Read(c.in.free())
	c.in.w += n
	return n, err
}

// consume works off the frames that are here, then writes, unless there is
// more to read without a wait.
func (c *Conn) consume() (goOn bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = time.Now()
	c.claim()
	if end := c.frames(); end != nil {
		c.fail(end)
		return false
	}
	if c.retiring && c.lastID > 0 {
		c.startDrain()
	}
	if c.in.len() == 0 {
		c.in.release()
		c.in = nil
	}
	if c.p.Conn.Ready() {
		return true
	}
	c.lay()
	c.settle()
	return !c.finished()
}

// lay puts down what a wake-up has used, so that an idle connection pins
// nothing that is lent.
func (c *Conn) lay() {
	if c.spare != nil {
		c.spare.recycle()
		c.spare = nil
	}
	p := &c.parser
	if p.into == nowhere {
		return
	}
	p.into, p.section = nowhere, message.Section{}
	// The decoder keeps hold of the last block, and with it of the input.
	// Another block, which says nothing, makes it let go.
	p.decoder.SetEmitEnabled(false)
	_, _ = p.decoder.Write(anyBlock) // cannot fail
	_ = p.decoder.Close()
}

// anyBlock is a block of one field of the static table.
var anyBlock = []byte{indexed | 2}

// beforeWait is for a record that is no data: the reader waits for the next
// one, and what was produced must not. Nor must what TLS has answered to it
// (RFC 8446, 4.6.3), of which nobody here knows: whoever writes flushes.
func (c *Conn) beforeWait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return
	}
	c.now = time.Now()
	c.claim()
	c.produced = true
	c.settle()
}

// fail ends the connection: GOAWAY is all that is left to say.
func (c *Conn) fail(why *fault) {
	c.srv.met.faults[min(why.code, numCodes-1)].Inc()
	if why.code != noError {
		c.srv.conf.Log.Debug("HTTP/2 connection ended by an error", zap.Stringer("client", c.base.Client), zap.Error(why))
	}
	c.closeAll(errConnectionLost)
	c.queue = nil
	last := c.lastID
	if c.drain == draining {
		last = c.callID
	}
	c.control = appendGoAway(c.control, last, why.code, why.text)
}

// finished reports whether the connection has nothing left to do.
func (c *Conn) finished() bool {
	return c.broken || c.drain == draining && !c.busy() && !c.writing && len(c.control) == 0
}

// end closes the connection and waits for everybody.
func (c *Conn) end() {
	if p := recover(); p != nil {
		c.srv.panicked(p)
	}
	c.mu.Lock()
	c.closeAll(errConnectionLost)
	c.claim()
	c.settle()
	c.dead = true
	busy, broken := c.writing, c.broken
	c.mu.Unlock()
	if !broken {
		c.linger(busy)
	}
	if c.isWriting() {
		_ = c.p.Conn.Close() // TLS would wait for the writer, to say goodbye
	} else {
		_ = c.p.Close() // nobody is left to tell of an error
	}
	c.group.Wait()
	if c.in != nil {
		c.in.release()
		c.in = nil
	}
	c.lay()
	c.p.Release()
}

// lingerBytes is how much is read, and dropped, for the client to read our
// last words: closing a socket that has input makes the kernel drop them.
const lingerBytes = 256 << 10

// linger gives the client a moment to take GOAWAY and to close.
func (c *Conn) linger(busy bool) {
	if !busy && c.closeWrite() != nil {
		return
	}
	c.mu.Lock()
	c.p.Conn.Resume()
	_ = c.p.SetReadDeadline(time.Now().Add(grace)) // an error shows when it is read
	c.mu.Unlock()
	b := inputs.Get().(*input)
	defer b.release()
	for total := 0; total < lingerBytes || c.isWriting(); {
		n, err := c.p.Conn.Read(b.data[:])
		if err != nil {
			return
		}
		total += n
	}
}

func (c *Conn) isWriting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writing
}

// closeWrite ends our direction.
func (c *Conn) closeWrite() error {
	if c.p.TLS != nil {
		if err := c.p.TLS.CloseWrite(); err != nil {
			return err
		}
	}
	if left, err := c.p.Conn.TryFlush(); left || err != nil {
		return errors.Join(err, wire.ErrTooSlow)
	}
	return c.p.Conn.CloseWrite()
}

// expire deals with everything that is due at now. It returns when to look
// again, or the end of the connection.
func (c *Conn) expire(now time.Time) (next time.Time, end *fault) {
	lim := &c.srv.conf.Limits
	next = now.Add(lim.IdleTime)
	if !c.partial.IsZero() {
		due := c.partial.Add(lim.HeaderTime)
		if !now.Before(due) {
			c.srv.conf.Counters.Hit(limits.HeaderTime)
			return next, &fault{enhanceYourCalm, "a frame or head took too long"}
		}
		next = earlier(next, due)
	}
	if !c.quiet.IsZero() {
		due := c.quiet.Add(lim.IdleTime)
		if !now.Before(due) {
			c.srv.conf.Counters.Hit(limits.IdleTime)
			return next, &fault{noError, "idle"}
		}
		next = earlier(next, due)
	}
	if c.drain == announced {
		if !now.Before(c.callAt) {
			c.lastCall()
		} else {
			next = earlier(next, c.callAt)
		}
	}
	for _, s := range c.streams {
		if due := c.expireStream(s, now); !due.IsZero() {
			next = earlier(next, due)
		}
	}
	return next, c.budget.exceeded
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
