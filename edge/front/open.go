package front

import "sync"

// session is a connection that is open, in one stage of its life.
type session interface {
	// Drain asks it to end when what is in flight has ended.
	Drain()
	// Retire asks for the same of a connection that has had a request; one
	// that has not answers its first before.
	Retire()
}

// stage is what a connection counts as.
type stage uint8

const (
	shaking stage = iota // in its handshake
	speaksHTTP1
	speaksHTTP2
	speaksHTTP3
	numStages
)

// open is the set of the connections that are open, those in their
// handshake included.
type open struct {
	// Guarded by mu.
	mu       sync.Mutex
	sessions map[*connection]struct{}
	stages   [numStages]int
	accepted uint64
	retiring bool // every connection is retired
	earlier  int  // of those that are open, how many were before that
	draining bool
	ended    chan struct{} // closed when draining and the set is empty
	told     chan struct{} // closed when drain has asked every connection
}

// connection is one member of the set.
type connection struct {
	close func() // from any goroutine; makes every read and write fail

	// Guarded by open.mu.
	session session
	stage   stage
	earlier bool
}

func newOpen() *open {
	return &open{sessions: map[*connection]struct{}{}, ended: make(chan struct{}), told: make(chan struct{})}
}

// add takes a connection in. It is false when it is too late for one.
func (o *open) add(c *connection, s session, as stage) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.draining {
		return false
	}
	c.session, c.stage = s, as
	o.sessions[c] = struct{}{}
	o.stages[as]++
	o.accepted++
	if o.retiring {
		s.Retire()
	}
	return true
}

// becomes puts a connection into its next stage.
func (o *open) becomes(c *connection, s session, as stage) {
	o.mu.Lock()
	o.stages[c.stage]--
	o.stages[as]++
	c.session, c.stage = s, as
	draining, retiring := o.draining, o.retiring
	o.mu.Unlock()
	switch {
	case draining:
		s.Drain()
	case retiring:
		s.Retire()
	}
}

// remove takes a connection that has ended out.
func (o *open) remove(c *connection) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, in := o.sessions[c]; in {
		delete(o.sessions, c)
		o.stages[c.stage]--
		if c.earlier {
			o.earlier--
		}
		o.endedNow()
	}
}

func (o *open) endedNow() {
	if o.draining && len(o.sessions) == 0 {
		close(o.ended)
	}
}

// retire asks every connection to end in its own time, and each that comes,
// until it is told otherwise. Those that were asked are not asked back.
func (o *open) retire(on bool) {
	for _, s := range o.setRetiring(on) {
		s.Retire()
	}
}

// setRetiring returns whom to ask.
func (o *open) setRetiring(on bool) (ask []session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if on == o.retiring {
		return nil
	}
	o.retiring, o.earlier = on, 0
	for c := range o.sessions {
		if c.earlier = on; on {
			o.earlier++
			ask = append(ask, c.session)
		}
	}
	return ask
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

// counts fills in what c says of connections.
func (o *open) counts(c *Counts) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.Handshakes, c.HTTP1 = o.stages[shaking], o.stages[speaksHTTP1]
	c.HTTP2, c.HTTP3 = o.stages[speaksHTTP2], o.stages[speaksHTTP3]
	c.Earlier, c.Accepted = o.earlier, o.accepted
}
