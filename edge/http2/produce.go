package http2

import (
	"slices"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
)

const (
	// round is how much is produced before it is written: as much as can be
	// queued without a wait.
	round = wire.Window
	// minPiece keeps the end of a round from cutting content into crumbs.
	minPiece = 4 << 10
)

// available is how much content is here to be sent.
func (s *stream) available() int64 {
	switch {
	case !s.hit:
		return int64(s.content.len())
	case s.stored.Content == nil:
		return 0
	}
	return s.stored.Head.Length - s.sent
}

// small reports whether one frame can carry what is here.
func (s *stream) small() bool { return s.available() <= maxFrame }

// pending reports whether there is anything to send, windows aside.
func (s *stream) pending() bool {
	return len(s.blocks) > 0 || s.ended || s.available() > 0
}

// sendable reports whether something can be sent now.
func (c *Conn) sendable(s *stream) bool {
	if len(s.blocks) > 0 {
		return true
	}
	if s.available() > 0 {
		return s.window > 0 && c.window > 0
	}
	return s.ended
}

// stuck reports whether the client's windows hold s up.
func (c *Conn) stuck(s *stream) bool {
	return len(s.blocks) == 0 && s.available() > 0 && (s.window <= 0 || c.window <= 0)
}

// ready reports whether produce has something to do.
func (c *Conn) ready() bool {
	if len(c.control) > 0 {
		return true
	}
	for _, s := range c.queue {
		if c.sendable(s) {
			return true
		}
	}
	return false
}

// enqueue notes that s has something to send.
func (c *Conn) enqueue(s *stream) {
	if s.queued || !s.open {
		return
	}
	s.queued = true
	c.turns++
	s.turn = c.turns
	c.queue = append(c.queue, s)
}

// keptQueue is how long a queue may be that an idle connection keeps.
const keptQueue = 16

func (c *Conn) unqueue(s *stream) {
	if !s.queued {
		return
	}
	s.queued = false
	last := len(c.queue) - 1
	for i, q := range c.queue {
		if q == s {
			c.queue[i] = c.queue[last]
			break
		}
	}
	c.queue[last] = nil
	if c.queue = c.queue[:last]; last == 0 && cap(c.queue) > keptQueue {
		c.queue = nil
	}
}

// produce queues a round of frames in p, in order: control frames, heads,
// content by priority within the windows. Only who has set writing calls it.
func (c *Conn) produce(now time.Time) {
	if c.p.Buffered()+len(c.control) > round {
		return // what hits have queued goes first
	}
	c.appendControl()
	for i := 0; i < len(c.queue); i++ {
		s := c.queue[i]
		n := len(c.queue)
		c.produceHeads(s)
		if len(c.queue) < n { // and s may be somebody else's already
			i-- // another has taken its place
		}
	}
	for {
		room := round - c.p.Buffered() - frameHeaderSize
		s := c.next()
		if s == nil || room < minPiece && s.available() > int64(room) || s.available() == 0 && !c.fits(len(s.trailer)) {
			break
		}
		c.produceContent(s, int64(min(room, maxFrame)), now)
	}
	c.noteStuck(now)
}

func (c *Conn) appendControl() {
	if len(c.control) > 0 {
		c.append(c.control)
		c.control = nil
	}
}

// fits reports whether a header block of n bytes goes into this round. A large
// one has a round of its own.
func (c *Conn) fits(n int) bool {
	const slack = 8 * frameHeaderSize
	return c.p.Buffered() == 0 || c.p.Buffered()+n+slack <= round
}

// produceHeads queues the header blocks of s that go into this round. With the
// last of them s may be complete, and not to be used again.
func (c *Conn) produceHeads(s *stream) {
	n := 0
	for n < len(s.blocks) && c.fits(len(s.blocks[n])) {
		end := n == len(s.blocks)-1 && s.ended && s.available() == 0 && s.trailer == nil
		c.appendBlock(s.id, s.blocks[n], end)
		if n++; end {
			s.blocks = slices.Delete(s.blocks, 0, n)
			c.unqueue(s)
			c.complete(s)
			return
		}
	}
	s.blocks = slices.Delete(s.blocks, 0, n)
	if n > 0 && !s.pending() {
		c.unqueue(s)
	}
}

// appendBlock queues a field section as HEADERS and CONTINUATION.
func (c *Conn) appendBlock(id uint32, block []byte, end bool) {
	f := frame{0, frameHeaders, 0, id}
	if end {
		f.flags = flagEndStream
	}
	most := maxFrame
	if c.shrink {
		most--
	}
	for {
		n := min(len(block), most)
		if f.length = n; n == len(block) {
			f.flags |= flagEndHeaders
		}
		if c.shrink {
			f.length++
		}
		c.appendFrame(f)
		if c.shrink {
			c.append(emptyTable)
			c.shrink = false
		}
		c.append(block[:n])
		if block = block[n:]; len(block) == 0 {
			return
		}
		f, most = frame{0, frameContinuation, 0, id}, maxFrame
	}
}

// appendFrame queues a frame's header, in place: on the stack it would
// escape, and cost an allocation.
func (c *Conn) appendFrame(f frame) {
	b, err := c.p.Room(frameHeaderSize)
	if err != nil {
		c.wrote(err)
		return
	}
	c.p.Commit(len(f.appendTo(b)))
	c.produced = true
}

// next returns the stream whose turn it is, nil when none can send.
func (c *Conn) next() *stream {
	var first *stream
	for _, s := range c.queue {
		if len(s.blocks) == 0 && c.sendable(s) && (first == nil || c.before(s, first)) {
			first = s
		}
	}
	return first
}

// produceContent queues one DATA frame of s, or its trailer.
func (c *Conn) produceContent(s *stream, limit int64, now time.Time) {
	there := s.available()
	n := min(there, limit, max(s.window, 0), max(c.window, 0))
	whole := n == there && s.ended
	if !s.blocked.IsZero() {
		s.waited += now.Sub(s.blocked)
		s.blocked = time.Time{}
	}
	c.served(s, there <= maxFrame)
	if n > 0 || whole && s.trailer == nil {
		f := frame{int(n), frameData, 0, s.id}
		if whole && s.trailer == nil {
			f.flags = flagEndStream
		}
		c.appendFrame(f)
		c.appendContent(s, n)
		s.window -= n
		c.window -= n
		s.sent += n
		c.budget.progress(int(n))
		if s.window > 0 && c.window > 0 {
			c.budget.flowed(&c.srv.conf.Limits)
		}
	}
	if whole && s.trailer != nil {
		if whole = c.fits(len(s.trailer)); whole {
			c.appendBlock(s.id, s.trailer, true)
		}
	}
	if s.x != nil {
		s.x.changed.Broadcast() // there is room
	}
	if whole {
		c.unqueue(s)
		c.complete(s)
	} else if !s.pending() {
		c.unqueue(s)
	}
}

// appendContent queues the next n bytes of content.
func (c *Conn) appendContent(s *stream, n int64) {
	if s.hit {
		c.appendStored(s.stored.Content, s.sent, n)
		return
	}
	for n > 0 {
		b := s.content.front(int(n))
		c.append(b)
		s.content.drop(len(b))
		n -= int64(len(b))
	}
}

// appendStored queues n bytes of stored content from off.
func (c *Conn) appendStored(content exchange.Content, off, n int64) {
	for n > 0 {
		b := content.From(off)
		if len(b) == 0 {
			c.wrote(errShort)
			return
		}
		b = b[:min(int64(len(b)), n)]
		c.append(b)
		off += int64(len(b))
		n -= int64(len(b))
	}
}

// append queues bytes. What fails here fails again when it is flushed.
func (c *Conn) append(b []byte) {
	c.produced = true
	if err := c.p.Append(b); err != nil {
		c.wrote(err)
	}
}

// noteStuck starts the clock of streams that only the client's windows hold
// up, and stops it for those that they do not any more.
func (c *Conn) noteStuck(now time.Time) {
	for _, s := range c.queue {
		switch stuck := c.stuck(s); {
		case stuck && s.blocked.IsZero():
			s.blocked = now
			c.remind(now.Add(c.pace.Read(s.sent, s.waited)))
		case !stuck && !s.blocked.IsZero():
			s.waited += now.Sub(s.blocked)
			s.blocked = time.Time{}
		}
	}
}
