package http3

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/message"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// stream is what a request needs of a *quic.Stream.
type stream interface {
	io.ReadWriteCloser
	CancelRead(quic.StreamErrorCode)
	CancelWrite(quic.StreamErrorCode)
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	Context() context.Context
}

// request is one request from the first byte of its stream to the last of
// its response, or to its hand-over to ServeExchange. It is lent: nothing
// of it may be kept.
type request struct {
	c *Conn
	s stream

	msg     incoming
	dec     decoder
	section message.Section
	req     exchange.Request
	stored  exchange.Stored
}

// textKeep is the largest space for decoded strings that a request keeps
// for the next.
const textKeep = 16 << 10

// release makes the request ready for another stream.
func (q *request) release() {
	q.msg.in.release()
	q.msg = incoming{}
	if q.dec.block = nil; cap(q.dec.text) > textKeep {
		q.dec.text = nil
	}
	h := q.req.Header
	clear(h[:cap(h)])
	q.req = exchange.Request{Header: h[:0]}
	q.section = message.Section{}
	q.c, q.s = nil, nil
	requests.Put(q)
}

// serve answers the request. An error is for Conn.failed.
func (q *request) serve() error {
	arrived := time.Now()
	lim := &q.c.server.conf.Limits
	_ = q.s.SetReadDeadline(arrived.Add(lim.HeaderTime)) // an error shows in Read
	q.msg.begin(q.c, q.s)
	if err := q.readHead(arrived); err != nil {
		return err
	}
	content, err := q.hasContent()
	if err != nil {
		return err
	}
	r := &q.req
	if r.Early && r.Refused == exchange.Admitted && (content || !safe(r.Method) || r.Upgrade != "") {
		r.Refused = exchange.TooEarly
	}
	if !content && r.Refused == exchange.Admitted && r.Upgrade == "" && fetches(r.Method) && q.hit() {
		return nil
	}
	q.exchange(content)
	return nil
}

// readHead reads the head into req. Its strings are borrowed.
func (q *request) readHead(arrived time.Time) error {
	length, err := q.msg.head()
	if err == io.EOF {
		return broken(codeRequestIncomplete, "the stream ends before the head")
	}
	if err != nil {
		return err
	}
	r, lim := &q.req, &q.c.server.conf.Limits
	fields := r.Header[:0]
	*r = q.c.base
	r.Header, r.Arrived, r.Early = fields, arrived, q.c.early()
	if length > uint64(lim.RequestHead+lim.RequestURI+sectionSlack) {
		r.Refused, r.Length = exchange.HeadTooLarge, -1
		return nil
	}
	block, err := q.msg.in.gather(int(length))
	if err != nil {
		return err
	}
	if err := q.dec.begin(block); err != nil {
		return err
	}
	q.section.Begin(r, lim)
	for q.dec.more() && q.section.Over() == exchange.Admitted {
		name, value, err := q.dec.next()
		if err != nil {
			return err
		}
		q.section.Field(name, value)
	}
	if !q.section.End() {
		return broken(codeMessageError, "malformed head")
	}
	return nil
}

// grace is how long the end of a request may come behind its head before
// the request counts as one with content. A head does not say whether
// content follows: only the end of the stream does, and it comes with the
// head, as a rule.
const grace = 100 * time.Millisecond

// hasContent reports whether the request has content, and sets Length.
func (q *request) hasContent() (bool, error) {
	r, m := &q.req, &q.msg
	if r.Refused != exchange.Admitted || r.Upgrade != "" || r.Method == http.MethodConnect {
		r.Length = 0
		return false, nil
	}
	m.want = r.Length
	switch {
	case m.ended() && r.Length > 0:
		return false, broken(codeMessageError, "less content than Content-Length says")
	case m.ended():
		r.Length = 0
		return false, nil
	case r.Length > 0 || r.Header.Has("expect"):
		return true, nil
	}
	*r = *owned(r) // what it borrows lies where the next bytes are read
	if !fetches(r.Method) {
		_ = q.s.SetReadDeadline(time.Now().Add(grace)) // an error shows in Read
	}
	// The end of a request that has no content belongs to its head.
	switch err := m.next(); {
	case err == io.EOF:
		r.Length = 0
		return false, nil
	case err != nil && timedOut(err) && !fetches(r.Method):
		return r.Length < 0, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// fetches reports whether a method is one that is answered from memory.
func fetches(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// safe reports whether a method may be replayed (RFC 8470, 4), of those
// that early data is served for.
func safe(method string) bool { return fetches(method) || method == http.MethodOptions }

// late counts a head that was not whole in time.
func (q *request) late() error {
	q.c.hit(limits.HeaderTime)
	return broken(codeRequestRejected, "the head took too long")
}
