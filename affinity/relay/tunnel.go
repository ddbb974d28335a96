package relay

import "io"

// tunnel is a stream after a switch of protocols, at either end. One
// goroutine reads, one writes; any may close it.
type tunnel struct {
	s      *stream
	hangUp func() // under link.mu
}

// Read implements io.Reader. How long it may wait is for its user to bound.
func (t *tunnel) Read(p []byte) (int, error) { return t.s.read(p) }

// Write implements io.Writer: it sends at once.
func (t *tunnel) Write(p []byte) (int, error) {
	l := t.s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := t.s.lost(); err != nil {
		return 0, err
	}
	n, err := t.s.send(p)
	l.wake()
	return n, err
}

// CloseWrite ends our direction only.
func (t *tunnel) CloseWrite() error {
	s := t.s
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if err := s.lost(); err != nil {
		return err
	}
	s.finish(nil)
	s.l.wake()
	if s.asked != nil && s.received {
		s.asked.over(nil)
	}
	return nil
}

// Close implements io.Closer. Unless both directions have ended, the other
// end sees that this one has hung up.
func (t *tunnel) Close() error {
	t.s.l.mu.Lock()
	defer t.s.l.mu.Unlock()
	t.hangUp()
	return nil
}

var _ io.ReadWriteCloser = (*tunnel)(nil)
