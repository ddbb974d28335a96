// Package wire is what the servers of all HTTP versions stand on: a
// client's connection below and above TLS, the pace that a client must
// keep, the buffers that are lent while there is something to carry, and
// the clock of Date. It knows bytes, not requests.
package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is a client's TCP connection, below TLS. What is written to it is
// gathered until Flush or TryFlush, so that many TLS records leave in one
// system call; what is read comes through a buffer that is lent only while
// it holds something, so that an idle connection has none.
//
// One goroutine reads, one at a time writes; Close may come from any.
type Conn struct {
	net.Conn
	// raw is the socket itself; nil when there is none (a pipe in a test):
	// then reads hold their buffer, and TryFlush always leaves the rest.
	raw syscall.RawConn

	// Owned by the reader.
	in      *buffer // nil: nothing was read ahead
	secure  bool    // TLS records are handed out one at a time
	record  int     // what is left of the record that is being handed out
	readErr error   // after what was read ahead
	fill    func(fd uintptr) bool
	before  func() // see BeforeWait

	// Guarded by mu.
	mu       sync.Mutex
	out      *buffer // nil: nothing is gathered
	writeErr error   // the first; it is what every later write returns
	drain    func(fd uintptr) bool
	sent     int // by drain
	pace     Pace
}

// NewConn returns c as a Conn; secure says that TLS runs over it. pace holds
// for blocking writes.
func NewConn(c net.Conn, secure bool, pace Pace) *Conn {
	w := &Conn{Conn: c, secure: secure, pace: pace}
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			w.raw = raw
			w.fill, w.drain = w.fillNow, w.drainNow
		}
	}
	return w
}

// Wait returns once something can be read, which it reads ahead, or with
// the error that reading would return. The read deadline bounds it.
func (c *Conn) Wait() error {
	if c.buffered() > 0 {
		return nil
	}
	return c.more()
}

// Ahead reads on, while there is room, into what Read returns later, until
// an error: it is how a connection that is being answered notices that its
// client has left. It returns nil once there is no room. Nobody may read
// meanwhile; a read deadline ends it.
func (c *Conn) Ahead() error {
	for c.in == nil || c.in.room() > 0 {
		if err := c.more(); err != nil {
			return err
		}
	}
	return nil
}

// Resume forgets a read error that a deadline caused.
func (c *Conn) Resume() {
	if errors.Is(c.readErr, os.ErrDeadlineExceeded) {
		c.readErr = nil
	}
}

// Ready reports whether Read, through TLS if there is one, returns without
// the network: a whole record is here. TLS must have given out all of the
// last one: a Read that filled its buffer may not have.
func (c *Conn) Ready() bool {
	n := c.buffered()
	if !c.secure || n == 0 {
		return n > 0
	}
	if c.record > 0 {
		return n >= c.record
	}
	return n >= recordHeader && n >= recordSize(c.in.bytes())
}

func (c *Conn) buffered() int {
	if c.in == nil {
		return 0
	}
	return c.in.len()
}

// recordHeader is the length of a TLS record's header (RFC 8446, 5.1).
const recordHeader = 5

// recordSize is the size of the record that begins in b, with its header.
func recordSize(b []byte) int { return recordHeader + int(b[3])<<8 + int(b[4]) }

// Read implements net.Conn. What was gathered is flushed before it blocks:
// a handshake, and an answer to a key update, are written by TLS itself.
func (c *Conn) Read(p []byte) (int, error) {
	if n := c.buffered(); n == 0 || c.secure && c.record == 0 && n < recordHeader {
		if c.before != nil {
			c.before()
		} else if err := c.flushUnlessBusy(); err != nil {
			return 0, err
		}
		if n == 0 {
			if err := c.more(); err != nil {
				return 0, err
			}
		}
	}
	if c.secure {
		// TLS must not take a part of the next record: nobody could tell
		// that there is one when it is asked for no more.
		if err := c.atRecord(); err != nil {
			return 0, err
		}
		p = p[:min(len(p), c.record)]
	}
	n := c.in.take(p)
	if c.secure {
		c.record -= n
	}
	if c.in.len() == 0 {
		c.in = lend(c.in, nil)
	}
	return n, nil
}

// atRecord makes record the number of bytes that Read may give out.
func (c *Conn) atRecord() error {
	if c.record > 0 {
		return nil
	}
	for c.in.len() < recordHeader {
		if err := c.more(); err != nil {
			return err
		}
	}
	c.record = recordSize(c.in.bytes())
	return nil
}

// more reads from the network, at least a byte.
func (c *Conn) more() error {
	if c.readErr != nil {
		return c.readErr
	}
	if c.in != nil {
		c.in.compact()
	}
	if c.raw == nil {
		b := c.in
		if b == nil {
			b = readBuffers.get()
		}
		n, err := c.Conn.Read(b.free())
		b.w += n
		c.in, c.readErr = lend(b, b), err
		if n > 0 {
			return nil
		}
		return err
	}
	before := c.buffered()
	if err := c.raw.Read(c.fill); err != nil {
		c.readErr = err
	}
	if c.buffered() > before {
		return nil
	}
	return c.readErr
}

// fillNow reads what the socket has. Only a socket that has something is
// worth a buffer.
func (c *Conn) fillNow(fd uintptr) bool {
	b := c.in
	if b == nil {
		b = readBuffers.get()
	}
	n, err := ignoringEINTR(syscall.Read, int(fd), b.free())
	if err == syscall.EAGAIN {
		c.in = lend(b, c.in)
		return false
	}
	switch {
	case err != nil:
		c.readErr = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
	case n == 0:
		c.readErr = io.EOF
	default:
		b.w += n
	}
	c.in = lend(b, b)
	return true
}

// lend gives b back unless it holds something, or held is set.
func lend(b, held *buffer) *buffer {
	if b.len() > 0 {
		return b
	}
	b.reset()
	readBuffers.put(b)
	if held != nil && held != b {
		return held
	}
	return nil
}

func ignoringEINTR(call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		n, err := call(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// Write implements net.Conn: it gathers. When the buffer is full it writes
// to the network, and may block.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(p) {
		if c.writeErr != nil {
			return n, c.writeErr
		}
		if c.out == nil {
			c.out = writeBuffers.get()
		}
		n += c.out.put(p[n:])
		if c.out.room() == 0 {
			c.flush()
		}
	}
	return n, c.writeErr
}

// Flush writes what was gathered. It blocks as long as the client keeps
// the pace; ErrTooSlow says that it did not.
func (c *Conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush()
	return c.writeErr
}

// TryFlush writes what the network takes at once, and reports whether some
// is left for Flush.
func (c *Conn) TryFlush() (left bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writeErr != nil || c.out == nil {
		return false, c.writeErr
	}
	c.try()
	return c.out != nil, c.writeErr
}

// BeforeWait has f called when Read is about to wait for the network. A
// whole record may hold no data at all (a key update): who has put writing
// off until nothing is Ready would put it off forever. From then on Read
// leaves alone what was gathered: f flushes, and another goroutine than the
// reader may be in the middle of a blocking write.
func (c *Conn) BeforeWait(f func()) { c.before = f }

func (c *Conn) flushUnlessBusy() error {
	if !c.mu.TryLock() {
		return nil // it is being written
	}
	defer c.mu.Unlock()
	c.flush()
	return c.writeErr
}

func (c *Conn) flush() {
	if c.out == nil || c.writeErr != nil {
		return
	}
	if c.try(); c.out == nil || c.writeErr != nil {
		return
	}
	n, err := c.pace.write(c.Conn, c.out.bytes())
	c.wrote(n, err)
}

// try writes without blocking.
func (c *Conn) try() {
	if c.raw == nil {
		return
	}
	c.sent = 0
	err := c.raw.Write(c.drain)
	c.wrote(c.sent, err)
}

func (c *Conn) drainNow(fd uintptr) bool {
	for c.sent < c.out.len() {
		rest := c.out.bytes()[c.sent:]
		n, err := ignoringEINTR(syscall.Write, int(fd), rest[:min(len(rest), sendSize)])
		if err != nil {
			if err != syscall.EAGAIN {
				c.writeErr = &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", err)}
			}
			return true
		}
		c.sent += n
	}
	return true
}

func (c *Conn) wrote(n int, err error) {
	c.out.drop(n)
	if err != nil && c.writeErr == nil {
		c.writeErr = err
	}
	if c.out.len() == 0 || c.writeErr != nil {
		c.out.reset()
		writeBuffers.put(c.out)
		c.out = nil
	}
}

// SetWriteDeadline implements net.Conn. It does nothing: the pace bounds
// writes. crypto/tls sets one that has passed before it closes, which would
// keep its last alert from leaving.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.Conn: it bounds reads.
func (c *Conn) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }

// Close implements net.Conn: what was gathered, the alert that ends a TLS
// session above all, leaves if it can at once.
func (c *Conn) Close() error {
	if c.mu.TryLock() {
		if c.out != nil && c.writeErr == nil {
			c.try()
		}
		c.mu.Unlock()
	}
	return c.Conn.Close()
}

// CloseWrite ends our direction only.
func (c *Conn) CloseWrite() error {
	if err := c.Flush(); err != nil {
		return err
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Release gives the buffers back. Only after everybody has stopped using
// the connection.
func (c *Conn) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in != nil {
		c.in.reset()
		c.in = lend(c.in, nil)
	}
	if c.out != nil {
		c.wrote(c.out.len(), net.ErrClosed)
	}
}

// ErrTooSlow says that a client did not keep the pace.
var ErrTooSlow = errors.New("the client is too slow")

// Pace is the slowest that a client may be. A zero Pace allows anything.
type Pace struct {
	// Stall is the grace: it may take this long for anything to happen.
	Stall time.Duration
	// Rate is the slowest rate after the grace, in bytes/s.
	Rate int
}

// write writes p to c, piece by piece as the client takes it.
func (p Pace) write(c net.Conn, b []byte) (n int, err error) {
	if p.Stall <= 0 {
		return c.Write(b)
	}
	owed := 0.0
	for n < len(b) {
		start := time.Now()
		if err := c.SetWriteDeadline(start.Add(p.Stall)); err != nil {
			return n, err
		}
		m, err := c.Write(b[n:min(len(b), n+sendSize)])
		n += m
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		owed += float64(p.Rate) * time.Since(start).Seconds()
		if m == 0 || float64(n) < owed {
			return n, ErrTooSlow
		}
	}
	return n, c.SetWriteDeadline(time.Time{})
}

// Read bounds the reading of content: it returns how long the next read
// may take, after read bytes have come in waited of waiting for them.
func (p Pace) Read(read int64, waited time.Duration) time.Duration {
	if p.Stall <= 0 {
		return time.Hour
	}
	allowed := p.Stall - waited
	if p.Rate > 0 {
		allowed += time.Duration(min(read, 1<<32)) * time.Second / time.Duration(p.Rate)
	}
	return min(max(allowed, time.Millisecond), p.Stall)
}
