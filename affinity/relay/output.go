package relay

import (
	"runtime"
	"time"
)

const (
	// round is how much content is gathered for one write by those who find
	// room at once, and as much again by those who have waited.
	round    = 64 << 10
	maxRound = 2 * round
	// maxQueued bounds what may wait to be sent: heads and control frames,
	// which do not wait for room, of a peer that asks and does not read.
	maxQueued = 16 << 20
	// congested is how much waits to be sent where a node is passed by.
	congested = 1 << 20
	// maxSpare bounds the buffer that is kept for the next round.
	maxSpare = 2 * maxRound
)

// output is what waits to be sent.
type output struct {
	// Guarded by link.mu.
	out     []byte
	spare   []byte // the buffer of the round before
	awake   bool   // the writer will look at out
	writing bool
	since   time.Duration // writing, in time after link.began
	turns   turns         // streams with content that found no room
}

// wake has what was appended written. Under mu.
func (l *link) wake() {
	if !l.awake {
		l.awake = true
		signal(l.kick)
	}
}

// write is the writer: it writes, in one go, what all have appended since the
// last time.
func (l *link) write() error {
	for {
		b, err := l.next()
		if err != nil {
			return err
		}
		if b == nil {
			select {
			case <-l.kick:
				// Others that are about to append something do so first.
				runtime.Gosched()
				continue
			case <-l.done:
				return nil
			}
		}
		_, err = l.conn.Write(b)
		if err == nil {
			err = l.below.flush()
		}
		l.met.sent.Add(float64(len(b)))
		l.met.writes.Inc()
		l.wrote(b)
		if err != nil {
			return err
		}
	}
}

// next returns what is to be written; nil when that is nothing.
func (l *link) next() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end == nil {
		l.produce()
	}
	switch {
	case l.end != nil || len(l.out) == 0:
		l.awake = false
		return nil, nil
	case len(l.out) > maxQueued:
		return nil, errFlooded
	}
	b := l.out
	l.out, l.spare = l.spare[:0], nil
	l.awake, l.writing, l.since = true, true, time.Since(l.began)
	return b, nil
}

// wrote takes the buffer back.
func (l *link) wrote(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = false
	if cap(b) <= maxSpare {
		l.spare = b[:0]
	}
}

// produce appends a round of content of those who wait, each a frame in turn.
func (l *link) produce() {
	for most := len(l.out) + round; len(l.out) < most; {
		s := l.turns.pop()
		if s == nil {
			return
		}
		s.queued = false
		if s.open {
			l.produceOne(s)
		}
	}
}

// produceOne appends a frame of s. Without credit s loses its turn, and gets
// another with the next WINDOW.
func (l *link) produceOne(s *stream) {
	if s.hit != nil {
		l.side.(*serverConn).produceHit(s)
		return
	}
	n := s.appendData(s.pend, frameData)
	s.pend = s.pend[n:]
	switch {
	case len(s.pend) == 0:
		signal(s.room)
	case s.credit > 0:
		l.enqueue(s)
	}
}

// enqueue notes that s waits for room.
func (l *link) enqueue(s *stream) {
	if !s.queued {
		s.queued = true
		l.turns.push(s)
	}
}

// append appends a frame without a payload.
func (l *link) append(k kind, stream uint32) {
	l.out = frame{k, 0, stream}.appendTo(l.out)
}

// turns is a queue of streams.
type turns struct {
	q    []*stream
	head int
}

func (t *turns) len() int { return len(t.q) - t.head }

func (t *turns) push(s *stream) {
	if t.head > 32 && t.head*2 > len(t.q) {
		n := copy(t.q, t.q[t.head:])
		clear(t.q[n:])
		t.q, t.head = t.q[:n], 0
	}
	t.q = append(t.q, s)
}

// front returns the first, nil when there is none.
func (t *turns) front() *stream {
	if t.len() == 0 {
		return nil
	}
	return t.q[t.head]
}

// pop takes the first out; nil when there is none.
func (t *turns) pop() *stream {
	s := t.front()
	if s == nil {
		return nil
	}
	t.q[t.head] = nil
	if t.head++; t.head == len(t.q) {
		t.q, t.head = t.q[:0], 0
	}
	return s
}
