package relay

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Why a connection ended.
var (
	errSilent  = errors.New("nothing came for limits.relay_dead")
	errStuck   = errors.New("it took nothing for too long")
	errFlooded = errors.New("it made too much wait to be sent")
	errRetired = errors.New("it is no longer needed")
	errDrained = errors.New("this node is leaving")
)

const (
	// smallRead is the usual size of the buffer that frames are parsed in: a
	// TLS record and what was left of the one before.
	smallRead = 34 << 10
	// pulses is how many times in limits.RelayDead a connection is looked at,
	// and the other side asked whether it is there.
	pulses = 4
	// stuckAfter is how many times limits.RelayDead one write may take.
	stuckAfter = 4
)

// side is what the two ends of a connection do not have in common.
type side interface {
	// frame takes a frame that is not about the connection alone. p is gone
	// when it returns. An error ends the connection. Called by the reader.
	frame(f frame, p []byte) error
	// ended takes leave of every stream. Called once, under mu.
	ended(why error)
	// alarmed is called when link.alarm has rung. Not under mu.
	alarmed()
}

// link is one end of a connection: its frames, streams and goroutines. One
// goroutine reads, one writes, one looks at the clock.
type link struct {
	// Static after init.
	id       affinity.NodeID // of the other end
	conn     *tls.Conn
	below    *pipe
	side     side
	theirs   sender // what the other end may send
	limits   *limits.Limits
	counters *limits.Counters
	met      *linkMetrics
	log      *zap.Logger
	began    time.Time
	kick     chan struct{} // one token; wakes the writer; never closed
	done     chan struct{} // closed by fail
	alarm    *time.Timer
	tasks    sync.WaitGroup

	heard atomic.Int64 // when something came, in ns after began
	// mute says that a request was not accepted in time, and that nothing at
	// all has come since it was sent.
	mute atomic.Bool

	// Owned by the reader.
	buf     []byte
	r, w    int
	now     time.Time // when what is being read came
	told    []*stream // to be told once all that came was read
	owes    bool      // something was appended meanwhile
	greeted bool      // HELLO has come

	mu sync.Mutex
	// Guarded by mu.
	peer hello
	output
	streams map[uint32]*stream
	budget  int64 // what windows may still grow by
	end     error // why it ended; nil while it has not
}

// init makes the link ready for run. What s is made of is set already.
func (l *link) init(s side) {
	l.side = s
	l.began = time.Now()
	l.kick = make(chan struct{}, 1)
	l.done = make(chan struct{})
	l.alarm = time.NewTimer(time.Hour)
	l.alarm.Stop()
	l.buf = make([]byte, smallRead)
	l.streams = map[uint32]*stream{}
	l.budget = budget
	h := hello{window: l.firstWindow(), maxHead: maxHeadOf(l.limits)}
	if l.theirs == asker {
		h.streams = l.limits.RelayStreams
	}
	l.out = h.frame()
}

// run is the connection, from HELLO to its end. It returns when all its
// goroutines have, those of requests too.
func (l *link) run() {
	l.mu.Lock()
	l.wake()
	l.mu.Unlock()
	l.met.open.Inc()
	l.tasks.Go(func() { l.fail(l.guarded(l.write)) })
	l.tasks.Go(func() { l.fail(l.guarded(l.tend)) })
	l.fail(l.guarded(l.read))
	l.tasks.Wait()
	l.met.open.Dec()
	l.met.ended[reasonOf(l.end)].Inc()
	l.log.Info("a connection between nodes ended", zap.Uint8("node", uint8(l.id)), zap.Error(l.end))
}

// guarded runs a task, which returns why the connection is to end. A broken
// invariant is a reason.
func (l *link) guarded(task func() error) (why error) {
	defer func() {
		if p := recover(); p != nil {
			l.met.panics.Inc()
			l.log.Error("panic on a connection between nodes", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			why = fmt.Errorf("panic: %v", p)
		}
	}()
	return task()
}

// read takes in what comes until that fails.
func (l *link) read() error {
	for {
		n, err := l.conn.Read(l.buf[l.w:])
		if n > 0 {
			l.w += n
			l.now = time.Now()
			l.heard.Store(int64(l.now.Sub(l.began)))
			if l.mute.Load() {
				l.mute.Store(false)
			}
			l.met.received.Add(float64(n))
			if err := l.consume(); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// consume takes the frames that are here, then tells who waits for them.
func (l *link) consume() error {
	for l.w-l.r >= frameHeader {
		f, err := parseFrame(l.buf[l.r:], l.theirs, maxHeadOf(l.limits))
		if err != nil {
			return err
		}
		end := l.r + frameHeader + f.length
		if l.w < end {
			l.room(frameHeader + f.length)
			break
		}
		p := l.buf[l.r+frameHeader : end : end]
		l.r = end
		if err := l.take(f, p); err != nil {
			return err
		}
	}
	l.compact()
	for i, s := range l.told {
		signal(s.news)
		l.told[i] = nil
	}
	l.told = l.told[:0]
	if l.owes {
		l.owes = false
		l.mu.Lock()
		l.wake()
		l.mu.Unlock()
	}
	return nil
}

// room makes the buffer hold a frame of n bytes.
func (l *link) room(n int) {
	if n > len(l.buf) {
		b := make([]byte, n)
		l.w = copy(b, l.buf[l.r:l.w])
		l.r, l.buf = 0, b
	}
}

// compact makes room behind what is left of the input. A buffer for a large
// head is not kept longer than that.
func (l *link) compact() {
	if l.r == l.w {
		l.r, l.w = 0, 0
		if len(l.buf) > smallRead && l.w == 0 {
			l.buf = make([]byte, smallRead)
		}
		return
	}
	if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
	}
}

// take takes a frame.
func (l *link) take(f frame, p []byte) error {
	if l.greeted == (f.kind == frameHello) {
		return malformed("%s out of place", f.kind)
	}
	switch f.kind {
	case frameHello:
		h, err := parseHello(p)
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.peer = h
		l.mu.Unlock()
		l.greeted = true
		return l.side.frame(f, p)
	case framePing:
		l.mu.Lock()
		l.out = frame{framePong, 0, 0}.appendTo(l.out)
		l.mu.Unlock()
		l.owes = true
	case framePong: // that it came is all it says
	default:
		return l.side.frame(f, p)
	}
	return nil
}

// tell has whoever waits for s told, when all that came was read. Only the
// reader calls it.
func (l *link) tell(s *stream) { l.told = append(l.told, s) }

// signal passes a token, unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tend looks at the clock.
func (l *link) tend() error {
	pulse := time.NewTicker(max(l.limits.RelayDead/pulses, time.Millisecond))
	defer pulse.Stop()
	defer l.alarm.Stop()
	for {
		select {
		case <-l.done:
			return nil
		case <-l.alarm.C:
			l.side.alarmed()
		case <-pulse.C:
			if err := l.pulse(time.Since(l.began)); err != nil {
				return err
			}
		}
	}
}

// pulse is what is done in every pulse: it returns why the connection is
// dead, if it is.
func (l *link) pulse(now time.Duration) error {
	dead := l.limits.RelayDead
	if now-time.Duration(l.heard.Load()) > dead {
		l.counters.Hit(limits.RelayDead)
		return errSilent
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing && now-l.since > stuckAfter*dead {
		l.counters.Hit(limits.RelayDead)
		return errStuck
	}
	if l.theirs == answerer && len(l.out) < maxRound {
		l.out = frame{framePing, 0, 0}.appendTo(l.out)
		l.wake()
	}
	return nil
}

// fail ends the connection, once.
func (l *link) fail(why error) {
	defer func() { _ = l.below.Conn.Close() }() // TLS would wait for the writer, to say goodbye
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end == nil {
		l.end = why
		close(l.done)
		l.side.ended(why)
	}
}

// reasonOf says in a word why a connection ended.
func reasonOf(err error) reason {
	var f *fault
	switch {
	case errors.As(err, &f):
		return endMalformed
	case errors.Is(err, errSilent), errors.Is(err, errStuck):
		return endSilent
	case errors.Is(err, errFlooded):
		return endFlooded
	case errors.Is(err, errRetired), errors.Is(err, errDrained):
		return endRetired
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return endClosed
	}
	return endBroken
}
