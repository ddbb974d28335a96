package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/bgp/ladder"
	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// drain is how a node goes while its process stays: it keeps accepting,
// gives new keys and sessions to others, has routers look for other paths,
// waits until new connections cease, tells its clients to leave, withdraws,
// and keeps the sessions that it holds until the deadline. It can be taken
// back at any time.
type drain struct {
	// Static.
	log      *zap.Logger
	front    clients
	state    func(affinity.State)
	sessions *sessions.Table
	routes   routes // nil when nothing is announced
	accepted func() uint64

	// changing is held by who begins or ends a drain, from start to end.
	changing sync.Mutex

	mu sync.Mutex
	// Guarded by mu.
	since    time.Time // zero while the node does not drain
	deadline time.Duration
	expiry   *time.Timer
	phase    string
	stop     context.CancelFunc // of the goroutine that walks the phases
	walking  sync.WaitGroup
	final    bool // the process stops: nothing takes that back
}

// clients is what a drain has to do with those who are connected.
type clients interface{ SetDraining(on bool) }

// routes is what a drain has to do with the announcement.
type routes interface {
	Order(ctx context.Context, o ladder.Order, overrides []ladder.Override) error
	Current() ladder.Order
	Plan(step ladder.Step) ladder.Plan
}

const (
	// orderTime bounds one step of the announcement.
	orderTime = 5 * time.Second
	// calmWindow is how long new connections are counted for a rate, and
	// calmShare the part of the rate before that counts as none.
	calmWindow = 2 * time.Second
	calmShare  = 0.01
	// drainRetry is how often a withdrawal that an interlock refuses is
	// tried again.
	drainRetry = time.Second
)

// begin starts a drain, or gives the one in progress another deadline. An
// interlock may refuse it: then nothing has changed.
func (d *drain) begin(o drainOrder) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	_, _, on := d.drains()
	if !on {
		if err := d.leaveRoutes(o); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.final {
		return errStopping
	}
	if d.since.IsZero() {
		d.since = time.Now()
		d.walk(o.Converge)
	} else {
		d.expiry.Stop()
	}
	d.state(affinity.Draining) // again, when the deadline had passed and there is a new one
	d.deadline = o.Deadline
	d.expiry = time.AfterFunc(time.Until(d.since.Add(o.Deadline)), d.expire)
	d.log.Info("draining", zap.Duration("deadline", o.Deadline))
	return nil
}

// leaveRoutes has the routers look for other paths. The ring is drained
// before that, and not when it would be for nothing.
func (d *drain) leaveRoutes(o drainOrder) error {
	if d.routes == nil {
		return nil
	}
	order := d.routes.Current()
	order.Wide, order.Drain, order.Reason = o.Wide, true, o.Reason
	order.Floor = max(order.Floor, bgp.Gshut) // it may be withdrawn already
	if len(o.Overrides) == 0 {
		step := ladder.Step{To: order.Floor, Wide: o.Wide}
		if refusals := d.routes.Plan(step).Refusals; len(refusals) > 0 {
			return refusedBy(ladder.Refused(refusals))
		}
	}
	d.state(affinity.Draining)
	ctx, cancel := context.WithTimeout(context.Background(), orderTime)
	defer cancel()
	if err := d.routes.Order(ctx, order, o.Overrides); err != nil {
		d.state(affinity.Active)
		return refusedBy(err)
	}
	return nil
}

// walk goes through the phases that come after the first step. It needs mu.
func (d *drain) walk(converge time.Duration) {
	if d.routes == nil {
		d.phase = pop.PhaseLeaving
		d.front.SetDraining(true)
		return
	}
	d.phase = pop.PhaseConverging
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.walking.Go(func() {
		d.converge(ctx, converge)
		if d.enter(ctx, pop.PhaseLeaving, func() { d.front.SetDraining(true) }) {
			d.withdraw(ctx)
		}
	})
}

// enter begins a phase, unless the drain was taken back.
func (d *drain) enter(ctx context.Context, phase string, act func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	d.phase = phase
	act()
	d.log.Info("drain", zap.String("phase", phase))
	return true
}

// converge returns once next to nobody new comes, or limit has passed.
func (d *drain) converge(ctx context.Context, limit time.Duration) {
	end := time.NewTimer(limit)
	defer end.Stop()
	look := time.NewTicker(calmWindow)
	defer look.Stop()
	before, first := d.accepted(), uint64(0)
	for {
		select {
		case <-look.C:
		case <-end.C:
			d.log.Info("new connections have not ceased, going on", zap.Duration("limit", limit))
			return
		case <-ctx.Done():
			return
		}
		now := d.accepted()
		fresh := now - before
		before, first = now, max(first, fresh)
		if float64(fresh) <= calmShare*float64(first) {
			return
		}
	}
}

// withdraw takes the last step, as soon as the interlocks let it.
func (d *drain) withdraw(ctx context.Context) {
	again := time.NewTicker(drainRetry)
	defer again.Stop()
	for {
		order := d.routes.Current()
		order.Floor = bgp.Withdrawn
		err := d.routes.Order(ctx, order, nil)
		if err == nil {
			d.enter(ctx, pop.PhaseWithdrawn, func() {})
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
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

var errStopping = fmt.Errorf("%w: the node is stopping: start it again", pop.ErrRefused)

// end takes the node back.
func (d *drain) end() error {
	d.changing.Lock()
	defer d.changing.Unlock()
	was, err := d.takeBack()
	d.walking.Wait()
	if err != nil || !was || d.routes == nil {
		return err
	}
	order := d.routes.Current()
	order.Floor, order.Wide, order.Drain, order.Reason = bgp.Normal, false, false, ""
	ctx, cancel := context.WithTimeout(context.Background(), orderTime)
	defer cancel()
	return d.routes.Order(ctx, order, nil)
}

// takeBack reports whether there was a drain.
func (d *drain) takeBack() (was bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.final:
		return false, errStopping
	case d.since.IsZero():
		return false, nil
	}
	d.expiry.Stop()
	d.since, d.phase = time.Time{}, ""
	d.halt()
	d.front.SetDraining(false)
	d.state(affinity.Active)
	d.log.Info("no longer draining")
	return true, nil
}

// halt ends the walk through the phases. It needs mu.
func (d *drain) halt() {
	if d.stop != nil {
		d.stop()
		d.stop = nil
	}
}

// finish is the drain that ends with the process.
func (d *drain) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.final = true
	d.halt()
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

// at returns the phase of the drain, "" while there is none.
func (d *drain) at() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.phase
}

// refusedBy marks what interlocks refuse for the operator's side.
func refusedBy(err error) error {
	var refused ladder.Refused
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", pop.ErrRefused, err)
	}
	return err
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
		Elapsed: elapsed.Seconds(), Deadline: deadline.Seconds(), Phase: p.drain.at(), Announce: p.rung(),
	}
	out.Announced = out.Announce != pop.AnnounceNone && out.Phase != pop.PhaseWithdrawn
	if on {
		out.State = pop.Judge(out.Load, elapsed, deadline)
	}
	return out
}

// rung is the word for how far the node is announced.
func (p *popPart) rung() string {
	if p.node.announcer == nil {
		return pop.AnnounceNone
	}
	return p.node.announcer.Status().Rung.String()
}
