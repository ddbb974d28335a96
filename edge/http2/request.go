package http2

import (
	"errors"

	"golang.org/x/net/http2/hpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// wireSlack is how much larger than limits.RequestHead a head may be before
// the connection is closed: within it the decoded head is counted exactly,
// and over the limit it is answered.
const wireSlack = 2

// onHeaders is RFC 9113, 6.2.
func (c *Conn) onHeaders(f frame, p []byte) *fault {
	if f.stream == 0 {
		return &fault{protocolError, "HEADERS on stream 0"}
	}
	p, ok := unpad(f, p)
	if !ok {
		return &fault{protocolError, "more padding than HEADERS"}
	}
	depends := false
	if f.has(flagPriority) {
		if len(p) < priorityFields {
			return &fault{frameSizeError, "HEADERS without their priority"}
		}
		depends = dependency(p) == f.stream
		p = p[priorityFields:]
	}
	if f.has(flagEndHeaders) {
		return c.onHead(f, depends, p)
	}
	c.parser.head, c.parser.depends = f, depends
	return c.fragment(p)
}

// onContinuation is RFC 9113, 6.10.
func (c *Conn) onContinuation(f frame, p []byte) *fault {
	c.spend()
	if end := c.fragment(p); end != nil || !f.has(flagEndHeaders) {
		return end
	}
	head, block := c.parser.head, c.parser.fragments
	c.parser.head, c.parser.fragments = frame{}, nil
	return c.onHead(head, c.parser.depends, block)
}

// fragment keeps a part of a header block.
func (c *Conn) fragment(p []byte) *fault {
	if len(c.parser.fragments)+len(p) > wireSlack*c.srv.conf.Limits.RequestHead {
		c.srv.conf.Counters.Hit(limits.RequestHead)
		return &fault{enhanceYourCalm, "a head is too large"}
	}
	c.parser.fragments = append(c.parser.fragments, p...)
	return nil
}

// onHead takes a whole header block: a request's, or its trailer's.
func (c *Conn) onHead(f frame, depends bool, block []byte) *fault {
	if f.stream%2 == 0 {
		return &fault{protocolError, "a stream with an even number"}
	}
	end := f.has(flagEndStream)
	if f.stream > c.lastID {
		if f.stream > c.lastID+2 {
			c.skipped = [2]uint32{c.lastID, f.stream}
		}
		c.lastID = f.stream
		return c.onRequest(f.stream, end, depends, block)
	}
	s := c.streams[f.stream]
	if s == nil {
		if f.stream > c.skipped[0] && f.stream < c.skipped[1] {
			return &fault{protocolError, "a stream lower than the last"} // RFC 9113, 5.1.1
		}
		if !c.ourClosed.has(f.stream) {
			return &fault{streamClosed, "HEADERS on a closed stream"}
		}
		c.spend()
		return c.decode(block, nowhere)
	}
	return c.onTrailer(s, end, depends, block)
}

// onTrailer takes the fields behind a request's content (RFC 9113, 8.1).
func (c *Conn) onTrailer(s *stream, end, depends bool, block []byte) *fault {
	if s.received {
		fail := c.decode(block, nowhere)
		c.reset(s, streamClosed, errMalformed)
		return fail
	}
	c.parser.trailer.Begin(&c.srv.conf.Limits)
	if fail := c.decode(block, intoTrailer); fail != nil {
		return fail
	}
	h, over, ok := c.parser.trailer.End()
	c.parser.trailer.Begin(nil) // it has let go of the fields
	if !ok || !end || depends {
		c.reset(s, protocolError, errMalformed)
		return nil
	}
	if over {
		// A part of them would mean something else.
		c.srv.conf.Counters.Hit(limits.RequestTrailers)
		h = nil
	}
	s.x.trailer = h
	c.receivedAll(s)
	return nil
}

// onRequest takes the head of a new stream: the way of a request from its
// header block to its answer, or to its exchange.
func (c *Conn) onRequest(id uint32, end, depends bool, block []byte) *fault {
	if c.drain == draining {
		// The client was told that this stream will not be served.
		c.ourClosed = c.ourClosed.add(id, c.srv.conf.Limits.Streams)
		c.spend()
		return c.decode(block, nowhere)
	}
	s := c.take()
	s.id = id
	r := &s.request
	fields := r.Header
	*r = c.base
	r.Header, r.Arrived = fields, c.now
	c.parser.section.Begin(r, &c.srv.conf.Limits)
	if fail := c.decode(block, intoRequest); fail != nil {
		c.spare = s
		return fail
	}
	if why := c.judge(s, end, depends); why != noError {
		c.spare = s
		c.resetID(id, why, end)
		return nil
	}
	if end && answerable(r) && c.answer(s) {
		return nil
	}
	c.exchange(s, end)
	return nil
}

// judge says whether a request is one, and whether there is room for it.
func (c *Conn) judge(s *stream, end, depends bool) code {
	r := &s.request
	switch {
	case c.full():
		c.srv.conf.Counters.Hit(limits.Streams)
		return refusedStream
	case !c.parser.section.End(), depends, end && r.Length > 0:
		return protocolError
	}
	if end {
		r.Length = 0
	}
	return noError
}

// answerable reports whether Hit may answer r, which has no content.
func answerable(r *exchange.Request) bool {
	return (r.Method == "GET" || r.Method == "HEAD") && r.Refused == exchange.Admitted && r.Upgrade == ""
}

// decode reads a field section, to its end whatever is in it: the table of
// HPACK is the connection's.
func (c *Conn) decode(block []byte, into destination) *fault {
	p := &c.parser
	p.into = into
	p.decoder.SetEmitEnabled(into != nowhere)
	_, err := p.decoder.Write(block)
	if err == nil {
		err = p.decoder.Close()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hpack.ErrStringLength):
		c.srv.conf.Counters.Hit(limits.RequestHead)
		return &fault{enhanceYourCalm, "a field is too large"}
	}
	return &fault{compressionError, "a header block cannot be decoded"}
}

// destination is where decoded fields go.
type destination uint8

const (
	nowhere destination = iota
	intoRequest
	intoTrailer
)

// field takes a field from the decoder.
func (c *Conn) field(f hpack.HeaderField) {
	p := &c.parser
	switch p.into {
	case intoRequest:
		if p.section.Field(f.Name, f.Value); p.section.Over() != exchange.Admitted {
			p.decoder.SetEmitEnabled(false)
		}
	case intoTrailer:
		p.trailer.Field(f.Name, f.Value)
	case nowhere: // only the table is kept up to date
	}
}
