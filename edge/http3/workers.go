package http3

import (
	"sync"
	"sync/atomic"
	"time"
)

// workers are the goroutines that answer requests: each answers one, then
// waits for another, since a new goroutine must grow its stack first. When
// the connection falls silent they end.
type workers struct {
	// Static after construction.
	streams chan stream // unbuffered; nil ends a worker that waits

	active atomic.Int64 // requests being answered
	idle   atomic.Int64 // workers that wait, or are about to

	// Guarded by mu.
	mu      sync.Mutex
	stopped bool
	timer   *time.Timer // of retire; nil: no worker waits, or will
	seen    int64       // Conn.next when the timer was set
}

const (
	// idleWorkers is how many workers of a connection may wait.
	idleWorkers = 32
	// silence is how long workers wait, at least.
	silence = time.Second
)

// room reports whether another request may be answered. QUIC's limit on
// streams alone does not bound requests: a stream that was reset makes room
// for the next before its request has noticed. Only one goroutine may ask.
func (w *workers) room(limit int) bool {
	if w.active.Load() >= int64(limit) {
		return false
	}
	w.active.Add(1)
	return true
}

// leave gives back the room of a request.
func (c *Conn) leave() {
	if c.workers.active.Add(-1) == 0 {
		c.drain.signal()
	}
}

// dispatch has a worker answer a stream.
func (c *Conn) dispatch(s stream) {
	select {
	case c.workers.streams <- s:
	default:
		c.startRetiring()
		c.tasks.Go(func() { c.work(s) })
	}
}

func (c *Conn) work(s stream) {
	w := &c.workers
	for s != nil {
		c.serve(s)
		idle := w.idle.Add(1) // first: retire must see it
		c.quiet.note(time.Now())
		c.leave()
		if idle <= idleWorkers {
			s = <-w.streams
		} else {
			s = nil
		}
		w.idle.Add(-1)
	}
}

// startRetiring sees to it that workers end one day.
func (c *Conn) startRetiring() {
	w := &c.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil && !w.stopped {
		c.tasks.Add(1) // for the timer; retire, or stop, takes it back
		w.seen = c.next.Load()
		w.timer = time.AfterFunc(silence, c.retire)
	}
}

// retire ends the workers that wait, if no request has come since it was
// last asked to.
func (c *Conn) retire() {
	w := &c.workers
	w.mu.Lock()
	defer w.mu.Unlock()
	switch next := c.next.Load(); {
	case w.stopped:
	case next == w.seen && w.active.Load() == 0:
		if w.dismiss(); w.idle.Load() == 0 {
			break
		}
		fallthrough // they are on their way
	default:
		w.seen = next
		w.timer.Reset(silence)
		return
	}
	w.timer = nil
	c.tasks.Done()
}

// dismiss ends the workers that wait now.
func (w *workers) dismiss() {
	for {
		select {
		case w.streams <- nil:
		default:
			return
		}
	}
}

// stopWorkers ends the workers, each once its request is answered. No stream
// is dispatched any more.
func (c *Conn) stopWorkers() {
	w := &c.workers
	w.mu.Lock()
	w.stopped = true
	if w.timer != nil && w.timer.Stop() {
		c.tasks.Done()
	}
	w.mu.Unlock()
	close(w.streams)
}
