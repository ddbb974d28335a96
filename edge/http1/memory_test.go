package http1

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memConn is one end of a connection in memory, with room between the two
// ends, an end for each direction, and deadlines in virtual time.
type memConn struct {
	in, out *stream

	mu     sync.Mutex
	writes int // how many times something was written
}

// newMemory returns both ends; room is how much fits between them.
func newMemory(room int) (server, client *memConn) {
	up, down := newStream(room), newStream(room)
	return &memConn{in: up, out: down}, &memConn{in: down, out: up}
}

func (c *memConn) Read(p []byte) (int, error) { return c.in.read(p) }

func (c *memConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	c.mu.Unlock()
	return c.out.write(p)
}

func (c *memConn) wrote() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

func (c *memConn) Close() error {
	c.in.shut(true)
	c.out.shut(false)
	return nil
}

func (c *memConn) CloseWrite() error {
	c.out.shut(false)
	return nil
}

func (c *memConn) SetReadDeadline(t time.Time) error  { c.in.reading.set(t); return nil }
func (c *memConn) SetWriteDeadline(t time.Time) error { c.out.writing.set(t); return nil }
func (c *memConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}
func (*memConn) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (*memConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// stream is one direction.
type stream struct {
	mu               sync.Mutex
	cond             sync.Cond
	buf              []byte
	room             int
	ended, abandoned bool // by its writer, by its reader
	reading, writing deadline
}

func newStream(room int) *stream {
	s := &stream{room: room}
	s.cond.L = &s.mu
	s.reading.s, s.writing.s = s, s
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.abandoned:
			return 0, net.ErrClosed
		case s.reading.passed():
			return 0, os.ErrDeadlineExceeded
		case len(s.buf) > 0:
			n := copy(p, s.buf)
			s.buf = append(s.buf[:0], s.buf[n:]...)
			s.cond.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.cond.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		switch m := min(len(p), s.room-len(s.buf)); {
		case s.ended:
			return n, net.ErrClosed
		case s.abandoned:
			return n, io.ErrClosedPipe
		case s.writing.passed():
			return n, os.ErrDeadlineExceeded
		case m > 0:
			s.buf = append(s.buf, p[:m]...)
			p, n = p[m:], n+m
			s.cond.Broadcast()
		default:
			s.cond.Wait()
		}
	}
	return n, nil
}

func (s *stream) shut(byReader bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if byReader {
		s.abandoned = true
	} else {
		s.ended = true
	}
	s.cond.Broadcast()
}

// deadline wakes a stream when it passes.
type deadline struct {
	s     *stream
	t     time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.t.IsZero() && !time.Now().Before(d.t) }

func (d *deadline) set(t time.Time) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.t = t
	if !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), func() {
			d.s.mu.Lock()
			defer d.s.mu.Unlock()
			d.s.cond.Broadcast()
		})
	}
	d.s.cond.Broadcast()
}
