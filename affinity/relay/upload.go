package relay

import (
	"errors"
	"io"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

var (
	errTooLong = errors.New("the request's body is longer than its announced length")
	errGivenUp = errors.New("the request's body could not be read")
)

// upload is a request's body on its way to the node that was asked. That node
// asks for it: then a goroutine reads, a frame ahead at most. It outlives
// the answer while the other end still takes what it brings, and ends
// with the stream, or when a read that was in progress does: the front end
// closes the body.
type upload struct {
	// Static.
	src     io.Reader // nil: there is none
	length  int64     // what src will give, -1 when that is not known
	trailer func() exchange.Header

	// Guarded by link.mu.
	begun bool
}

// upload begins to read the body, once. Under link.mu.
func (a *asked) upload() {
	if u := &a.body; u.src != nil && !u.begun && a.open {
		u.begun = true
		a.l.side.(*client).p.work.Go(a.pump)
	}
}

// pump brings the body to the other end.
func (a *asked) pump() {
	u := &a.body
	buf := make([]byte, maxData)
	for total := int64(0); a.wanted(); {
		n, err := u.src.Read(buf)
		total += int64(n)
		err = u.judge(total, err)
		if n > 0 && err != errTooLong && a.bring(buf[:n]) != nil {
			return
		}
		if err == io.EOF {
			a.brought()
			return
		}
		if err != nil {
			a.abandon(uploadError(err))
			return
		}
	}
}

// judge compares what was read with what was announced. It does not ask for
// one more read to learn of an end that the length tells already.
func (u *upload) judge(total int64, err error) error {
	switch {
	case u.length < 0:
	case total > u.length:
		return errTooLong
	case total == u.length && err == nil:
		return io.EOF
	case total < u.length && err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// uploadError is what a fault of the body's reader means to who waits for the
// answer.
func uploadError(err error) error {
	if errors.As(err, new(*exchange.Error)) {
		return err
	}
	return &exchange.Error{Cause: exchange.ClientAborted, Err: errors.Join(errGivenUp, err)}
}

// wanted waits until the other end takes more, and reports whether it does.
func (a *asked) wanted() bool {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	for a.open && a.credit <= 0 {
		a.l.mu.Unlock()
		<-a.room
		a.l.mu.Lock()
	}
	return a.open
}

func (a *asked) bring(p []byte) error {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	_, err := a.send(p)
	a.l.wake()
	return err
}

// brought ends the body, with its trailer fields.
func (a *asked) brought() {
	var h exchange.Header
	if a.body.trailer != nil {
		h = a.body.trailer()
	}
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	if a.open {
		a.finish(h)
		a.l.wake()
	}
}
