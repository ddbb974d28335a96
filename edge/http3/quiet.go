package http3

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// quiet is what ends a connection without requests. QUIC's idle timeout
// does not: any packet puts it off, a PING too.
type quiet struct {
	// Static after newConn.
	began time.Time

	since   atomic.Int64 // when the last request ended, in nanoseconds after began
	counted atomic.Bool  // limits.IdleTime was

	// Guarded by mu.
	mu      sync.Mutex
	stopped bool
	timer   *time.Timer // of checkQuiet
}

// note notes the end of a request, which must still count as active: a
// connection that looks idle has been so since the last note.
func (q *quiet) note(now time.Time) { q.since.Store(int64(now.Sub(q.began))) }

// watchQuiet drains the connection once no request was active for
// limits.IdleTime, until stopQuiet. Requests do not touch the timer: when it
// fires, it is set again if there were some.
func (c *Conn) watchQuiet() {
	q := &c.quiet
	q.mu.Lock()
	defer q.mu.Unlock()
	c.tasks.Add(1) // for the timer; checkQuiet, or stopQuiet, takes it back
	q.timer = time.AfterFunc(c.quietLeft(time.Now()), c.checkQuiet)
}

// quietLeft is how long the connection may go on without a request.
func (c *Conn) quietLeft(now time.Time) time.Duration {
	limit := c.server.conf.Limits.IdleTime
	if c.workers.active.Load() > 0 {
		return limit
	}
	return limit - (now.Sub(c.quiet.began) - time.Duration(c.quiet.since.Load()))
}

func (c *Conn) checkQuiet() {
	q := &c.quiet
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.stopped {
		if left := c.quietLeft(time.Now()); left > 0 {
			q.timer.Reset(left)
			return
		}
		c.countIdle()
		c.Drain() // a request may be on its way
	}
	c.tasks.Done()
}

func (c *Conn) stopQuiet() {
	q := &c.quiet
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped = true; q.timer.Stop() {
		c.tasks.Done()
	}
}

// countIdle counts a connection that was idle for too long, once: a client
// that has gone does not answer a drain either.
func (c *Conn) countIdle() {
	if !c.quiet.counted.Swap(true) {
		c.hit(limits.IdleTime)
	}
}
