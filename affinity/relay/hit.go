package relay

import (
	"github.com/landfall-cdn/landfall/edge/exchange"
)

// directHit is the largest stored content that is sent without taking turns.
const directHit = 32 << 10

// hit is a request that was answered from memory: who asked for what, the
// answer, and how much of it was sent.
type hit struct {
	incoming incoming
	request  *exchange.Request // what Hit had; of incoming unless it was kept
	stored   exchange.Stored
	off, end int64
}

// answer has the handler answer the spare's request from memory, and sends
// the answer: the whole way of a hit. It is false when there is none, and
// nothing has happened.
func (c *serverConn) answer(id uint32) bool {
	h := c.spare
	h.request = &h.incoming.request
	st := &h.stored
	if !c.s.conf.Handler.Hit(h.request, st) {
		return false
	}
	c.s.met.served[servedHit].Inc()
	block := st.Head.Encoded(exchange.ToPeer, encodeHead)
	h.off, h.end = 0, 0
	if st.Content != nil {
		h.end = st.Head.Length
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owes = true
	switch {
	case c.end != nil || !c.appendHit(id, block, st, h.end == 0):
		c.release(h, exchange.ClientAborted)
	case h.end == 0:
		c.release(h, exchange.NoCause)
	case h.end <= min(directHit, int64(c.peer.window)) && len(c.out)+int(h.end) <= round:
		for h.off < h.end && h.produce(&c.link, id, maxData) > 0 {
		}
		if h.off < h.end {
			c.append(frameCancel, id) // it is shorter than its head says
			c.release(h, exchange.ProxyInternalError)
			break
		}
		c.release(h, exchange.NoCause)
	default:
		c.queue(id, h)
	}
	return true
}

// appendHit appends the head of a hit. It is false when the other end does
// not take it.
func (c *serverConn) appendHit(id uint32, block []byte, st *exchange.Stored, whole bool) bool {
	at := len(c.out)
	c.append(frameResponse, id)
	m := marks(0)
	if whole {
		m = isWhole
	}
	c.out = append(appendMarks(c.out, m, &st.Copy), block...)
	for i := range st.Own {
		if name := st.Own[i].Name; name == "age" || name == "cache-status" {
			c.out = appendText(appendText(c.out, name), st.Own[i].Value)
		}
	}
	if c.fits(at) {
		return true
	}
	c.appendFail(id, errHead)
	return false
}

// appendFail says why there is no answer.
func (l *link) appendFail(id uint32, e *exchange.Error) {
	at := len(l.out)
	l.append(frameFail, id)
	l.out = appendFailure(l.out, e)
	setLength(l.out, at)
}

// produce appends a frame of at most most bytes of stored content, and returns
// how much that was.
func (h *hit) produce(l *link, id uint32, most int64) int64 {
	b := h.stored.Content.From(h.off)
	n := min(int64(len(b)), most, h.end-h.off)
	if n == 0 {
		return 0
	}
	k := frameData
	if h.off += n; h.off == h.end {
		k = frameLast
	}
	l.out = frame{k, int(n), id}.appendTo(l.out)
	l.out = append(l.out, b[:n]...)
	return n
}

// queue has a hit take turns. What it borrowed it keeps.
func (c *serverConn) queue(id uint32, h *hit) {
	h.request = h.incoming.kept()
	s := &stream{l: &c.link, id: id, hit: h, credit: int64(c.peer.window)}
	c.enter(s)
	c.enqueue(s)
	c.spare = hits.Get().(*hit)
}

// produceHit appends a frame of a hit whose turn it is.
func (c *serverConn) produceHit(s *stream) {
	h := s.hit
	if s.credit <= 0 {
		return // WINDOW brings it back
	}
	n := h.produce(&c.link, s.id, min(maxData, s.credit))
	s.credit -= n
	if n > 0 && h.off < h.end {
		if s.credit > 0 {
			c.enqueue(s)
		}
		return
	}
	c.leave(s, nil)
	s.hit = nil
	why := exchange.NoCause
	if h.off < h.end { // it is shorter than its head says
		c.append(frameCancel, s.id)
		why = exchange.ProxyInternalError
	}
	c.release(h, why)
	h.recycle()
	c.rest()
}

// release ends a hit.
func (c *serverConn) release(h *hit, why exchange.Cause) {
	st := &h.stored
	if st.Content != nil {
		st.Content.Release()
	}
	c.s.conf.Handler.Sent(h.request, st, h.off, why)
	// The next request that is read into this may be no hit.
	st.Head, st.Own, st.Content, st.Copy, st.Note = nil, nil, nil, exchange.Copy{}, nil
}

// recycle gives back a hit that was queued.
func (h *hit) recycle() {
	fields := h.incoming.request.Header[:cap(h.incoming.request.Header)]
	clear(fields) // they lie in a buffer that has moved on
	*h = hit{}
	h.incoming.request.Header = fields[:0]
	hits.Put(h)
}
