package http3

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// fakeStream is a request stream in memory: the client's half is written
// by the test, ours is kept, as far as the client's window allows.
type fakeStream struct {
	ctx context.Context
	end context.CancelCauseFunc

	// Guarded by mu.
	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, by every change
	in      []byte
	fin     bool // the client's
	out     []byte
	window  int // bytes that may still be written; -1: any number
	closed  bool
	read    code // that reading was cancelled with
	write   code // that writing was cancelled with
	readBy  time.Time
	writeBy time.Time
}

func newFake(in []byte, fin bool) *fakeStream {
	f := &fakeStream{changed: make(chan struct{}), in: in, fin: fin, window: -1}
	f.ctx, f.end = context.WithCancelCause(context.Background())
	return f
}

// change makes a change and wakes who waits for one.
func (f *fakeStream) change(make_ func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	make_()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeStream) send(b []byte, fin bool) {
	f.change(func() { f.in, f.fin = append(f.in, b...), fin })
}

func (f *fakeStream) allow(n int) { f.change(func() { f.window += n }) }

func (f *fakeStream) state() (out []byte, closed bool, read, write code) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]byte(nil), f.out...), f.closed, f.read, f.write
}

// wait waits for a change, with mu held, until by.
func (f *fakeStream) wait(by time.Time) {
	changed := f.changed
	f.mu.Unlock()
	defer f.mu.Lock()
	if by.IsZero() {
		<-changed
		return
	}
	t := time.NewTimer(time.Until(by))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
}

func passed(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

func (f *fakeStream) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.read != 0:
			return 0, &quic.StreamError{ErrorCode: quicCode(f.read)}
		case passed(f.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(f.in) > 0:
			n := copy(p, f.in)
			if f.in = f.in[n:]; f.fin && len(f.in) == 0 {
				return n, io.EOF
			}
			return n, nil
		case f.fin:
			return 0, io.EOF
		}
		f.wait(f.readBy)
	}
}

func (f *fakeStream) Write(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.write != 0:
			return n, &quic.StreamError{ErrorCode: quicCode(f.write)}
		case passed(f.writeBy):
			return n, os.ErrDeadlineExceeded
		}
		k := len(p) - n
		if f.window >= 0 {
			k = min(k, f.window)
			f.window -= k
		}
		f.out = append(f.out, p[n:n+k]...)
		if n += k; n == len(p) {
			return n, nil
		}
		f.wait(f.writeBy)
	}
}

func (f *fakeStream) Close() error {
	f.change(func() { f.closed = true })
	f.end(quic.ErrStreamClosed)
	return nil
}

func (f *fakeStream) CancelRead(c quic.StreamErrorCode) {
	f.change(func() {
		if f.read == 0 && !(f.fin && len(f.in) == 0) {
			f.read = code(c)
		}
	})
}

func (f *fakeStream) CancelWrite(c quic.StreamErrorCode) {
	f.change(func() {
		if f.write == 0 {
			f.write = code(c)
		}
	})
	f.end(&quic.StreamError{ErrorCode: c})
}

func (f *fakeStream) SetReadDeadline(t time.Time) error {
	f.change(func() { f.readBy = t })
	return nil
}

func (f *fakeStream) SetWriteDeadline(t time.Time) error {
	f.change(func() { f.writeBy = t })
	return nil
}

func (f *fakeStream) Context() context.Context { return f.ctx }

// fakeSession notes how a connection was closed.
type fakeSession struct {
	mu   sync.Mutex
	code code
}

func (s *fakeSession) CloseWithError(c quic.ApplicationErrorCode, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code == 0 {
		s.code = code(c)
	}
	return nil
}

func (s *fakeSession) closed() code {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code
}

// fakeConn is a connection without QUIC under it.
func fakeConn(lim limits.Limits, h exchange.Handler) (*Conn, *fakeSession, *limits.Counters) {
	counters, session := &limits.Counters{}, &fakeSession{}
	s := New(Config{Handler: h, Limits: lim, Counters: counters}, nil)
	c := newConn(s, session, exchange.Request{Scheme: "https"})
	shaken := make(chan struct{})
	close(shaken)
	c.shaken = shaken
	return c, session, counters
}
