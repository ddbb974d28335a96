package http3

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// tunnel is the bytes of a request stream after an extended CONNECT
// (RFC 9220): the content of DATA frames, both ways. One goroutine reads,
// one writes, and any may close it.
type tunnel struct {
	// Static after construction.
	s stream
	b *body

	ended atomic.Bool // nothing more is written

	// Guarded by mu, which a Write holds.
	mu  sync.Mutex
	fin bool // our end was sent
}

// tunnel makes a tunnel of the stream; nil when its request asks for none.
func (b *body) tunnel() *tunnel {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.upgrade {
		return nil
	}
	_ = b.s.SetReadDeadline(time.Time{}) // never fails; silence is limited elsewhere
	b.msg.tunnel, b.msg.in.lean = true, true
	return &tunnel{s: b.s, b: b}
}

// Read implements io.Reader. io.EOF is the client's end.
func (t *tunnel) Read(p []byte) (int, error) {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	n, err := t.b.msg.read(p)
	t.b.msg.c.moved(t.b.read, int64(n))
	t.b.read += int64(n)
	var f failure
	if errors.As(err, &f) || wasReset(err) {
		t.b.msg.c.failed(t.s, err)
	}
	return n, err
}

// tunnelFrame is the longest DATA frame that is written into a tunnel.
const tunnelFrame = gatherSize

// Write implements io.Writer.
func (t *tunnel) Write(p []byte) (n int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := writeBuffers.get()
	defer out.release()
	for n < len(p) && err == nil {
		if t.ended.Load() {
			return n, io.ErrClosedPipe
		}
		part := p[n:min(len(p), n+tunnelFrame)]
		b := append(appendDataHeader(out.data[:0], int64(len(part))), part...)
		if _, err = t.s.Write(b); err == nil {
			n += len(part)
		}
	}
	return n, err
}

// CloseWrite ends our direction only.
func (t *tunnel) CloseWrite() error {
	t.ended.Store(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fin {
		return nil
	}
	t.fin = true
	return t.s.Close()
}

// Close implements io.Closer. A Write that is stuck is cut off.
func (t *tunnel) Close() error {
	t.ended.Store(true)
	t.s.CancelRead(quicCode(codeRequestCancelled))
	if !t.mu.TryLock() {
		t.s.CancelWrite(quicCode(codeRequestCancelled))
		return nil
	}
	defer t.mu.Unlock()
	if t.fin {
		return nil
	}
	t.fin = true
	return t.s.Close()
}

// finish closes what the exchange left open.
func (t *tunnel) finish() { _ = t.Close() } // an error is the client's leaving
