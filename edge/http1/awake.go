package http1

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// first reads what woke the connection up. It may be a part of a TLS record
// only, or one with nothing but a message of TLS: until something is read,
// Drain can end the wait.
func (c *Conn) first() bool {
	if !c.p.Conn.Ready() {
		c.await(c.now.Add(c.s.conf.Limits.HeaderTime), 0)
	}
	err := c.in.fill()
	poked := c.wake()
	switch {
	case err == nil:
		return true
	case poked && isTimeout(err):
		return c.ends(endDrained)
	}
	return c.lost(err)
}

// head finds the next head and returns its length; it reads on while there
// is only a part of one. It returns 0 when nothing is left, and false when
// the connection is over.
func (c *Conn) head() (n int, why exchange.Refusal, ok bool) {
	var end time.Time // of the wait for this head, once there is one
	for {
		n, why = c.in.head(&c.s.conf.Limits)
		switch {
		case n > 0 || why != exchange.Admitted:
			return n, why, true
		case c.p.Conn.Ready():
			ok = c.gather()
		case c.in.len() == 0:
			return 0, exchange.Admitted, true
		default:
			if end.IsZero() {
				end = c.now // the first byte came with the wake-up
				if c.busy {
					end = time.Now()
				}
				end = end.Add(c.s.conf.Limits.HeaderTime)
			}
			why, ok = c.wait(end)
		}
		if why != exchange.Admitted || !ok {
			return 0, why, ok
		}
	}
}

// gather reads what is here already. It leaves answers queued.
func (c *Conn) gather() bool {
	if c.p.TLS != nil {
		// A record may hold nothing but a message of TLS itself, and the
		// read goes on to wait: below TLS that flushes.
		lim := c.s.conf.Limits.HeaderTime
		c.bound(c.now.Add(lim), lim/8)
		if err := c.p.Seal(); err != nil {
			return c.broken(err)
		}
	}
	if err := c.in.fill(); err != nil {
		if c.queued {
			// The client has ended its own direction only.
			_ = c.p.Flush() // it is as lost as it was
		}
		return c.lost(err)
	}
	return true
}

// tick reads the clock again when n more bytes that were queued may have had
// to wait for the client: what is asked next is asked now.
func (c *Conn) tick(n int64) {
	if c.unclocked += n; c.unclocked >= wire.Window {
		c.now, c.unclocked = time.Now(), 0
	}
}

// wait waits until end for more of a head. What was answered leaves before.
func (c *Conn) wait(end time.Time) (why exchange.Refusal, ok bool) {
	if !c.flush() {
		return exchange.Admitted, false
	}
	c.bound(end, 0)
	err := c.in.fill()
	c.now = time.Now()
	switch {
	case err == nil:
		return exchange.Admitted, true
	case isTimeout(err):
		return exchange.HeadTooSlow, true
	}
	return exchange.Admitted, c.lost(err)
}

// lost notes a connection that gave nothing more to read.
func (c *Conn) lost(err error) bool {
	if isTimeout(err) {
		c.s.conf.Counters.Hit(limits.HeaderTime)
		return c.ends(endHeadSlow)
	}
	return c.ends(endClientLeft)
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// begin counts the connection as answering.
func (c *Conn) begin() {
	c.served = true
	if !c.busy {
		c.busy = true
		c.s.conf.InFlight.Add(1)
	}
}

// rest gives back all that a parked connection does not need.
func (c *Conn) rest() bool {
	c.in.discard()
	if c.desk != nil {
		c.s.desks.Put(c.desk)
		c.desk = nil
	}
	c.settle()
	return true
}

// settle counts the connection as answering no more.
func (c *Conn) settle() {
	if c.busy {
		c.busy = false
		c.s.conf.InFlight.Add(-1)
	}
}

// flush hands what was answered to the network.
func (c *Conn) flush() bool {
	c.queued = false
	if err := c.p.Flush(); err != nil {
		return c.broken(err)
	}
	return true
}

// broken notes a client that did not take its answer.
func (c *Conn) broken(err error) bool {
	c.tooLate(err)
	return c.ends(endClientLeft)
}

// tooLate counts a client that took its answer too slowly.
func (c *Conn) tooLate(err error) {
	if errors.Is(err, wire.ErrTooSlow) {
		c.tooSlow.Do(func() { c.s.conf.Counters.Hit(limits.BodyStall) })
	}
}

// refuse answers a head that cannot be read to its end.
func (c *Conn) refuse(ctx context.Context, why exchange.Refusal) bool {
	c.begin()
	return c.turn(ctx, c.in.len(), why)
}

// finish ends a connection whose client was told so. quiet says that the
// client is known to send nothing more.
func (c *Conn) finish(quiet bool, why end) bool {
	if !c.flush() {
		return false
	}
	if !quiet || c.in.len() > 0 || c.p.Conn.Ready() {
		c.linger()
	}
	return c.ends(why)
}

// lingerTime is how long a client may take to learn that it is to send
// nothing more, and for the rest of a content that nobody wants.
const lingerTime = time.Second

// linger ends our direction and reads on for a while: the kernel answers
// bytes that nobody reads with a reset, which can overtake what was sent
// before it (RFC 9112, 9.6).
func (c *Conn) linger() {
	c.settle() // a stop of the server need not wait for this
	if c.p.TLS != nil {
		_ = c.p.TLS.CloseWrite() // an error shows in what follows
	}
	if c.p.Conn.CloseWrite() != nil {
		return
	}
	c.bound(time.Now().Add(lingerTime), 0)
	c.in.discard()
	c.in.makeRoom()
	for left := c.s.conf.Limits.BodyDrain; left > 0; {
		n, err := c.p.Conn.Read(*c.in.buf)
		if err != nil {
			return
		}
		left -= n
	}
	c.s.conf.Counters.Hit(limits.BodyDrain)
}
