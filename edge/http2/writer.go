package http2

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
)

// sendBuffer bounds the content of one response that waits to be sent.
const sendBuffer = 64 << 10

var (
	errHeadTwice = errors.New("the head of the response was sent before")
	errNoHead    = errors.New("the head of the response was not sent")
	errTooMuch   = errors.New("more content than its length promised")
)

// writer is an exchange's way back to the client. The exchange's goroutine
// owns it; Interim may be called from any.
type writer struct {
	s       *stream
	head    bool // the request was HEAD
	empty   bool // the response has no content, whatever is written
	length  int64
	written int64
	aborted bool
}

// short reports whether content is missing.
func (w *writer) short() bool { return !w.empty && w.length >= 0 && w.written < w.length }

// Interim implements exchange.Writer.
func (w *writer) Interim(status int, h exchange.Header) error {
	block, _ := appendFields(appendStatus(nil, status), h)
	c, s := w.s.c, w.s
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !s.open:
		return w.lost()
	case s.x.headed:
		return errHeadTwice
	}
	s.blocks = append(s.blocks, block)
	c.enqueue(s)
	c.handOver()
	return w.lost()
}

// Head implements exchange.Writer.
func (w *writer) Head(status int, h exchange.Header, length int64) error {
	block, dated := appendFields(appendStatus(make([]byte, 0, 512), status), h)
	if length >= 0 && !bodiless(status) {
		block = appendLength(block, length)
	}
	if !dated {
		block = appendDate(block, wire.Date(time.Now()))
	}
	c, s := w.s.c, w.s
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !s.open:
		return w.lost()
	case s.x.headed:
		return errHeadTwice
	}
	s.x.headed = true
	w.empty, w.length = w.head || bodiless(status), length
	s.ended = w.empty && s.received
	s.blocks = append(s.blocks, block)
	return nil
}

// Write implements io.Writer. It waits while sendBuffer is full.
func (w *writer) Write(p []byte) (int, error) {
	c, s := w.s.c, w.s
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !s.x.headed:
		return 0, errNoHead
	case w.empty:
		return len(p), w.lost()
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		w.aborted = true
		if s.open {
			c.reset(s, internalError, errTooMuch)
			c.push()
		}
		return 0, fmt.Errorf("%w: %d bytes", errTooMuch, w.length)
	}
	n, err := c.send(s, p)
	w.written += int64(n)
	return n, err
}

// send queues content, and waits for room.
func (c *Conn) send(s *stream, p []byte) (n int, err error) {
	for n < len(p) {
		if !s.open {
			return n, lost(s)
		}
		if room := sendBuffer - s.content.len(); room > 0 {
			m := min(room, len(p)-n)
			s.content.write(p[n : n+m])
			n += m
			continue
		}
		c.enqueue(s)
		if c.push(); s.open && s.content.len() >= sendBuffer {
			s.x.changed.Wait()
		}
	}
	return n, nil
}

// Flush implements exchange.Writer.
func (w *writer) Flush() error {
	c := w.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush(w.s)
	return w.lost()
}

// flush has what a stream has queued written.
func (c *Conn) flush(s *stream) {
	if s.open && s.pending() {
		c.enqueue(s)
		c.push()
	}
}

// Trailer implements exchange.Writer.
func (w *writer) Trailer(h exchange.Header) error {
	block, _ := appendFields(nil, h)
	c, s := w.s.c, w.s
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !s.open:
		return w.lost()
	case !s.x.headed:
		return errNoHead
	case s.ended || w.short() || w.empty || len(block) == 0:
		return nil // conclude knows what to do
	}
	s.trailer, s.ended = block, true
	c.flush(s)
	return w.lost()
}

// Abort implements exchange.Writer.
func (w *writer) Abort() {
	c, s := w.s.c, w.s
	c.mu.Lock()
	defer c.mu.Unlock()
	w.aborted = true
	if s.open {
		c.reset(s, internalError, errAborted)
		c.push()
	}
}

// lost returns why nothing more can be sent; nil when it can.
func (w *writer) lost() error { return lost(w.s) }

func lost(s *stream) error {
	switch {
	case s.gone != nil:
		return s.gone
	case !s.open && !s.ended:
		return errAborted
	}
	return nil
}

// Tunnel implements exchange.Writer (RFC 8441, 5).
func (w *writer) Tunnel(h exchange.Header) (io.ReadWriteCloser, error) {
	h.Del("sec-websocket-accept") // of HTTP/1.1's handshake
	if err := w.Head(200, h, -1); err != nil {
		return nil, err
	}
	c, s := w.s.c, w.s
	c.mu.Lock()
	defer c.mu.Unlock()
	s.x.tunnel = true
	c.srv.conf.Tunnels.Add(1)
	c.flush(s)
	if err := w.lost(); err != nil {
		return nil, err
	}
	return &tunnel{s: s}, nil
}
