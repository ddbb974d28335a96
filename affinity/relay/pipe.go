package relay

import (
	"net"
	"sync"
)

const (
	// readAhead is what one system call may bring: several TLS records.
	readAhead = 64 << 10
	// gathered is how much ciphertext waits for one system call: that of a
	// full round.
	gathered = maxRound + 8<<10
)

// pipe is a connection below TLS. Once gather was called, what TLS writes is
// kept until flush, so that many records leave in one system call.
type pipe struct {
	net.Conn

	// Owned by the reader.
	in   []byte
	r, w int

	mu sync.Mutex
	// Guarded by mu.
	out     []byte
	gathers bool
}

func newPipe(nc net.Conn) *pipe { return &pipe{Conn: nc, in: make([]byte, readAhead)} }

// Read implements net.Conn.
func (p *pipe) Read(b []byte) (int, error) {
	if p.r == p.w {
		n, err := p.Conn.Read(p.in)
		p.r, p.w = 0, n
		if n == 0 {
			return 0, err
		}
		// An error comes again.
	}
	n := copy(b, p.in[p.r:p.w])
	p.r += n
	return n, nil
}

// gather is called when the handshake is done.
func (p *pipe) gather() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gathers = true
}

// Write implements net.Conn.
func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gathers {
		return p.Conn.Write(b)
	}
	if p.out == nil {
		p.out = make([]byte, 0, gathered)
	}
	if len(p.out)+len(b) > gathered {
		if err := p.send(); err != nil {
			return 0, err
		}
	}
	p.out = append(p.out, b...)
	return len(b), nil
}

// flush writes what was gathered.
func (p *pipe) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.send()
}

func (p *pipe) send() error {
	if len(p.out) == 0 {
		return nil
	}
	_, err := p.Conn.Write(p.out)
	p.out = p.out[:0]
	return err
}
