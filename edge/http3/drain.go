package http3

import (
	"math"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// drain is what Drain needs. A connection drains in three steps, as RFC
// 9114, 5.2, has it: GOAWAY with the highest ID tells the client to open no
// more requests; once those on their way have come, GOAWAY with the first
// ID that is refused; and when the last request is answered, the end.
type drain struct {
	idleC chan struct{} // of capacity 1: the last request was answered

	// Guarded by mu.
	mu      sync.Mutex
	wanted  bool
	control *quic.SendStream // nil: not serving yet
	over    bool             // nobody may start to drain any more
}

// signal says that the last request was answered.
func (d *drain) signal() {
	select {
	case d.idleC <- struct{}{}:
	default:
	}
}

// Drain lets the requests in flight finish and accepts no more; then Serve
// returns. It may be called from any goroutine, any number of times.
func (c *Conn) Drain() {
	d := &c.drain
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wanted || d.over {
		return
	}
	if d.wanted = true; d.control != nil {
		c.tasks.Go(c.goAway)
	}
}

// Retire is Drain for a connection that has had a request; one that has not
// drains with its first. Requests have more time to arrive than in a Drain.
// It may be called from any goroutine.
func (c *Conn) Retire() {
	c.retiring.Store(true) // before next is read: accept does it the other way round
	if c.next.Load() > 0 {
		c.Drain()
	}
}

// beginDrains allows draining from now on: GOAWAY goes over control.
func (c *Conn) beginDrains(control *quic.SendStream) {
	d := &c.drain
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.control = control; d.wanted {
		c.tasks.Go(c.goAway)
	}
}

func (c *Conn) endDrains() {
	c.drain.mu.Lock()
	defer c.drain.mu.Unlock()
	c.drain.over = true
}

// lastStream is an ID above that of every request (RFC 9114, 5.2).
const lastStream = 1<<62 - 4

// goAway drains the connection.
func (c *Conn) goAway() {
	c.sendGoAway(lastStream)
	underway := c.travel()
	if c.retiring.Load() {
		underway = longestTravel
	}
	if !c.wait(underway) {
		return
	}
	c.sendGoAway(c.refuseNew())
	// The last responses and GOAWAY must get there first: a closed connection
	// sends nothing again. Nor should the end overtake the reset of a request
	// that is being refused.
	if c.answered() && c.wait(c.travel()) && c.answered() {
		c.close(codeNoError, "going away")
	}
}

// answered waits until no request is active, and reports whether the
// connection still lived then.
func (c *Conn) answered() bool {
	for c.workers.active.Load() > 0 {
		select {
		case <-c.drain.idleC:
		case <-c.ctx.Done():
			return false
		}
	}
	return true
}

// refuseNew refuses every request that acceptRequests has not seen yet, and
// returns the ID of the first.
func (c *Conn) refuseNew() int64 {
	for {
		next := c.next.Load()
		c.refused.Store(next)
		if c.next.Load() == next {
			return next
		}
		c.refused.Store(math.MaxInt64)
	}
}

func (c *Conn) sendGoAway(id int64) {
	length := quicvarint.Len(uint64(id))
	b := quicvarint.Append([]byte{frameGoAway, byte(length)}, uint64(id))
	_, _ = c.drain.control.Write(b) // fails when the connection is over
}

const (
	shortestTravel = 50 * time.Millisecond
	longestTravel  = time.Second
)

// travel is how long a message to the client and its answer take.
func (c *Conn) travel() time.Duration {
	return min(max(2*c.qc.ConnectionStats().SmoothedRTT, shortestTravel), longestTravel)
}

// wait reports whether the connection still lived after d.
func (c *Conn) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	case <-c.qc.Context().Done():
		return false
	}
}
