package node

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// drain is how a node goes while its process stays: it keeps accepting,
// tells its clients to leave, gives new keys and sessions to others, and
// keeps the sessions that it holds until the deadline. It can be taken back
// at any time.
type drain struct {
	// Static.
	log      *zap.Logger
	front    clients
	state    func(affinity.State)
	sessions *sessions.Table

	mu sync.Mutex
	// Guarded by mu.
	since    time.Time // zero while the node does not drain
	deadline time.Duration
	expiry   *time.Timer
	final    bool // the process stops: nothing takes that back
}

// clients is what a drain has to do with those who are connected.
type clients interface{ SetDraining(on bool) }

// begin starts a drain, or gives the one in progress another deadline.
func (d *drain) begin(deadline time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.final {
		return
	}
	if d.since.IsZero() {
		d.since = time.Now()
		d.front.SetDraining(true)
	} else {
		d.expiry.Stop()
	}
	d.state(affinity.Draining) // again, when the deadline had passed and there is a new one
	d.deadline = deadline
	d.expiry = time.AfterFunc(time.Until(d.since.Add(deadline)), d.expire)
	d.log.Info("draining", zap.Duration("deadline", deadline))
}

// expire gives the sessions up that are left.
func (d *drain) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.since.IsZero() && time.Since(d.since) >= d.deadline {
		d.log.Info("the deadline of the drain has passed, the sessions that are left go to other nodes")
		d.state(affinity.Gone)
		d.sessions.Clear()
	}
}

var errStopping = errors.New("the node is stopping: start it again")

// end takes the node back.
func (d *drain) end() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.final:
		return errors.Join(pop.ErrRefused, errStopping)
	case d.since.IsZero():
		return nil
	}
	d.expiry.Stop()
	d.since = time.Time{}
	d.front.SetDraining(false)
	d.state(affinity.Active)
	d.log.Info("no longer draining")
	return nil
}

// stop is the drain that ends with the process.
func (d *drain) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.final = true
	if d.expiry != nil {
		d.expiry.Stop()
	}
	d.state(affinity.Draining)
}

// drains reports whether the node drains, for how long it has, and by when
// it is to be done.
func (d *drain) drains() (elapsed, deadline time.Duration, on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since.IsZero() {
		return 0, 0, d.final
	}
	return time.Since(d.since), d.deadline, true
}

// load is what the node holds.
func (p *popPart) load() pop.Load {
	c := p.node.front.Counts()
	return pop.Load{
		Sessions: p.sessions.Len(time.Now()), Connections: c.Connections(), HTTP1: c.HTTP1, HTTP2: c.HTTP2, HTTP3: c.HTTP3,
		Earlier: c.Earlier, InFlight: c.InFlight, Tunnels: c.Tunnels, Accepted: c.Accepted,
	}
}

// progress is how far this node's drain has come.
func (p *popPart) progress() pop.Progress {
	elapsed, deadline, on := p.drain.drains()
	out := pop.Progress{
		Node: p.self.Name, State: pop.StateActive, Load: p.load(),
		Elapsed: elapsed.Seconds(), Deadline: deadline.Seconds(),
	}
	if on {
		out.State = pop.Judge(out.Load, elapsed, deadline)
	}
	return out
}
