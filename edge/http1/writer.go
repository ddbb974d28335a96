package http1

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
)

var (
	errOrder     = errors.New("no answer can be begun or continued here")
	errStatus    = errors.New("no status of a final response")
	errNoContent = errors.New("this response has no content")
	errLong      = errors.New("content is longer than was promised")
)

// writer is the way back to the client. It implements exchange.Writer. A
// body that is being read, and a fill's 1xx responses, write from other
// goroutines.
type writer struct {
	// Static.
	t *turn

	mu sync.Mutex
	// Guarded by mu.
	over    bool // the handler has returned, or the connection is a tunnel
	headed  bool // the final head was sent
	last    bool // it said that the connection closes
	bare    bool // no content follows it
	chunked bool
	left    int64 // of the promised length; -1 when none was
	trailer exchange.Header
	cut     bool // not to be ended well
	tunnel  bool
	err     error // of the connection
}

// Interim implements exchange.Writer.
func (w *writer) Interim(status int, h exchange.Header) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.r.Proto == exchange.HTTP10 || status <= http.StatusSwitchingProtocols || status > 199 || w.over || w.headed {
		// RFC 9110, 15.2: never to an HTTP/1.0 client. 100 is sent when the
		// content is read.
		return nil
	}
	b := appendFields(appendStatus(nil, exchange.HTTP11, status), h)
	return w.send(append(b, crlf...))
}

// proceed asks for the content of a request with Expect: 100-continue. After
// the final head it is too late for that.
func (w *writer) proceed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.headed {
		return nil
	}
	return w.send(append(appendStatus(nil, exchange.HTTP11, http.StatusContinue), crlf...))
}

// send writes at once what is no content.
func (w *writer) send(b []byte) error {
	if w.err == nil {
		if w.err = w.t.c.p.Append(b); w.err == nil {
			w.err = w.t.c.p.Flush()
		}
	}
	return w.failed()
}

// failed returns the connection's error, counted.
func (w *writer) failed() error {
	if w.err != nil {
		w.t.c.tooLate(w.err)
	}
	return w.err
}

// Head implements exchange.Writer.
func (w *writer) Head(status int, h exchange.Header, length int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.headed || w.cut {
		return errOrder
	}
	if status < 200 || status > 999 {
		return errStatus
	}
	t := w.t
	w.headed = true
	// What a client sent early for a protocol that was not switched to is no
	// request.
	w.last = t.head.close || t.r.Upgrade != "" || t.c.leaving.Load() || t.body != nil && !t.body.settles()
	w.bare = t.r.Method == http.MethodHead || !mayHaveContent(status)
	b := appendStatus(make([]byte, 0, 1024), t.r.Proto, status)
	b = appendFields(b, h)
	switch {
	case !mayHaveContent(status):
	case length >= 0:
		w.left = length
		b = appendLength(b, length)
	case !w.bare && t.r.Proto == exchange.HTTP11:
		w.chunked = true
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if !h.Has("date") {
		b = appendDate(b, wire.Date(time.Now()))
	}
	if w.last {
		b = append(b, closeField...)
	}
	if w.err == nil {
		w.err = t.c.p.Append(append(b, crlf...))
	}
	return w.failed()
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return 0, w.err
	case w.over || !w.headed || w.cut:
		return 0, errOrder
	case len(p) == 0:
		return 0, nil
	case w.bare:
		return 0, errNoContent
	case w.chunked:
		return w.chunk(p)
	}
	var long error
	if w.left >= 0 {
		if int64(len(p)) > w.left {
			p, long = p[:w.left], errLong
			w.cut = true
		}
		w.left -= int64(len(p))
	}
	if w.err = w.t.c.p.Append(p); w.err != nil {
		return 0, w.failed()
	}
	return len(p), long
}

// chunk writes p as a chunk.
func (w *writer) chunk(p []byte) (n int, err error) {
	out := w.t.c.p
	size, err := out.Room(2 * maxDigits)
	if err == nil {
		size = strconv.AppendInt(size, int64(len(p)), 16)
		out.Commit(len(append(size, crlf...)))
		if err = out.Append(p); err == nil {
			err = out.Append([]byte(crlf))
		}
	}
	if w.err = err; err != nil {
		return 0, w.failed()
	}
	return len(p), nil
}

// Flush implements exchange.Writer.
func (w *writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && !w.over {
		w.err = w.t.c.p.Flush()
	}
	return w.failed()
}

// Trailer implements exchange.Writer. Only chunked content can have one;
// otherwise it is dropped (RFC 9110, 6.5.1).
func (w *writer) Trailer(h exchange.Header) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range h {
		if w.chunked && !exchange.HopByHop(f.Name) && f.Name != "host" {
			w.trailer = append(w.trailer, f)
		}
	}
	return w.err
}

// Abort implements exchange.Writer.
func (w *writer) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
}

// stop keeps late writers off. It is called once.
func (w *writer) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.tunnel {
		w.t.c.s.conf.Tunnels.Add(-1)
	}
}

// answered is how an answer ended.
type answered uint8

const (
	answerKept   answered = iota // another request may follow
	answerLast                   // none may
	answerCut                    // short
	answerFailed                 // the client did not take it
	answerTunnel
)

// finish ends the content. It comes after stop.
func (w *writer) finish() answered {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.tunnel:
		return answerTunnel
	case w.err != nil:
		return answerFailed
	case !w.headed:
		return answerCut
	case w.cut || w.left > 0 && !w.bare:
		w.shorten()
		return answerCut
	}
	if w.chunked {
		b := appendFields(append(make([]byte, 0, 256), "0\r\n"...), w.trailer)
		if w.err = w.t.c.p.Append(append(b, crlf...)); w.err != nil {
			_ = w.failed()
			return answerFailed
		}
	}
	if w.last {
		return answerLast
	}
	return answerKept
}

// shorten lets the client see that content is missing: by the end of the
// connection before that of the content, or, where the connection's end is
// the content's, by a reset and without the end of the TLS session.
func (w *writer) shorten() {
	p := w.t.c.p
	if w.left >= 0 || w.chunked || w.bare {
		_ = p.Flush() // what was written may be of use
		return
	}
	if s, ok := p.Conn.Conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = s.SetLinger(0)
	}
	_ = p.Conn.Close()
}
