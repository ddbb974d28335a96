package http3

import (
	"context"
	"net/http"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/ascii"
)

// exchange hands the request to ServeExchange, which may keep parts of it:
// from here on they are owned.
func (q *request) exchange(content bool) {
	c := q.c
	c.server.conf.InFlight.Add(1)
	defer c.server.conf.InFlight.Add(-1)

	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	// The stream's context ends when the client no longer wants the response
	// or the connection is gone.
	forget := context.AfterFunc(q.s.Context(), cancel)
	defer forget()

	r := owned(&q.req)
	w := &writer{c: c, s: q.s, pacer: pacer{s: q.s, pace: c.server.pace}, open: -1, bare: r.Method == http.MethodHead}
	// What is left of the stream is the exchange's too: a reader of content
	// may still be there when the request is given back.
	msg := &body{msg: q.msg, s: q.s, w: w, cancel: cancel, upgrade: r.Upgrade != ""}
	q.msg = incoming{}
	r.Interim = func(status int, h exchange.Header) { _ = w.Interim(status, h) } // its loss shows in Head
	if w.body = msg; content {
		msg.expects = ascii.EqualFold(r.Header.Get("expect"), "100-continue")
		r.Body, r.Trailer = msg, msg.trailer
	}
	c.server.conf.Handler.ServeExchange(ctx, w, r)
	w.finish()
	msg.finish()
}

// owned returns a copy of r whose strings are its own, in one piece of
// memory.
func owned(r *exchange.Request) *exchange.Request {
	o := *r
	size := len(r.Method) + len(r.Host) + len(r.Port) + len(r.Path) + len(r.Query) + len(r.Upgrade) + len(r.ID)
	for i := range r.Header {
		size += len(r.Header[i].Name) + len(r.Header[i].Value)
	}
	text := make([]byte, 0, size)
	own := func(s string) string {
		at := len(text)
		text = append(text, s...)
		return exchange.Borrowed(text[at:])
	}
	o.Method, o.Host, o.Port = own(r.Method), own(r.Host), own(r.Port)
	o.Path, o.Query, o.Upgrade, o.ID = own(r.Path), own(r.Query), own(r.Upgrade), own(r.ID)
	o.Header = make(exchange.Header, len(r.Header), len(r.Header)+headerSlack)
	for i, f := range r.Header {
		o.Header[i] = exchange.Field{Name: own(f.Name), Value: own(f.Value)}
	}
	return &o
}

// headerSlack is room for the fields that are added on the way to an
// origin.
const headerSlack = 8
