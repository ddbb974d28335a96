package relay

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// memory is a network of one listener, in memory.
type memory struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once

	mu    sync.Mutex
	conns []*wireEnd // the listener's ends
	down  bool       // nobody can connect
}

func newMemory() *memory {
	return &memory{incoming: make(chan net.Conn, 16), closed: make(chan struct{})}
}

func (m *memory) dial(_ context.Context, _ netip.AddrPort) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, io.ErrClosedPipe
	}
	there, back := newWire(), newWire()
	server := &wireEnd{in: there, out: back}
	client := &wireEnd{in: back, out: there}
	server.other, client.other = client, server
	select {
	case <-m.closed:
		return nil, net.ErrClosed
	default:
	}
	m.conns = append(m.conns, server)
	m.incoming <- server
	return client, nil
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.incoming:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1} }

// last returns the listener's end of the newest connection.
func (m *memory) last() *wireEnd {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conns[len(m.conns)-1]
}

func (m *memory) setDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// wireRoom is how much a direction holds that was not read, like a socket.
const wireRoom = 256 << 10

// wire is one direction of a connection.
type wire struct {
	mu      sync.Mutex
	changed sync.Cond
	b       []byte
	closed  bool
	frozen  bool // nobody reads
}

func newWire() *wire {
	w := &wire{}
	w.changed.L = &w.mu
	return w
}

func (w *wire) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.changed.Broadcast()
}

// wireEnd is one end of a connection in memory.
type wireEnd struct {
	in, out *wire
	other   *wireEnd
}

// freeze has nothing more read at this end until thaw.
func (e *wireEnd) freeze() { e.in.set(func() { e.in.frozen = true }) }
func (e *wireEnd) thaw()   { e.in.set(func() { e.in.frozen = false }) }

// mute has nothing that this end writes arrive until unmute.
func (e *wireEnd) mute()   { e.other.freeze() }
func (e *wireEnd) unmute() { e.other.thaw() }

func (e *wireEnd) Read(p []byte) (int, error) {
	w := e.in
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed && (w.frozen || len(w.b) == 0) {
		w.changed.Wait()
	}
	if len(w.b) == 0 || w.frozen {
		return 0, io.EOF
	}
	n := copy(p, w.b)
	w.b = w.b[n:]
	w.changed.Broadcast()
	return n, nil
}

func (e *wireEnd) Write(p []byte) (int, error) {
	w := e.out
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := 0; ; {
		for !w.closed && len(w.b) >= wireRoom {
			w.changed.Wait()
		}
		if w.closed {
			return n, net.ErrClosed
		}
		m := min(len(p)-n, wireRoom-len(w.b))
		w.b = append(w.b, p[n:n+m]...)
		w.changed.Broadcast()
		if n += m; n == len(p) {
			return n, nil
		}
	}
}

func (e *wireEnd) Close() error {
	for _, w := range []*wire{e.in, e.out} {
		w.set(func() { w.closed = true })
	}
	return nil
}

func (e *wireEnd) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (e *wireEnd) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (e *wireEnd) SetDeadline(time.Time) error      { return nil }
func (e *wireEnd) SetReadDeadline(time.Time) error  { return nil }
func (e *wireEnd) SetWriteDeadline(time.Time) error { return nil }
