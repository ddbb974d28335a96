package front

import "sync"

// session is a connection that is open, in one stage of its life.
type session interface {
	// Drain asks it to end when what is in flight has ended.
	Drain()
}

// open is the set of the connections that are open, those in their
// handshake included.
type open struct {
	// Guarded by mu.
	mu       sync.Mutex
	sessions map[*connection]struct{}
	draining bool
	ended    chan struct{} // closed when draining and the set is empty
	told     chan struct{} // closed when drain has asked every connection
}

// connection is one member of the set.
type connection struct {
	close func() // from any goroutine; makes every read and write fail

	// Guarded by open.mu.
	session session
}

func newOpen() *open {
	return &open{sessions: map[*connection]struct{}{}, ended: make(chan struct{}), told: make(chan struct{})}
}

// add takes a connection in. It is false when it is too late for one.
func (o *open) add(c *connection, s session) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.draining {
		return false
	}
	c.session = s
	o.sessions[c] = struct{}{}
	return true
}

// becomes puts a connection into its next stage.
func (o *open) becomes(c *connection, s session) {
	o.mu.Lock()
	c.session = s
	draining := o.draining
	o.mu.Unlock()
	if draining {
		s.Drain()
	}
}

// remove takes a connection that has ended out.
func (o *open) remove(c *connection) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, in := o.sessions[c]; in {
		delete(o.sessions, c)
		o.endedNow()
	}
}

func (o *open) endedNow() {
	if o.draining && len(o.sessions) == 0 {
		close(o.ended)
	}
}

// drain asks every connection to end, one of which may take its time to
// hear: told is closed then. What it returns is closed once all have ended.
func (o *open) drain() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.draining = true
	sessions := make([]session, 0, len(o.sessions))
	for c := range o.sessions {
		sessions = append(sessions, c.session)
	}
	o.endedNow()
	go func() {
		defer close(o.told)
		for _, s := range sessions {
			s.Drain()
		}
	}()
	return o.ended
}

// cut closes every connection under its session.
func (o *open) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.sessions {
		c.close()
	}
}

func (o *open) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sessions)
}
