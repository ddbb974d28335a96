package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// body is the content of a request, which must keep coming: after a grace
// its rate may not fall under the limit. One goroutine at a time reads it;
// another may close it meanwhile. It outlives its request: an origin's
// connection may still hold it.
type body struct {
	// Static after construction.
	s       stream
	w       *writer
	cancel  context.CancelFunc // ends the request's context
	upgrade bool               // the request asks for a tunnel

	closed atomic.Bool

	// Guarded by mu.
	mu      sync.Mutex
	msg     incoming
	expects bool // the client waits for 100 before it sends
	read    int64
	waited  time.Duration // time spent waiting for the client
	err     error
}

var errBodyClosed = errors.New("read of a request body that was closed")

// Read implements io.Reader. Only the time in which we wait for the client
// counts: an origin that takes its body slowly is not the client's fault.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() && b.err == nil {
		b.err = errBodyClosed
	}
	if b.err != nil {
		return 0, b.err
	}
	if b.expects {
		b.expects = false
		if b.msg.got == 0 {
			_ = b.w.Interim(http.StatusContinue, nil) // its loss shows in Head
		}
	}
	start := time.Now()
	allowed := b.msg.c.server.pace.Read(b.read, b.waited)
	_ = b.s.SetReadDeadline(start.Add(allowed)) // an error shows in Read
	if b.closed.Load() {
		// Close may have come before the deadline above, and been undone.
		_ = b.s.SetReadDeadline(start)
	}
	n, err := b.msg.read(p)
	b.waited += time.Since(start)
	b.msg.c.moved(b.read, int64(n))
	b.read += int64(n)
	if err != nil {
		b.err = b.failed(err)
	}
	return n, b.err
}

// failed does what an error asks for, and returns what the reader is told.
func (b *body) failed(err error) error {
	switch {
	case err == io.EOF:
		return err
	case b.closed.Load():
		return errBodyClosed
	case timedOut(err):
		b.msg.c.hit(limits.MinRate)
		return err
	}
	// The client has left, or what it sends is no request: no response will
	// reach it.
	b.msg.c.failed(b.s, err)
	b.w.refuse(err)
	b.cancel()
	return err
}

// trailer implements exchange.Request.Trailer.
func (b *body) trailer() exchange.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.msg.trailer
}

// Close implements io.Closer: a Read in progress ends. The client is told
// when the response is over, which may need none of what is left.
func (b *body) Close() error {
	if !b.closed.Swap(true) {
		_ = b.s.SetReadDeadline(time.Unix(1, 0)) // never fails
	}
	return nil
}

// finish ends our interest in what the client still sends (RFC 9114, 4.1),
// once the response is over.
func (b *body) finish() {
	_ = b.Close() // never fails
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.msg.ended() {
		b.s.CancelRead(quicCode(codeNoError))
	}
	b.msg.in.release()
	if b.err == nil {
		b.err = errBodyClosed
	}
}
