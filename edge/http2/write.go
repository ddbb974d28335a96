package http2

import (
	"errors"
	"time"

	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Who writes. One goroutine at a time has set writing; it produces under mu,
// writes without it, and produces again until nothing is ready. Whoever
// queues something meanwhile leaves it to that one.
//
//   - Serve's goroutine claims writing for a wake-up. It never waits for the
//     network: what does not leave at once it hands over.
//   - An exchange's goroutine writes what it flushes itself, and may wait.
//   - The writer's goroutine is started when something is handed over, and
//     ends when nothing is ready.

// rounds bounds how much Serve's goroutine writes before it reads again.
const rounds = 16

// claim makes Serve's goroutine the one that writes, if nobody does.
func (c *Conn) claim() {
	if !c.writing {
		c.writing, c.mine = true, true
	}
}

// settle writes what Serve's goroutine has claimed to write.
func (c *Conn) settle() {
	if !c.mine {
		return
	}
	c.mine = false
	for range rounds {
		c.produce(c.now)
		if !c.produced || c.broken {
			c.writing = false
			return
		}
		c.produced = false
		c.mu.Unlock()
		left, err := c.p.TryFlush()
		c.mu.Lock()
		c.wrote(err)
		if left && !c.broken {
			break
		}
	}
	c.startWriter()
}

// push writes what is ready, unless somebody does already. It may wait for
// the network, without mu: it is for the goroutines of exchanges.
func (c *Conn) push() {
	if c.writing || c.dead || c.broken {
		return
	}
	if !c.ready() {
		c.noteStuck(time.Now())
		return
	}
	c.writing = true
	c.produce(time.Now())
	c.produced = false
	c.mu.Unlock()
	err := c.p.Flush()
	c.mu.Lock()
	c.wrote(err)
	if c.broken || !c.produced && !c.ready() {
		c.writing = false
		c.noteStuck(time.Now()) // others may have queued content meanwhile
		c.concluded()
		return
	}
	// The others' content is not this exchange's to wait for.
	c.startWriter()
}

// handOver writes what is ready on another goroutine, unless somebody does
// already. It is for those whom Serve does not wait for.
func (c *Conn) handOver() {
	if !c.writing && !c.dead && !c.broken && c.ready() {
		c.writing = true
		c.startWriter()
	}
}

// startWriter passes writing on to the writer's goroutine. Serve waits for it:
// who calls this is one of those it waits for, or has seen under mu that it
// does not wait yet.
func (c *Conn) startWriter() {
	if c.broken {
		c.writing = false
		return
	}
	c.group.Go(c.writer)
}

func (c *Conn) writer() {
	for {
		err := c.p.Flush()
		c.mu.Lock()
		c.wrote(err)
		if !c.broken {
			c.produce(time.Now())
		}
		if c.broken || !c.produced {
			c.writing = false
			c.concluded()
			c.mu.Unlock()
			return
		}
		c.produced = false
		c.mu.Unlock()
	}
}

// wrote notes an error of writing. The connection ends by it: Serve's
// goroutine notices when it reads.
func (c *Conn) wrote(err error) {
	if err == nil || c.broken {
		return
	}
	c.broken = true
	if errors.Is(err, wire.ErrTooSlow) {
		c.srv.conf.Counters.Hit(limits.BodyStall)
	}
	_ = c.p.Conn.Close() // it is of no more use
}

// concluded has Serve return when the last of an orderly end was written.
func (c *Conn) concluded() {
	if c.finished() {
		c.remind(time.Now())
	}
}
