package relay

import (
	"errors"
	"fmt"
	"io"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

var (
	errHeadTwice = errors.New("the head of the response was sent before")
	errNoHead    = errors.New("the head of the response was not sent")
	errTooMuch   = errors.New("more content than its length promised")
	errAborted   = errors.New("the exchange was aborted")
	errNotAsked  = errors.New("nobody asked for another protocol")
	errHead      = &exchange.Error{
		Cause: exchange.HTTPResponseHeadSize, Err: errors.New("the head is larger than the node that asked takes"),
	}
	errNothing = &exchange.Error{
		Cause: exchange.ProxyInternalError, Err: errors.New("it has ended without an answer"),
	}
	errTooLate = &exchange.Error{
		Cause: exchange.ProxyInternalError, Err: errors.New("declined after the request's content was read"),
	}
)

// writer is an exchange's way back to the node that asked. The exchange's
// goroutine owns it; Interim may be called from any.
type writer struct {
	x       *served
	head    bool // the request was HEAD
	copy    *exchange.Copy
	empty   bool // the response has no content, whatever is written
	length  int64
	written int64
	headed  bool // guarded by link.mu
	tunnel  bool
	aborted bool
}

var _ exchange.PeerWriter = (*writer)(nil)

// Copy implements exchange.PeerWriter.
func (w *writer) Copy(c exchange.Copy) { w.copy = &c }

// Interim implements exchange.Writer.
func (w *writer) Interim(status int, h exchange.Header) error {
	x := w.x
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	if err := w.headable(); err != nil {
		return err
	}
	at := len(x.l.out)
	x.l.append(frameInterim, x.id)
	x.l.out = appendInterim(x.l.out, status, h)
	if !x.l.fits(at) {
		return errHead
	}
	x.l.wake()
	return nil
}

// headable returns why no head can be sent; nil when one can.
func (w *writer) headable() error {
	if err := w.x.lost(); err != nil {
		return err
	}
	if w.headed {
		return errHeadTwice
	}
	return nil
}

// Head implements exchange.Writer. It leaves with what follows, or Flush.
func (w *writer) Head(status int, h exchange.Header, length int64) error {
	x := w.x
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	if err := w.headable(); err != nil {
		return err
	}
	w.empty, w.length = w.head || bodiless(status), length
	m := marks(0)
	if w.empty && (x.request.Body == nil || x.received) {
		m = isWhole
	}
	if err := w.appendHead(m, status, h, length); err != nil {
		return err
	}
	if m.has(isWhole) {
		x.ended = true
		x.c.part(x, nil)
	}
	return nil
}

// bodiless reports whether a status has no content (RFC 9110, 6.4.1).
func bodiless(status int) bool { return status < 200 || status == 204 || status == 304 }

func (w *writer) appendHead(m marks, status int, h exchange.Header, length int64) error {
	x := w.x
	at := len(x.l.out)
	x.l.append(frameResponse, x.id)
	x.l.out = appendResponse(appendMarks(x.l.out, m, w.copy), status, length, h)
	if !x.l.fits(at) {
		w.fail(errHead)
		return errHead
	}
	w.headed = true
	return nil
}

// Write implements io.Writer. It waits while there is no room.
func (w *writer) Write(p []byte) (int, error) {
	x := w.x
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	switch {
	case !w.headed:
		return 0, errNoHead
	case w.empty:
		if x.gone != nil {
			return 0, x.gone
		}
		return len(p), nil
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		w.abort()
		return 0, fmt.Errorf("%w: %d bytes", errTooMuch, w.length)
	}
	if err := x.lost(); err != nil {
		return 0, err
	}
	n, err := x.send(p)
	w.written += int64(n)
	return n, err
}

// Flush implements exchange.Writer.
func (w *writer) Flush() error {
	x := w.x
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	x.l.wake()
	return x.gone
}

// Trailer implements exchange.Writer.
func (w *writer) Trailer(h exchange.Header) error {
	x := w.x
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	switch {
	case x.gone != nil:
		return x.gone
	case !w.headed:
		return errNoHead
	case x.ended || !x.open || w.short() || w.empty || len(h) == 0:
		return nil // conclude knows what to do
	}
	w.end(h)
	return nil
}

// end ends the response well.
func (w *writer) end(h exchange.Header) {
	x := w.x
	at := len(x.l.out)
	x.finish(h)
	if !x.l.fits(at) {
		x.finish(nil) // a trailer that the other end would not take
	}
	x.l.wake()
	x.c.part(x, nil)
}

// short reports whether content is missing.
func (w *writer) short() bool { return !w.empty && w.length >= 0 && w.written < w.length }

// Tunnel implements exchange.Writer.
func (w *writer) Tunnel(h exchange.Header) (io.ReadWriteCloser, error) {
	x := w.x
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	if err := w.headable(); err != nil {
		return nil, err
	}
	if x.request.Upgrade == "" {
		return nil, errNotAsked
	}
	if err := w.appendHead(isTunnel, 101, h, -1); err != nil {
		return nil, err
	}
	w.tunnel, w.length = true, -1
	x.most = -1
	x.grant(int64(x.l.firstWindow()))
	x.l.wake()
	return &tunnel{&x.stream, w.hangUp}, nil
}

// hangUp ends a tunnel.
func (w *writer) hangUp() {
	x := w.x
	x.unwant()
	switch {
	case !x.open:
	case x.ended && x.received:
		x.c.part(x, nil)
	default:
		w.abort()
	}
}

// Abort implements exchange.Writer.
func (w *writer) Abort() {
	w.x.l.mu.Lock()
	defer w.x.l.mu.Unlock()
	w.abort()
}

func (w *writer) abort() {
	w.aborted = true
	if x := w.x; x.open {
		x.l.append(frameCancel, x.id)
		x.l.wake()
		x.c.part(x, errAborted)
	}
}

// Fail implements exchange.PeerWriter.
func (w *writer) Fail(e *exchange.Error) {
	w.x.l.mu.Lock()
	defer w.x.l.mu.Unlock()
	w.fail(e)
}

func (w *writer) fail(e *exchange.Error) {
	x := w.x
	if w.headed {
		w.abort()
		return
	}
	w.headed = true
	if x.open {
		x.l.appendFail(x.id, e)
		x.l.wake()
		x.c.part(x, e)
	}
}

// Decline implements exchange.PeerWriter. A request whose content was read is
// not as it was before, and cannot be declined.
func (w *writer) Decline(owner uint8) {
	x := w.x
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	if w.headed || x.asksFor {
		w.fail(errTooLate)
		return
	}
	w.headed = true
	if x.open {
		at := len(x.l.out)
		x.l.append(frameDecline, x.id)
		x.l.out = append(x.l.out, owner)
		setLength(x.l.out, at)
		x.l.wake()
		x.c.part(x, errAborted)
	}
}

// conclude ends what an exchange has begun.
func (w *writer) conclude() {
	x := w.x
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	x.unwant()
	switch {
	case !x.open:
	case w.tunnel:
		w.hangUp()
	case !w.headed && !w.aborted:
		w.fail(errNothing)
	case w.aborted || w.short():
		w.abort()
	case !x.ended:
		w.end(nil)
	}
	x.running = false
	x.cancel(nil)
	c.orphans--
	if x.call != "" {
		c.calls--
	}
	c.wake() // a head may wait for it
	c.rest()
}
