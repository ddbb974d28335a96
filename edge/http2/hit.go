package http2

import (
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
)

// maxDirectHead bounds the head of a hit that is written in place.
const maxDirectHead = 8 << 10

// answer has the handler answer a request from memory, and sends the answer:
// the whole way of a hit. It is false when there is none, and nothing has
// happened.
func (c *Conn) answer(s *stream) bool {
	r, st := &s.request, &s.stored
	if !c.srv.conf.Handler.Hit(r, st) {
		return false
	}
	block := st.Head.Encoded(exchange.HTTP2, encodeHead)
	size := headSize(block, st.Own)
	n := int64(0)
	if st.Content != nil {
		n = st.Head.Length
	}
	if !c.direct(size, n) {
		c.later(s, block)
		return true
	}
	c.appendControl()
	b, err := c.p.Room(size)
	if err != nil {
		c.wrote(err)
		b = make([]byte, 0, size) // the connection is lost, and this with it
	}
	b = frame{0, frameHeaders, flagEndHeaders, s.id}.appendTo(b)
	if c.shrink {
		b = append(b, tableSize)
		c.shrink = false
	}
	b = c.appendHead(b, block, st.Own)
	setLength(b, len(b)-frameHeaderSize)
	if n > 0 {
		b = frame{int(n), frameData, flagEndStream, s.id}.appendTo(b)
	} else {
		b[flagsAt] |= flagEndStream
	}
	if err == nil {
		c.p.Commit(len(b))
		c.produced = true
		c.appendStored(st.Content, 0, n)
	}
	c.window -= n
	c.budget.progress(int(n))
	c.budget.flowed(&c.srv.conf.Limits)
	c.budget.ended()
	if !c.quiet.IsZero() {
		c.quiet = c.now
	}
	c.release(s, n, exchange.NoCause)
	c.spare = s
	return true
}

// headSize is at least what a hit's head takes, with both frames' headers.
func headSize(block []byte, own []exchange.Field) int {
	const slack = 2*frameHeaderSize + 64 // Date, lengths, a table's size
	n := len(block) + slack
	for _, f := range own {
		n += len(f.Name) + len(f.Value) + 8
	}
	return n
}

// appendHead appends a hit's header block: what all have in common, what is
// its own, and the date if the response has none.
func (c *Conn) appendHead(b, block []byte, own []exchange.Field) []byte {
	b = append(b, block[1:]...)
	for i := range own {
		b = appendField(b, own[i].Name, own[i].Value)
	}
	if block[0] == 0 {
		b = appendDate(b, wire.Date(c.now))
	}
	return b
}

// flagsAt is where a frame has its flags.
const flagsAt = 4

func setLength(b []byte, n int) { b[0], b[1], b[2] = byte(n>>16), byte(n>>8), byte(n) }

// direct reports whether a hit can be sent at once: nobody waits for the
// output, and it fits one frame, both windows and this round.
func (c *Conn) direct(head int, n int64) bool {
	if n > min(maxFrame, c.window, c.initialWindow) || head > maxDirectHead || len(c.queue) > 0 {
		return false
	}
	if c.mine && c.p.Buffered()+len(c.control)+head+int(n) > round {
		c.settle()
		c.claim()
		// Meanwhile an exchange may have used the window, or queued itself.
		if n > min(c.window, c.initialWindow) || len(c.queue) > 0 {
			return false
		}
	}
	return c.mine
}

// later makes a hit wait for its turn.
func (c *Conn) later(s *stream, block []byte) {
	s.block = c.appendHead(s.block[:0], block, s.stored.Own)
	s.blocks = append(s.blocks[:0], s.block)
	s.hit, s.ended = true, true
	c.enter(s, true)
	c.enqueue(s)
}

// release ends a hit of which n bytes of content were sent.
func (c *Conn) release(s *stream, n int64, why exchange.Cause) {
	if content := s.stored.Content; content != nil {
		content.Release()
	}
	st := &s.stored
	c.srv.conf.Handler.Sent(&s.request, st, n, why)
	// The next request that has this stream may be no hit.
	st.Head, st.Own, st.Content, st.Copy, st.Note = nil, nil, nil, exchange.Copy{}, nil
}

// leaveHit ends a hit that was queued.
func (c *Conn) leaveHit(s *stream, why error) {
	cause := exchange.NoCause
	if why != nil {
		cause = exchange.ClientAborted
	}
	c.release(s, s.sent, cause)
	c.srv.conf.InFlight.Add(-1)
	s.recycle()
}
