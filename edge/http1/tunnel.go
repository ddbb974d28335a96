package http1

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
)

// Tunnel implements exchange.Writer: it switches protocols, for a request
// that asked for that.
func (w *writer) Tunnel(h exchange.Header) (io.ReadWriteCloser, error) {
	w.t.watch.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.t.c
	if w.over || w.headed || w.cut || w.t.r.Upgrade == "" {
		return nil, errOrder
	}
	w.over, w.tunnel = true, true
	c.s.conf.Tunnels.Add(1)
	c.p.Conn.Resume()
	if err := c.p.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	b := appendStatus(make([]byte, 0, 512), exchange.HTTP11, http.StatusSwitchingProtocols)
	b = appendFields(b, h)
	b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
	b = append(b, w.t.r.Upgrade...)
	if err := w.send(append(b, crlf+crlf...)); err != nil {
		return nil, err
	}
	return &tunnel{c: c, p: c.p, early: &c.in}, nil
}

// tunnel is a connection after a switch of protocols. One goroutine reads
// and one writes; any may close it.
type tunnel struct {
	c *Conn
	p *wire.Plain
	// early holds what the client sent behind its request; owned by the
	// reader.
	early *input

	writing sync.Mutex // held by whoever writes
	closing sync.Once
}

// Read implements io.Reader.
func (t *tunnel) Read(b []byte) (int, error) {
	if t.early.len() > 0 {
		return t.early.take(b), nil
	}
	t.early.release()
	return t.p.Read(b)
}

// Write implements io.Writer. Nothing is gathered.
func (t *tunnel) Write(b []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	err := t.p.Append(b)
	if err == nil {
		err = t.p.Flush()
	}
	if err != nil {
		t.c.tooLate(err)
		return 0, err
	}
	return len(b), nil
}

// CloseWrite ends our direction only.
func (t *tunnel) CloseWrite() error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.p.TLS != nil {
		if err := t.p.TLS.CloseWrite(); err != nil {
			return err
		}
	}
	return t.p.Conn.CloseWrite()
}

// Close implements io.Closer. A write in progress does not hold it up.
func (t *tunnel) Close() (err error) {
	t.closing.Do(func() {
		if !t.writing.TryLock() {
			err = t.p.Conn.Close()
			return
		}
		defer t.writing.Unlock()
		err = t.p.Close()
	})
	return err
}
