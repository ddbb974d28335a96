package wire

import (
	"crypto/tls"
	"time"
)

// plainSize is how much is gathered before TLS makes records of it: eight
// full ones.
const plainSize = 128 << 10

// Window is how much may be queued in a Plain for TryFlush not to block.
const Window = plainSize

// Plain is a connection as HTTP sees it: above TLS, or straight on the
// Conn. What is appended is gathered until Flush.
//
// One goroutine reads, one at a time appends and flushes.
type Plain struct {
	Conn *Conn
	// TLS is nil on a plain connection. Its handshake is over.
	TLS *tls.Conn

	out *buffer // nil: nothing is gathered
}

// Read reads what the client sent, decrypted. Conn.Wait before it waits
// without a buffer.
func (p *Plain) Read(b []byte) (int, error) {
	if p.TLS != nil {
		return p.TLS.Read(b)
	}
	return p.Conn.Read(b)
}

// SetReadDeadline bounds Read and Conn.Wait.
func (p *Plain) SetReadDeadline(t time.Time) error { return p.Conn.SetReadDeadline(t) }

// Append queues b. It copies what is small; a buffer that is full when more
// is to follow goes through TLS into Conn, and from there to the network
// when that is full, too: then it blocks.
func (p *Plain) Append(b []byte) error {
	for len(b) > 0 {
		if p.out != nil && p.out.room() == 0 {
			if err := p.seal(); err != nil {
				return err
			}
		}
		if p.out == nil {
			if len(b) >= plainSize {
				n := len(b) - len(b)%(plainSize/4)
				if err := p.down(b[:n]); err != nil {
					return err
				}
				b = b[n:]
				continue
			}
			p.out = plainBuffers.get()
		}
		b = b[p.out.put(b):]
	}
	return nil
}

// Buffered returns how many bytes are queued above TLS.
func (p *Plain) Buffered() int {
	if p.out == nil {
		return 0
	}
	return p.out.len()
}

// Room returns where up to n bytes can be written in place, for Commit; n
// is at most 16 KiB.
func (p *Plain) Room(n int) ([]byte, error) {
	if p.out != nil && p.out.room() < n {
		if err := p.seal(); err != nil {
			return nil, err
		}
	}
	if p.out == nil {
		p.out = plainBuffers.get()
	}
	return p.out.free()[:0:n], nil
}

// Commit queues the first n bytes that were written into Room.
func (p *Plain) Commit(n int) { p.out.w += n }

// Flush writes everything queued to the network. It blocks as long as the
// client keeps the pace.
func (p *Plain) Flush() error {
	if err := p.seal(); err != nil {
		return err
	}
	return p.Conn.Flush()
}

// TryFlush writes what the network takes at once. When some is left, Flush
// is to be called, on a goroutine that may block, before anything more is
// appended. No more than Window may be queued, or it may block itself.
func (p *Plain) TryFlush() (left bool, err error) {
	if err := p.seal(); err != nil {
		return false, err
	}
	return p.Conn.TryFlush()
}

// Seal hands what is queued to TLS, so that a Read that has to wait flushes
// it.
func (p *Plain) Seal() error { return p.seal() }

// seal hands what is queued to TLS, which gathers it in Conn.
func (p *Plain) seal() error {
	b := p.out
	if b == nil {
		return nil
	}
	p.out = nil
	err := p.down(b.bytes())
	b.reset()
	plainBuffers.put(b)
	return err
}

func (p *Plain) down(b []byte) error {
	var err error
	if len(b) == 0 {
		return nil
	}
	if p.TLS != nil {
		_, err = p.TLS.Write(b)
	} else {
		_, err = p.Conn.Write(b)
	}
	return err
}

// Close closes the connection; over TLS the client is told first. What is
// still queued is dropped.
func (p *Plain) Close() error {
	if p.TLS != nil {
		return p.TLS.Close()
	}
	return p.Conn.Close()
}

// Release gives the buffers back. Only after everybody has stopped using
// the connection.
func (p *Plain) Release() {
	if p.out != nil {
		p.out.reset()
		plainBuffers.put(p.out)
		p.out = nil
	}
	p.Conn.Release()
}
