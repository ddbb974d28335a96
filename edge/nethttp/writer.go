package nethttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// writeChunk bounds one write, so that the limit on a slow reader works on
// pieces of a size that a reader at the slowest rate can take.
const writeChunk = 16 << 10

// writer is one exchange's way back to the client.
type writer struct {
	front   *Front
	w       http.ResponseWriter
	rc      *http.ResponseController
	hr      *http.Request
	aborted bool
	until   time.Time // the write deadline in force
	body    *body     // of the request; nil when it has none
}

func newWriter(f *Front, w http.ResponseWriter, hr *http.Request) *writer {
	return &writer{front: f, w: w, rc: http.NewResponseController(w), hr: hr}
}

// Interim implements exchange.Writer.
func (w *writer) Interim(status int, h exchange.Header) error {
	if w.hr.ProtoMajor == 1 && w.hr.ProtoMinor == 0 {
		return nil // RFC 9110, 15.2: never to an HTTP/1.0 client
	}
	w.bound(0)
	dst := w.w.Header()
	w.fields(h)
	w.w.WriteHeader(status)
	clear(dst)
	return nil
}

// Head implements exchange.Writer.
func (w *writer) Head(status int, h exchange.Header, length int64) error {
	w.bound(writeChunk)
	dst := w.w.Header()
	w.fields(h)
	if _, ok := dst["Content-Type"]; !ok {
		dst["Content-Type"] = nil // keeps net/http from guessing one
	}
	if w.hr.ProtoMajor == 1 && w.body != nil && !w.body.whole.Load() {
		// What is left of the body would be read as the next request.
		dst["Connection"] = []string{"close"}
	}
	if length >= 0 && status != http.StatusNoContent && status != http.StatusNotModified {
		dst["Content-Length"] = []string{fmt.Sprint(length)}
	}
	w.w.WriteHeader(status)
	return nil
}

func (w *writer) fields(h exchange.Header) {
	dst := w.w.Header()
	for _, f := range h {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		dst[name] = append(dst[name], f.Value)
	}
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		chunk := p[:min(len(p), writeChunk)]
		w.bound(len(chunk))
		var m int
		m, err = w.w.Write(chunk)
		n += m
		p = p[len(chunk):]
	}
	return n, w.note(err)
}

// Flush implements exchange.Writer.
func (w *writer) Flush() error {
	w.bound(writeChunk)
	return w.note(w.rc.Flush())
}

// bound gives the client the grace, and the time that n bytes take at the
// slowest rate allowed, to take what is written next.
func (w *writer) bound(n int) {
	lim := &w.front.conf.Limits
	d := lim.BodyStall + time.Duration(n)*time.Second/time.Duration(lim.MinRate)
	until := time.Now().Add(min(d, 3*lim.BodyStall))
	if until.Sub(w.until) < lim.BodyStall/8 {
		return // near enough: setting one is a message to the server's loop in HTTP/2
	}
	w.until = until
	_ = w.rc.SetWriteDeadline(until) // an error shows in Write
}

func (w *writer) note(err error) error {
	if err != nil && isTimeout(err) {
		w.front.conf.Counters.Hit(limits.BodyStall)
	}
	return err
}

// Trailer implements exchange.Writer.
func (w *writer) Trailer(h exchange.Header) error {
	// A response that is still whole in its buffer would get a length, and
	// could carry no trailer.
	if err := w.Flush(); err != nil {
		return err
	}
	dst := w.w.Header()
	for _, f := range h {
		name := http.TrailerPrefix + textproto.CanonicalMIMEHeaderKey(f.Name)
		dst[name] = append(dst[name], f.Value)
	}
	return nil
}

// Abort implements exchange.Writer.
func (w *writer) Abort() { w.aborted = true }

// finish bounds what net/http itself still flushes after the exchange.
func (w *writer) finish() { w.bound(writeChunk) }

// Tunnel implements exchange.Writer.
func (w *writer) Tunnel(h exchange.Header) (io.ReadWriteCloser, error) {
	if s, ok := w.w.(http3.HTTPStreamer); ok {
		w.fields(h)
		w.w.WriteHeader(http.StatusOK) // RFC 9220, 3
		stream, err := s.HTTPStream()
		if err != nil {
			return nil, fmt.Errorf("take the stream over: %w", err)
		}
		return &streamTunnel{stream}, nil
	}
	c, buf, err := w.rc.Hijack()
	if err != nil {
		return nil, fmt.Errorf("take the connection over: %w", err)
	}
	h.Set("connection", "Upgrade")
	h.Set("upgrade", upgrade(w.hr))
	if err := switchProtocols(c, buf.Writer, h, w.front.conf.Limits.BodyStall); err != nil {
		_ = c.Close() // the client gets no answer to read
		return nil, err
	}
	// The drain's end reaches a hijacked connection by its context only.
	t := &connTunnel{Conn: c, r: buf.Reader}
	t.stop = context.AfterFunc(w.hr.Context(), func() { _ = c.Close() })
	return t, nil
}

func switchProtocols(c net.Conn, out *bufio.Writer, h exchange.Header, limit time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return fmt.Errorf("bound the switch of protocols: %w", err)
	}
	_, _ = out.WriteString("HTTP/1.1 101 Switching Protocols\r\n") // Flush reports errors
	for _, f := range h {
		_, _ = fmt.Fprintf(out, "%s: %s\r\n", textproto.CanonicalMIMEHeaderKey(f.Name), f.Value)
	}
	_, _ = out.WriteString("\r\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("switch protocols: %w", err)
	}
	return c.SetDeadline(time.Time{})
}

// connTunnel is a hijacked connection; r may hold bytes that the client
// sent behind its request.
type connTunnel struct {
	net.Conn
	r    *bufio.Reader
	stop func() bool
}

// Read implements io.Reader.
func (t *connTunnel) Read(p []byte) (int, error) { return t.r.Read(p) }

// CloseWrite ends our direction only.
func (t *connTunnel) CloseWrite() error {
	if cw, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close implements io.Closer.
func (t *connTunnel) Close() error {
	t.stop()
	return t.Conn.Close()
}

// streamTunnel is a request stream of HTTP/3 after an extended CONNECT.
type streamTunnel struct{ *http3.Stream }

// CloseWrite ends our direction only.
func (t *streamTunnel) CloseWrite() error { return t.Stream.Close() }

// Close implements io.Closer.
func (t *streamTunnel) Close() error {
	t.CancelRead(0)
	return t.Stream.Close()
}
