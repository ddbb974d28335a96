package http2

import (
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// inputSize holds a TLS record behind what is left of a frame that is not
// complete.
const inputSize = maxFrame + frameHeaderSize + 17<<10

// input is what was read: data[r:w] is not worked off yet.
type input struct {
	r, w int
	data [inputSize]byte
}

// inputs lends them.
var inputs = sync.Pool{New: func() any { return new(input) }}

func (in *input) len() int      { return in.w - in.r }
func (in *input) bytes() []byte { return in.data[in.r:in.w] }
func (in *input) free() []byte  { return in.data[in.w:] }

func (in *input) compact() {
	if in.r > 0 {
		in.w = copy(in.data[:], in.bytes())
		in.r = 0
	}
}

func (in *input) release() {
	in.r, in.w = 0, 0
	inputs.Put(in)
}

// frames works off the input, as far as it goes.
func (c *Conn) frames() *fault {
	fresh := false // something was completed: what is left began just now
	for {
		before := c.in.r
		more, end := c.step()
		if end == nil {
			end = c.budget.exceeded
		}
		if end == nil && len(c.control) > maxControl {
			c.srv.conf.Counters.Hit(limits.ControlFrames)
			end = &fault{enhanceYourCalm, "too many frames to answer"}
		}
		if end != nil {
			return end
		}
		if !more {
			break
		}
		fresh = fresh || c.in.r > before && c.parser.head.stream == 0
	}
	if fresh || c.in.len() == 0 && c.parser.head.stream == 0 {
		c.partial = time.Time{}
	}
	if c.in.len() > 0 || c.parser.head.stream != 0 || !c.parser.settled {
		c.started(c.now)
	}
	return nil
}

// started notes that a part of a frame or head is here.
func (c *Conn) started(now time.Time) {
	if c.partial.IsZero() {
		c.partial = now
		c.remind(now.Add(c.srv.conf.Limits.HeaderTime))
	}
}

// step takes one frame, or the part of a DATA frame that is here. more is
// false when the input does not go on.
func (c *Conn) step() (more bool, end *fault) {
	b := c.in.bytes()
	switch {
	case c.parser.data.left > 0:
		if len(b) == 0 {
			return false, nil
		}
		n := min(len(b), c.parser.data.left)
		c.in.r += n
		c.dataPart(b[:n])
		return true, nil
	case !c.parser.greeted:
		n := min(len(b), len(preface))
		if string(b[:n]) != preface[:n] {
			return false, &fault{protocolError, "no HTTP/2 preface"}
		}
		if n < len(preface) {
			return false, nil
		}
		c.in.r += n
		c.parser.greeted = true
		return true, nil
	case len(b) < frameHeaderSize:
		return false, nil
	}
	f := parseFrame(b)
	if end := c.expected(f); end != nil {
		return false, end
	}
	if f.kind == frameData {
		return c.dataBegin(f, b[frameHeaderSize:])
	}
	if len(b) < frameHeaderSize+f.length {
		return false, nil
	}
	c.in.r += frameHeaderSize + f.length
	return true, c.frame(f, b[frameHeaderSize:frameHeaderSize+f.length])
}

// expected reports what is wrong with a frame coming now.
func (c *Conn) expected(f frame) *fault {
	p := &c.parser
	switch {
	case f.length > maxFrame:
		return &fault{frameSizeError, "a frame over 16384 bytes"}
	case !p.settled && (f.kind != frameSettings || f.has(flagAck)):
		return &fault{protocolError, "the first frame is no SETTINGS"}
	case p.head.stream != 0 && (f.kind != frameContinuation || f.stream != p.head.stream):
		return &fault{protocolError, "a head is interrupted"}
	case p.head.stream == 0 && f.kind == frameContinuation:
		return &fault{protocolError, "CONTINUATION without a head"}
	}
	return nil
}

// frame takes a whole frame.
func (c *Conn) frame(f frame, p []byte) *fault {
	switch f.kind {
	case frameHeaders:
		return c.onHeaders(f, p)
	case frameContinuation:
		return c.onContinuation(f, p)
	case framePriority:
		return c.onPriority(f, p)
	case frameReset:
		return c.onReset(f, p)
	case frameSettings:
		return c.onSettings(f, p)
	case framePushPromise:
		return &fault{protocolError, "PUSH_PROMISE from a client"}
	case framePing:
		return c.onPing(f, p)
	case frameGoAway:
		return c.onGoAway(f, p)
	case frameWindowUpdate:
		return c.onWindowUpdate(f, p)
	case framePriorityUpdate:
		return c.onPriorityUpdate(f, p)
	}
	c.spend() // unknown: ignored (RFC 9113, 4.1)
	return nil
}

// spend counts a frame that moves nothing on.
func (c *Conn) spend() {
	c.budget.spend(&c.srv.conf.Limits, c.srv.conf.Counters, c.now)
}

// idle reports whether a stream was never opened (RFC 9113, 5.1.1).
func (c *Conn) idle(id uint32) bool { return id > c.lastID || id%2 == 0 }

// dataFrame is the DATA frame that is being read.
type dataFrame struct {
	s    *stream // nil: its content is dropped
	left int     // of the payload behind the pad length
	pad  int     // how much of that is padding
	end  bool
}

// dataBegin takes a DATA frame's header, with the pad length behind it. The
// content is taken as it comes: a slow client fills a frame slowly, too.
func (c *Conn) dataBegin(f frame, b []byte) (more bool, end *fault) {
	d := dataFrame{left: f.length, end: f.has(flagEndStream)}
	size := frameHeaderSize
	if f.has(flagPadded) {
		switch {
		case f.length == 0:
			return false, &fault{frameSizeError, "padded DATA without a pad length"}
		case len(b) == 0:
			return false, nil
		case int(b[0]) >= f.length:
			return false, &fault{protocolError, "more padding than DATA"}
		}
		size++
		d.left--
		d.pad = int(b[0])
	}
	c.in.r += size
	switch {
	case f.stream == 0:
		return false, &fault{protocolError, "DATA on stream 0"}
	case c.idle(f.stream):
		return false, &fault{protocolError, "DATA on an idle stream"}
	}
	if c.recvWindow -= int64(f.length); c.recvWindow < 0 {
		c.srv.conf.Counters.Hit(limits.ConnWindow)
		return false, &fault{flowControlError, "DATA over the connection's window"}
	}
	if d.left == d.pad && !d.end {
		c.spend()
	}
	c.takeConn(f.length)
	d.s = c.streams[f.stream]
	if d.s == nil {
		if !c.ourClosed.has(f.stream) {
			return false, &fault{streamClosed, "DATA on a closed stream"}
		}
		d.end = false
	} else if !c.dataAllowed(d.s, f.length) {
		d.s = nil
	} else if f.has(flagPadded) {
		c.takeStream(d.s, 1)
	}
	c.parser.data = d
	if d.left == 0 {
		c.dataPart(nil)
	}
	return true, nil
}

// takeConn gives the connection's window back. It does so on receipt, in
// steps: what one stream's exchange does not read must not hold up another's.
// What can pile up is bounded by the streams' windows.
func (c *Conn) takeConn(n int) {
	if c.unreturned += n; c.unreturned < c.srv.conf.Limits.ConnWindow/4 {
		return
	}
	c.control = appendWindowUpdate(c.control, 0, c.unreturned)
	c.recvWindow += int64(c.unreturned)
	c.unreturned = 0
}

// dataAllowed charges a frame to its stream, or resets that.
func (c *Conn) dataAllowed(s *stream, n int) bool {
	if s.received {
		c.reset(s, streamClosed, errMalformed)
		return false
	}
	if s.x.recvWindow -= int64(n); s.x.recvWindow < 0 {
		c.srv.conf.Counters.Hit(limits.StreamWindow)
		c.reset(s, flowControlError, errMalformed)
		return false
	}
	return true
}

// dataPart takes a part of a DATA frame's payload.
func (c *Conn) dataPart(p []byte) {
	d := &c.parser.data
	n := min(len(p), d.left-d.pad)
	d.left -= len(p)
	d.pad = min(d.pad, d.left)
	c.budget.progress(n)
	s := d.s
	if s != nil && s.open {
		c.deliver(s, p[:n], len(p))
		if d.left == 0 && d.end && s.open {
			c.receivedAll(s)
		}
	}
	if d.left == 0 {
		*d = dataFrame{}
	}
}

// deliver gives content to a stream's exchange.
func (c *Conn) deliver(s *stream, content []byte, payload int) {
	x := s.x
	x.got += int64(len(content))
	if x.declared >= 0 && x.got > x.declared {
		c.reset(s, protocolError, errMalformed)
		return
	}
	if !x.wanted {
		return // and its window is not given back
	}
	if pad := payload - len(content); pad > 0 {
		c.takeStream(s, pad)
	}
	if len(content) > 0 {
		x.in.write(content)
		x.changed.Broadcast()
	}
}

// takeStream gives a stream's window back, in steps. It tells when it has
// queued one.
func (c *Conn) takeStream(s *stream, n int) (queued bool) {
	x := s.x
	if x.unreturned += n; x.unreturned < c.srv.conf.Limits.StreamWindow/2 || s.received || !s.open || x.got == x.declared {
		return false
	}
	c.control = appendWindowUpdate(c.control, s.id, x.unreturned)
	x.recvWindow += int64(x.unreturned)
	x.unreturned = 0
	return true
}

// receivedAll takes the client's END_STREAM.
func (c *Conn) receivedAll(s *stream) {
	x := s.x
	if x.declared >= 0 && x.got != x.declared {
		c.reset(s, protocolError, errMalformed)
		return
	}
	s.received = true
	x.changed.Broadcast()
	if x.finished {
		c.complete(s)
	}
}
