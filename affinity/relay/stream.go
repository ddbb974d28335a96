package relay

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

const (
	// firstWindow is how much content may come before any was read.
	firstWindow = 32 << 10
	// budget is how much the windows of one connection may grow by in all.
	budget = 16 << 20
	// maxCredit bounds what a peer may let us send.
	maxCredit = 1 << 40
)

var errClosed = errors.New("it was closed")

// stream is one request and its answer, at either end: content in both
// directions, and what may still come of it.
type stream struct {
	// Static.
	l  *link
	id uint32
	// What the stream is, at its end: one of them.
	asked  *asked
	served *served
	news   chan struct{} // a token for whoever reads
	room   chan struct{} // a token for whoever writes

	// Guarded by l.mu.

	open bool  // in l.streams
	gone error // why it ended, if not well

	credit int64  // what may still be sent
	pend   []byte // what send waits for
	hit    *hit   // stored content, in place of pend
	queued bool   // in l.turns
	ended  bool   // our direction has ended

	in         fifo
	takes      bool  // content may come
	unwanted   bool  // and is dropped
	received   bool  // their direction has ended
	window     int64 // what may be here or on its way
	allowed    int64 // what may still come
	unreturned int64 // what was read since the last WINDOW
	trailer    exchange.Header
}

// firstWindow is how much content of a stream is taken unread.
func (l *link) firstWindow() int { return min(firstWindow, l.limits.RelayWindow) }

// enter makes s one of the connection's streams.
func (l *link) enter(s *stream) {
	s.open = true
	l.streams[s.id] = s
}

// leave takes s out of the connection: it has ended, or why it cannot go on.
func (l *link) leave(s *stream, why error) {
	delete(l.streams, s.id)
	s.open, s.gone = false, why
	if why != nil {
		s.in.reset()
	}
	s.settle()
	signal(s.news)
	signal(s.room)
}

// settle gives back what the window has grown by, once nothing is left to be
// kept.
func (s *stream) settle() {
	if first := int64(s.l.firstWindow()); !s.open && s.in.len() == 0 && s.window > first {
		s.l.budget += s.window - first
		s.window = first
	}
}

// appendData appends what may be sent of p now, as a frame, and returns how
// much that is.
func (s *stream) appendData(p []byte, k kind) int {
	n := int(min(int64(min(len(p), maxData)), s.credit))
	if n == 0 {
		return 0
	}
	s.credit -= int64(n)
	s.l.out = frame{k, n, s.id}.appendTo(s.l.out)
	s.l.out = append(s.l.out, p[:n]...)
	return n
}

// send appends content, and waits as long as there is no room. What is
// appended leaves with the next wake.
func (s *stream) send(p []byte) (n int, err error) {
	l := s.l
	for n < len(p) && s.open && l.turns.len() == 0 && len(l.out) < round {
		m := s.appendData(p[n:], frameData)
		if m == 0 {
			break
		}
		n += m
	}
	if n == len(p) && len(p) > 0 {
		return n, nil
	}
	s.pend = p[n:]
	if s.open && len(s.pend) > 0 {
		l.enqueue(s)
		l.wake()
	}
	for s.open && len(s.pend) > 0 {
		l.mu.Unlock()
		<-s.room
		l.mu.Lock()
	}
	n = len(p) - len(s.pend)
	s.pend = nil
	return n, s.lost()
}

// lost returns why nothing more can be sent; nil when it can.
func (s *stream) lost() error {
	switch {
	case s.gone != nil:
		return s.gone
	case !s.open || s.ended:
		return errClosed
	}
	return nil
}

// finish ends our direction. h may be empty.
func (s *stream) finish(h exchange.Header) {
	s.ended = true
	at := len(s.l.out)
	s.l.append(frameEnd, s.id)
	s.l.out = appendFields(s.l.out, h)
	setLength(s.l.out, at)
}

// fits reports whether the head that was appended at at is one that the other
// end takes. If not, it is taken back.
func (l *link) fits(at int) bool {
	if len(l.out)-at-frameHeader <= l.peer.maxHead {
		setLength(l.out, at)
		return true
	}
	l.out = l.out[:at]
	return false
}

// allow lets the other end send content.
func (s *stream) allow(n int64) {
	s.takes = true
	s.window += n
	s.allowed += n
}

// grant is allow for an end that does not know it.
func (s *stream) grant(n int64) {
	s.allow(n)
	s.l.appendWindow(s.id, n)
}

func (l *link) appendWindow(id uint32, n int64) {
	at := len(l.out)
	l.append(frameWindow, id)
	l.out = binary.AppendUvarint(l.out, uint64(n))
	setLength(l.out, at)
}

// onWindow gives a stream more credit.
func (s *stream) onWindow(p []byte) error {
	d := decoder{b: p}
	n := d.uint()
	if !d.done() || n == 0 || n > maxCredit || s.credit+int64(n) > maxCredit {
		return malformed("WINDOW of %d", n)
	}
	s.credit += int64(n)
	signal(s.room)
	if len(s.pend) > 0 || s.hit != nil {
		s.l.enqueue(s)
		s.l.owes = true
	}
	return nil
}

// onData takes content in.
func (s *stream) onData(k kind, p []byte) error {
	switch {
	case !s.takes || s.received:
		return malformed("%s where no content can be", k)
	case int64(len(p)) > s.allowed:
		s.l.counters.Hit(limits.RelayWindow)
		return malformed("content beyond the window")
	case len(p) == 0 && k == frameData:
		return malformed("an empty DATA")
	}
	s.allowed -= int64(len(p))
	s.received = k == frameLast
	if !s.unwanted {
		s.in.write(p)
	}
	return nil
}

// onEnd takes the end of their direction in.
func (s *stream) onEnd(p []byte) error {
	if !s.takes || s.received {
		return malformed("END where no content can be")
	}
	if len(p) > 0 {
		h, ok := parseTrailer(append([]byte(nil), p...))
		if !ok {
			return malformed("END cannot be read")
		}
		s.trailer = h
	}
	s.received = true
	return nil
}

// receive moves content that is here into p. done is false when there is
// none, and more may come.
func (s *stream) receive(p []byte) (n int, done bool, err error) {
	switch {
	case s.unwanted:
		return 0, true, errClosed
	case s.in.len() > 0:
		n = s.in.read(p)
		s.returned(n)
		return n, true, nil
	case s.gone != nil:
		return 0, true, s.gone
	case s.received:
		return 0, true, io.EOF
	case !s.open:
		return 0, true, errClosed
	}
	return 0, len(p) == 0, nil
}

// returned lets the other end send as much as was read, and more to who is
// read fast.
func (s *stream) returned(n int) {
	if !s.open || s.received {
		s.settle()
		return
	}
	l := s.l
	if s.unreturned += int64(n); s.unreturned*2 < s.window {
		return
	}
	more := max(0, min(s.window, int64(l.limits.RelayWindow)-s.window, l.budget))
	l.budget -= more
	s.window += more
	back := s.unreturned + more
	s.allowed += back
	s.unreturned = 0
	l.appendWindow(s.id, back)
	l.wake()
}

// read is io.Reader for content: it waits for some.
func (s *stream) read(p []byte) (int, error) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if n, done, err := s.receive(p); done {
			return n, err
		}
		l.mu.Unlock()
		<-s.news
		l.mu.Lock()
	}
}

// unwant drops what has come and what will.
func (s *stream) unwant() {
	s.unwanted = true
	s.in.reset()
	s.settle()
	signal(s.news)
}
