package http3

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// writer is one exchange's way back to the client. It implements
// exchange.Writer.
type writer struct {
	// Static after construction.
	c    *Conn
	s    stream
	bare bool  // the request was HEAD: there is no content
	body *body // what the client sends

	// Guarded by mu: an interim response may come from a filler, and a body
	// that is waited for sends one, too.
	mu      sync.Mutex
	pacer   pacer
	out     *buffer // nil: nothing is gathered
	open    int     // where the DATA frame of unknown length begins in out; -1: none does
	left    int64   // content that is still owed; -1: its length is not known
	started bool    // the final head was given
	empty   bool    // the response has no content
	done    bool    // trailers were given
	tunnel  *tunnel
	aborted bool
	refused error // what was wrong with the request's content
	err     error // the first of the stream's
}

var (
	errNoHead      = errors.New("content before a head")
	errHeadTwice   = errors.New("a second head")
	errTooMuch     = errors.New("more content than the head says")
	errAfterEnd    = errors.New("content after the end of the response")
	errAborted     = errors.New("the exchange was aborted")
	errNotATunnel  = errors.New("the request asks for no tunnel")
	errTunnelTaken = errors.New("the stream is a tunnel")
)

// Interim implements exchange.Writer.
func (w *writer) Interim(status int, h exchange.Header) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started {
		return nil // too late to be of use
	}
	w.section(func(b []byte) []byte { return appendFields(appendStatus(b, status), h) })
	return w.flush()
}

// Head implements exchange.Writer.
func (w *writer) Head(status int, h exchange.Header, length int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	if w.started {
		return errHeadTwice
	}
	w.started, w.left = true, length
	w.empty = w.bare || status == http.StatusNoContent || status == http.StatusNotModified
	w.section(func(b []byte) []byte {
		b = appendFields(appendStatus(b, status), h)
		if length >= 0 && hasLength(status) {
			b = appendLength(b, length)
		}
		return appendDate(b, h, time.Now())
	})
	if w.empty {
		w.left = 0
	} else if length > 0 {
		w.out.data = appendDataHeader(w.out.data, length)
	}
	return w.err
}

// section gathers a HEADERS frame.
func (w *writer) section(fill func([]byte) []byte) {
	if w.out == nil {
		w.out = writeBuffers.get()
	}
	at := len(w.out.data)
	b := appendSectionPrefix(beginFrame(w.out.data))
	w.out.data = fill(b)
	endFrame(w.out.data, at, frameHeaders)
}

// usable returns why nothing more can be written, if that is so.
func (w *writer) usable() error {
	switch {
	case w.err != nil:
		return w.err
	case w.refused != nil:
		return w.refused
	case w.aborted:
		return errAborted
	case w.tunnel != nil:
		return errTunnelTaken
	case w.done:
		return errAfterEnd
	}
	return nil
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch err := w.usable(); {
	case err != nil:
		return 0, err
	case !w.started:
		return 0, errNoHead
	case w.empty:
		return len(p), nil
	case w.left < 0:
		return w.gather(p)
	case int64(len(p)) > w.left:
		return 0, errTooMuch
	}
	n, err := w.raw(p)
	w.left -= int64(n)
	return n, err
}

// gather writes content of unknown length: DATA frames of what came
// together.
func (w *writer) gather(p []byte) (int, error) {
	if len(p) >= gatherSize {
		if err := w.flush(); err != nil {
			return 0, err
		}
		w.lend()
		w.out.data = appendDataHeader(w.out.data, int64(len(p)))
		return w.raw(p)
	}
	n := 0
	for n < len(p) {
		w.lend()
		if w.open < 0 {
			w.open = len(w.out.data)
			w.out.data = beginFrame(w.out.data)
		}
		k := min(len(p)-n, max(1, writeSize-len(w.out.data)))
		w.out.data = append(w.out.data, p[n:n+k]...)
		n += k
		if len(w.out.data) >= writeSize {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// raw writes bytes of a frame whose header was gathered already.
func (w *writer) raw(p []byte) (int, error) {
	w.lend()
	before, held := w.pacer.sent, int64(len(w.out.data))
	n := min(len(p), max(0, writeSize-len(w.out.data)))
	w.out.data = append(w.out.data, p[:n]...)
	if n == len(p) {
		return n, nil
	}
	if err := w.flush(); err != nil {
		return int(max(0, w.pacer.sent-before-held)), err
	}
	if rest := p[n:]; len(rest) < gatherSize {
		w.lend()
		w.out.data = append(w.out.data, rest...)
		return len(p), nil
	}
	before = w.pacer.sent
	if w.err = w.pacer.write(p[n:]); w.err != nil {
		return n + int(w.pacer.sent-before), w.err
	}
	return len(p), nil
}

func (w *writer) lend() {
	if w.out == nil {
		w.out = writeBuffers.get()
	}
}

// Flush implements exchange.Writer.
func (w *writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	return w.flush()
}

func (w *writer) flush() error {
	if w.out == nil {
		return w.err
	}
	if w.open >= 0 {
		endFrame(w.out.data, w.open, frameData)
		w.open = -1
	}
	if w.err == nil && len(w.out.data) > 0 {
		w.err = w.pacer.write(w.out.data)
	}
	w.out.release()
	w.out = nil
	return w.err
}

// Trailer implements exchange.Writer.
func (w *writer) Trailer(h exchange.Header) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	if !w.started {
		return errNoHead
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.done = true
	w.section(func(b []byte) []byte { return appendFields(b, h) })
	return nil
}

// Tunnel implements exchange.Writer: the answer to an extended CONNECT is
// 200 (RFC 9220, 3).
func (w *writer) Tunnel(h exchange.Header) (io.ReadWriteCloser, error) {
	t := w.body.tunnel()
	if t == nil {
		return nil, errNotATunnel
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return nil, err
	}
	if w.started {
		return nil, errHeadTwice
	}
	w.started, w.left = true, -1
	w.section(func(b []byte) []byte {
		b = appendFields(appendStatus(b, http.StatusOK), h)
		return appendDate(b, h, time.Now())
	})
	if err := w.flush(); err != nil {
		return nil, err
	}
	_ = w.s.SetWriteDeadline(time.Time{}) // never fails; silence is limited elsewhere
	w.tunnel = t
	w.c.server.conf.Tunnels.Add(1)
	return t, nil
}

// Abort implements exchange.Writer.
func (w *writer) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aborted = true
}

// refuse ends the exchange for what the client did. Its stream was ended
// already, and a Write in progress with it.
func (w *writer) refuse(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused == nil {
		w.refused = why
	}
}

// finish ends the stream's side that is ours, once the exchange is over.
func (w *writer) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tunnel != nil {
		w.c.server.conf.Tunnels.Add(-1)
		w.tunnel.finish()
		w.c.ended(w.s)
		return
	}
	if w.refused == nil && !w.aborted && w.started && w.left <= 0 {
		_ = w.flush() // w.err has it
	}
	if w.out != nil {
		w.out.release()
		w.out = nil
	}
	switch {
	case w.refused != nil: // the stream was ended then
	case w.err != nil:
		w.c.unsent(w.s, w.err)
	case w.aborted || !w.started || w.left > 0:
		w.c.reset(w.s, codeInternalError)
	default:
		_ = w.s.Close() // fails only for a client that has left
		w.c.ended(w.s)
	}
}
