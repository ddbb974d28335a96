package http3

import (
	"io"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/message"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// incoming is the client's side of a request stream after the head: DATA
// frames, trailers, and what is to be ignored (RFC 9114, 4.1). Its methods
// may be called again after a deadline has passed.
type incoming struct {
	in input
	c  *Conn

	left     uint64 // of the DATA frame that is being read
	ignored  uint64 // left of a frame that is being skipped
	section  uint64 // length of a trailer section whose header was read
	trailing bool   // trailers have come, or are coming
	tunnel   bool   // only DATA frames are allowed (RFC 9114, 4.4)
	got      int64  // bytes of content announced by DATA frames
	want     int64  // what Content-Length says; -1: nothing
	trailer  exchange.Header
}

// begin starts on a stream.
func (m *incoming) begin(c *Conn, src io.Reader) {
	*m = incoming{in: input{src: src}, c: c, want: -1}
}

// head reads up to the request's field section and returns its length.
// io.EOF is the end of the stream before it.
func (m *incoming) head() (length uint64, err error) {
	for {
		typ, length, err := m.in.header()
		switch {
		case err != nil:
			return 0, err
		case typ == frameHeaders:
			return length, nil
		case typ == frameData:
			return 0, fatal(codeFrameUnexpected, "DATA before HEADERS")
		case misplaced(typ):
			return 0, fatal(codeFrameUnexpected, "a frame that has no place on a request stream")
		}
		m.ignored = length
		if err := m.skip(); err != nil {
			return 0, err
		}
	}
}

// skip drops what is left of a frame that is ignored, at the price of a
// control frame for every 4 KiB.
func (m *incoming) skip() (err error) {
	for m.ignored > 0 {
		part := min(m.ignored, contentUnit)
		left, err := m.in.skip(part)
		m.ignored -= part - left
		if err != nil {
			return err
		}
		if m.ignored > 0 {
			if err := m.c.charge(); err != nil {
				return err
			}
		}
	}
	return m.c.charge()
}

// next goes to the next byte of content: afterwards left is not 0. io.EOF
// is the end of a message that is whole.
func (m *incoming) next() error {
	for m.left == 0 {
		switch {
		case m.ignored > 0:
			if err := m.skip(); err != nil {
				return err
			}
			continue
		case m.section > 0:
			if err := m.readTrailer(); err != nil {
				return err
			}
			continue
		}
		typ, length, err := m.in.header()
		if err == io.EOF && m.want >= 0 && m.got != m.want {
			return broken(codeMessageError, "less content than Content-Length says")
		}
		if err != nil {
			return err
		}
		if err := m.frame(typ, length); err != nil {
			return err
		}
	}
	return nil
}

// frame begins on a frame.
func (m *incoming) frame(typ, length uint64) error {
	switch {
	case typ == frameData && !m.trailing:
		if length == 0 {
			return m.c.charge()
		}
		if m.want >= 0 && length > uint64(m.want-m.got) {
			return broken(codeMessageError, "more content than Content-Length says")
		}
		if length > maxContent-uint64(m.got) {
			return broken(codeExcessiveLoad, "more content than can be counted")
		}
		m.left, m.got = length, m.got+int64(length)
		return nil
	case typ == frameHeaders && !m.trailing && !m.tunnel:
		m.trailing = true
		return m.beginTrailer(length)
	case typ == frameData || typ == frameHeaders || misplaced(typ):
		return fatal(codeFrameUnexpected, "a frame out of order")
	}
	if m.ignored = length; length == 0 {
		return m.c.charge()
	}
	return nil
}

// maxContent keeps sums of lengths within an int64.
const maxContent = 1 << 62

// sectionSlack is what the encoding of a field section may add to the
// bytes that its limit counts.
const sectionSlack = 1 << 10

func (m *incoming) beginTrailer(length uint64) error {
	lim := &m.c.server.conf.Limits
	if length > uint64(lim.RequestTrailers+sectionSlack) {
		m.c.hit(limits.RequestTrailers)
		return broken(codeExcessiveLoad, "trailers over the limit")
	}
	if length == 0 {
		return errDecompression
	}
	m.section = length
	return nil
}

// readTrailer reads the trailer section. Those fields that go on are owned.
func (m *incoming) readTrailer() error {
	block, err := m.in.gather(int(m.section))
	if err != nil {
		return err
	}
	m.section = 0
	var dec decoder
	if err := dec.begin(block); err != nil {
		return err
	}
	lim := &m.c.server.conf.Limits
	var t message.Trailer
	t.Begin(lim)
	for dec.more() {
		name, value, err := dec.next()
		if err != nil {
			return err
		}
		t.Field(strings.Clone(name), strings.Clone(value))
	}
	h, over, ok := t.End()
	switch {
	case !ok:
		return broken(codeMessageError, "malformed trailers")
	case over:
		m.c.hit(limits.RequestTrailers)
		return broken(codeExcessiveLoad, "trailers over the limit")
	}
	m.trailer = h
	return nil
}

// read reads content. io.EOF is the end of a message that is whole.
func (m *incoming) read(p []byte) (int, error) {
	if err := m.next(); err != nil {
		return 0, err
	}
	n, err := m.in.read(p[:min(uint64(len(p)), m.left)])
	m.left -= uint64(n)
	return n, truncated(err)
}

// ended reports whether the stream's end was seen.
func (m *incoming) ended() bool { return m.left == 0 && m.in.ended() }
