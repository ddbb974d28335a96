package http2

import "errors"

var errWriteClosed = errors.New("the tunnel's direction to the client was closed")

// tunnel is a stream after an extended CONNECT (RFC 8441). One goroutine
// reads, one writes; any may close it.
type tunnel struct{ s *stream }

// Read implements io.Reader. How long it may wait is for its user to bound.
func (t *tunnel) Read(p []byte) (int, error) {
	c := t.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if n, done, err := c.receive(t.s, p); done {
			return n, err
		}
		t.s.x.changed.Wait()
	}
}

// Write implements io.Writer: it sends at once.
func (t *tunnel) Write(p []byte) (int, error) {
	c := t.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.s.ended {
		return 0, errWriteClosed
	}
	n, err := c.send(t.s, p)
	c.flush(t.s)
	if err == nil {
		err = lost(t.s)
	}
	return n, err
}

// CloseWrite ends our direction only: END_STREAM.
func (t *tunnel) CloseWrite() error {
	c := t.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !t.s.open {
		return lost(t.s)
	}
	t.s.ended = true
	c.flush(t.s)
	return nil
}

// Close implements io.Closer. Unless both directions have ended, the client
// sees a reset.
func (t *tunnel) Close() error {
	c := t.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hangUp(t.s)
	c.push()
	return nil
}

// hangUp ends a tunnel.
func (c *Conn) hangUp(s *stream) {
	s.x.wanted = false
	s.x.in.reset()
	s.x.changed.Broadcast()
	if s.open && !(s.ended && s.received) {
		c.reset(s, canceled, errAborted)
	}
}
