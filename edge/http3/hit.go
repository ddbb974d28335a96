package http3

import (
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
)

// hit answers the request from memory, if the handler can. What is small
// leaves in one write with its head.
func (q *request) hit() bool {
	r, h := &q.req, &q.stored
	h.Head, h.Own, h.Content, h.Note = nil, nil, nil, nil
	if !q.c.server.conf.Handler.Hit(r, h) {
		return false
	}
	out := writeBuffers.get()
	b := beginFrame(out.data)
	b = append(b, h.Head.Encoded(exchange.HTTP3, encodeStored)...)
	for _, f := range h.Own {
		b = appendPlain(b, f.Name, f.Value)
	}
	b = appendDate(b, h.Head.Header, r.Arrived)
	endFrame(b, 0, frameHeaders)

	p := pacer{s: q.s, pace: q.c.server.pace}
	sent, length := int64(0), int64(0)
	var err error
	if h.Content != nil {
		if length = h.Head.Length; length > 0 {
			b = appendDataHeader(b, length)
		}
		sent, err = q.sendContent(&p, b, length)
		h.Content.Release()
	} else {
		err = p.write(b)
	}
	out.data = b
	out.release()

	why := exchange.NoCause
	if err != nil || sent != length {
		why = exchange.ClientAborted
	}
	q.c.server.conf.Handler.Sent(r, h, sent, why)
	h.Head, h.Own, h.Content, h.Note = nil, nil, nil, nil
	q.endHit(err, sent == length)
	return true
}

// sendContent writes head, to which the first content is added while it
// fits, then the rest from where it lies. It returns how much content was
// taken; less than length without an error is a broken store's.
func (q *request) sendContent(p *pacer, head []byte, length int64) (sent int64, err error) {
	content := q.stored.Content
	var piece []byte
	before := len(head)
	for sent < length && len(head)-before < gatherSize {
		if piece = content.From(sent); len(piece) == 0 {
			break
		}
		piece = piece[:min(int64(len(piece)), length-sent)]
		n := min(len(piece), gatherSize-(len(head)-before))
		head = append(head, piece[:n]...)
		sent += int64(n)
	}
	if err := p.write(head); err != nil {
		return max(0, p.sent-int64(before)), err
	}
	if sent == length {
		return sent, nil
	}
	// A hit that takes more than one write may be held up by its client.
	q.c.server.conf.InFlight.Add(1)
	defer q.c.server.conf.InFlight.Add(-1)
	for sent < length {
		if piece = content.From(sent); len(piece) == 0 {
			break
		}
		piece = piece[:min(int64(len(piece)), length-sent)]
		if err := p.write(piece); err != nil {
			return max(0, p.sent-int64(before)), err
		}
		sent += int64(len(piece))
	}
	return sent, nil
}

// endHit ends the stream of a hit.
func (q *request) endHit(err error, whole bool) {
	switch {
	case err != nil:
		q.c.unsent(q.s, err)
	case !whole:
		q.c.reset(q.s, codeInternalError)
	default:
		_ = q.s.Close() // fails only for a client that has left
		q.c.endedWell()
	}
}

// encodeStored makes the field section of a stored response: all but the
// fields of the one response it is sent in.
func encodeStored(h *exchange.Head) []byte {
	b := appendStatus(appendSectionPrefix(nil), h.Status)
	b = appendFields(b, h.Header)
	if hasLength(h.Status) {
		b = appendLength(b, h.Length)
	}
	return b
}

// appendDate appends a Date (RFC 9110, 6.6.1), unless the origin's goes on:
// freshness is counted from it.
func appendDate(b []byte, h exchange.Header, now time.Time) []byte {
	if h.Has("date") {
		return b
	}
	return appendPlain(b, "date", wire.Date(now))
}
