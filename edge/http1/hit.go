package http1

import (
	"context"
	"errors"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
)

// burst answers requests until no complete input is left, and flushes once
// then. It reports whether the connection goes on. A hit is answered here,
// without an allocation; any other request takes turn.
func (c *Conn) burst(ctx context.Context) bool {
	d := c.s.desks.Get().(*desk)
	c.desk = d
	if !c.first() {
		return false
	}
	for {
		n, why, ok := c.head()
		switch {
		case !ok:
			return false
		case why != exchange.Admitted:
			return c.refuse(ctx, why)
		case n == 0:
			return c.flush() && c.rest()
		}
		c.begin()
		r, bytes := &d.req, c.in.bytes()[:n]
		*r = c.base
		r.Header, r.Arrived = d.fields, c.now
		why = d.head.parse(bytes, r, &c.s.conf.Limits)
		d.fields = r.Header[:0]
		if why != exchange.Admitted || !mayHit(&d.head, r) || !c.s.conf.Handler.Hit(r, &d.hit) {
			if !c.turn(ctx, n, why) {
				return false
			}
			continue
		}
		last := d.head.close || c.leaving.Load()
		sent, err := c.answer(&d.hit, last)
		c.tick(sent)
		cause := exchange.NoCause
		if err != nil {
			cause = exchange.ClientAborted
		}
		c.s.conf.Handler.Sent(r, &d.hit, sent, cause)
		d.hit.Head, d.hit.Own, d.hit.Content, d.hit.Note = nil, nil, nil, nil
		c.in.drop(n)
		switch {
		case err != nil:
			return c.broken(err)
		case last:
			return c.finish(d.head.close, endAnswered)
		}
	}
}

// mayHit reports whether a request may be answered from memory: nothing of
// it is left to read.
func mayHit(h *head, r *exchange.Request) bool {
	return (r.Method == "GET" || r.Method == "HEAD") && r.Proto == exchange.HTTP11 && !h.content() && r.Upgrade == ""
}

// answer queues a stored response, and gives its content up. last says that
// no other response follows.
func (c *Conn) answer(h *exchange.Stored, last bool) (sent int64, err error) {
	if h.Content != nil {
		defer h.Content.Release()
	}
	c.queued = true
	head := h.Head.Encoded(exchange.HTTP11, encodeHit)
	if err := c.p.Append(head[1:]); err != nil {
		return 0, err
	}
	tail, err := c.p.Room(tailRoom)
	if err != nil {
		return 0, err
	}
	for i := range h.Own {
		tail = appendLine(tail, h.Own[i].Name, h.Own[i].Value)
	}
	if head[0] == dateless {
		tail = appendDate(tail, wire.Date(c.now))
	}
	if last {
		tail = append(tail, closeField...)
	}
	if tail = append(tail, crlf...); len(tail) <= tailRoom {
		c.p.Commit(len(tail))
	} else if err := c.p.Append(tail); err != nil {
		return 0, err
	}
	for h.Content != nil && sent < h.Head.Length {
		run := h.Content.From(sent)
		run = run[:min(int64(len(run)), h.Head.Length-sent)]
		if len(run) == 0 {
			return sent, errShort
		}
		if err := c.p.Append(run); err != nil {
			return sent, err
		}
		sent += int64(len(run))
	}
	return sent, nil
}

// tailRoom holds the fields of one response, as a rule.
const tailRoom = 1 << 10

var errShort = errors.New("content is shorter than was promised")
