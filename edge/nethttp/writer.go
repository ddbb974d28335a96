package nethttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// writer is one exchange's way back to the client.
type writer struct {
	w       http.ResponseWriter
	aborted bool
}

// Interim implements exchange.Writer.
func (w *writer) Interim(status int, h exchange.Header) error {
	w.fields(h)
	w.w.WriteHeader(status)
	clear(w.w.Header())
	return nil
}

// Head implements exchange.Writer.
func (w *writer) Head(status int, h exchange.Header, length int64) error {
	dst := w.w.Header()
	w.fields(h)
	if _, ok := dst["Content-Type"]; !ok {
		dst["Content-Type"] = nil // keeps net/http from guessing one
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
func (w *writer) Write(p []byte) (int, error) { return w.w.Write(p) }

// Flush implements exchange.Writer.
func (w *writer) Flush() error { return http.NewResponseController(w.w).Flush() }

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

// Tunnel implements exchange.Writer. The reference has none.
func (w *writer) Tunnel(exchange.Header) (io.ReadWriteCloser, error) {
	return nil, errors.ErrUnsupported
}
