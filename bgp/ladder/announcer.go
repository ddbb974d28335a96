package ladder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/bgp"
)

// Fleet is every other node that announces the same. Its methods may be
// called at once, and return within the context.
type Fleet interface {
	// Exchange tells all others a record, and returns theirs as far as they
	// answer.
	Exchange(ctx context.Context, mine Record) []Record
	// Ask puts a question to all others, and returns the answers.
	Ask(ctx context.Context, ask Ask) []Answer
}

const (
	// tick is how often decisions are looked at without a reason to.
	tick = 250 * time.Millisecond
	// exchangeEvery is how often a node tells its record, and exchangeTime
	// how long the others may take to tell theirs.
	exchangeEvery = time.Second
	exchangeTime  = time.Second
	// aliveFor is how long the loop may stand still before the lease on the
	// announcements is given up. Asking others takes up to exchangeTime.
	aliveFor = 3 * time.Second
)

// Config is what an Announcer needs.
type Config struct {
	// BGP is valid: its Validate returned nil.
	BGP     bgp.Config
	Speaker bgp.Speaker
	// Node, Name and Pop say who this node is.
	Node      uint8
	Name, Pop string
	// Checks run every Rules.Interval, all at once.
	Checks []Check
	// Fleet is nil for a node that knows no other.
	Fleet Fleet
	// Purges returns the last purge carried out; nil: none ever.
	Purges func() uint64
	// Ready is closed when the node can serve its VIPs; nil: it can when Run
	// is called.
	Ready <-chan struct{}
	// Order is what an operator wanted in an earlier life; Keep writes what
	// is wanted now where the next one finds it. Nil: it is forgotten.
	Order Order
	Keep  func(Order) error
	Rules Rules // DefaultRules fits
	// Settle is how long the node keeps serving after the withdrawal, so
	// that traffic moves before anything stops; 0 means 1 s, negative none.
	Settle time.Duration
	// WithdrawLimit bounds how long a withdrawal may take to be applied
	// before the speaker is ended instead; 0 means 2 s.
	WithdrawLimit time.Duration
	Log           *zap.Logger           // nil: none
	Registerer    prometheus.Registerer // nil: the metrics are not registered
}

// Announcer announces a node's VIPs as far as checks, operators and
// interlocks allow. It is the last part of a node to start and so the first
// to stop: the withdrawal is over before anything stops accepting.
type Announcer struct {
	// Static after New.
	cfg    Config
	met    *metrics
	life   int64
	wake   chan struct{} // holds a token when there is something to look at
	tell   chan struct{} // holds a token when others should know at once
	orders chan ordered

	beat atomic.Int64 // when the loop last went round, in Unix nanoseconds

	// Owned by the loop.
	again time.Time // when a step that was refused is tried again

	mu sync.Mutex
	// Guarded by mu.
	state      State
	trackers   []Tracker
	order      Order
	overrides  map[Interlock]Override
	view       View
	agreement  Agreement
	seq        uint64
	stepping   bool
	leaving    bool
	fell       time.Time // zero: never
	decision   Decision  // the last one
	refusals   []Refusal // of the last step that was tried
	generation uint64
}

// New returns an announcer at rest; it fails when its metrics are registered
// already.
func New(cfg Config) (*Announcer, error) {
	if cfg.Settle == 0 {
		cfg.Settle = time.Second
	}
	cfg.Settle = max(cfg.Settle, 0)
	if cfg.WithdrawLimit == 0 {
		cfg.WithdrawLimit = 2 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Purges == nil {
		cfg.Purges = func() uint64 { return 0 }
	}
	now := time.Now()
	a := &Announcer{
		cfg: cfg, life: now.UnixNano(), state: Start(now), order: cfg.Order,
		wake: make(chan struct{}, 1), tell: make(chan struct{}, 1), orders: make(chan ordered),
		overrides: map[Interlock]Override{},
	}
	a.view.Expected = cfg.Fleet != nil
	for _, c := range cfg.Checks {
		a.trackers = append(a.trackers, Tracker{Name: c.Name, Class: c.Class})
	}
	a.met = newMetrics(a)
	a.beat.Store(now.UnixNano())
	if cfg.Registerer != nil {
		if err := errors.Join(cfg.Registerer.Register(bgp.NewCollector(cfg.Speaker.Status)), a.met.register(cfg.Registerer)); err != nil {
			return nil, fmt.Errorf("bgp metrics: %w", err)
		}
	}
	return a, nil
}

// StopLimit is how long Run may take to return once its context is done.
func (a *Announcer) StopLimit() time.Duration {
	return a.cfg.Rules.Farewell + a.cfg.WithdrawLimit + a.cfg.Settle + exchangeTime + bgp.StopTime
}

// Alive tells whether the announcer's loop goes round. It returns at once;
// the lease on the announcements hangs on it.
func (a *Announcer) Alive() bool {
	return time.Since(time.Unix(0, a.beat.Load())) < aliveFor
}

// Run announces once the node is ready and well, until ctx is done; then it
// says farewell, withdraws, waits until the speaker has done so and traffic
// has moved, and ends the speaker. It calls ready as soon as the speaker is
// starting: a node whose routers are away starts all the same.
func (a *Announcer) Run(ctx context.Context, ready func()) error {
	speakerCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- a.cfg.Speaker.Run(speakerCtx) }() // every way out waits for it
	ready()

	work, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { a.runChecks(work) })
	beside.Go(func() { a.exchange(work) })
	err, over := a.loop(work, ended)
	cancel()
	beside.Wait()
	if over {
		return speakerEnded(err)
	}
	if a.leave(ctx) {
		<-time.After(a.cfg.Settle)
		stop()
		return <-ended
	}
	// Without its speaker nothing stays announced, so traffic is given the
	// time to move after that.
	stop()
	err = <-ended
	<-time.After(a.cfg.Settle)
	return err
}

// loop decides until ctx is done, or the speaker has ended by itself.
func (a *Announcer) loop(ctx context.Context, ended <-chan error) (err error, over bool) {
	again := time.NewTicker(tick)
	defer again.Stop()
	isReady := a.cfg.Ready == nil
	for {
		a.beat.Store(time.Now().UnixNano())
		if isReady {
			a.evaluate(ctx)
		}
		select {
		case err := <-ended:
			return err, true
		case <-ctx.Done():
			return nil, false
		case <-a.readyC(isReady):
			isReady = true
		case o := <-a.orders:
			o.done <- a.obey(ctx, o)
		case <-a.wake:
		case <-again.C:
		}
	}
}

// readyC is nil once the node was ready: a closed channel would always be.
func (a *Announcer) readyC(was bool) <-chan struct{} {
	if was {
		return nil
	}
	return a.cfg.Ready
}

// runChecks asks all checks, every interval.
func (a *Announcer) runChecks(ctx context.Context) {
	again := time.NewTicker(a.cfg.Rules.Interval)
	defer again.Stop()
	for {
		results := make([]error, len(a.cfg.Checks))
		var all sync.WaitGroup
		for i, c := range a.cfg.Checks {
			all.Go(func() { results[i] = c.Run() })
		}
		all.Wait()
		a.note(results)
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// note takes a round of results.
func (a *Announcer) note(results []error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for i := range a.trackers {
		t := &a.trackers[i]
		before := t.failing
		t.Note(results[i], a.cfg.Rules, now)
		if t.failing != before {
			a.cfg.Log.Warn("check changed", zap.String("check", t.Name), zap.Stringer("class", t.Class), zap.Bool("failing", t.failing), zap.Error(results[i]))
		}
	}
	a.state = a.state.Watch(a.results(), now)
	poke(a.wake)
}

// exchange tells the others where this node is, and hears where they are.
func (a *Announcer) exchange(ctx context.Context) {
	if a.cfg.Fleet == nil {
		return
	}
	again := time.NewTicker(exchangeEvery)
	defer again.Stop()
	for {
		a.exchangeOnce(ctx)
		select {
		case <-again.C:
		case <-a.tell:
		case <-ctx.Done():
			return
		}
	}
}

func (a *Announcer) exchangeOnce(ctx context.Context) {
	if a.cfg.Fleet == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	for _, r := range a.cfg.Fleet.Exchange(ctx, a.Record()) {
		a.Hear(r)
	}
}

// Hear notes what another node says of itself.
func (a *Announcer) Hear(r Record) {
	if r.Node == a.cfg.Node {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.view.Hear(r, now) {
		a.agreement.Heard(r)
	}
	a.view.Forget(a.cfg.Rules, now)
}

// Asked answers another node that wants to step down.
func (a *Announcer) Asked(ask Ask) Answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.agreement.Asked(a.record(), ask, a.cfg.Rules, time.Now())
}

// Record returns what this node says of itself.
func (a *Announcer) Record() Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seq++
	return a.record()
}

// record needs mu.
func (a *Announcer) record() Record {
	now := time.Now()
	r := Record{
		Node: a.cfg.Node, Name: a.cfg.Name, Pop: a.cfg.Pop, Life: a.life, Seq: a.seq,
		Rung: a.state.Rung, Stepping: a.stepping, Leaving: a.leaving, Fell: -1, Purges: a.cfg.Purges(),
		Prefixes: a.heardPrefixes(),
	}
	r.Announces = len(r.Prefixes) > 0 && !a.leaving
	if !a.fell.IsZero() {
		r.Fell = now.Sub(a.fell).Seconds()
	}
	for _, c := range a.results() {
		if c.Class == SelfHard && c.Suspect {
			if r.Failing == nil {
				r.Failing = map[string]float64{}
			}
			r.Failing[c.Name] = 0
			if c.Failing {
				r.Failing[c.Name] = now.Sub(c.Since).Seconds()
			}
		}
	}
	return r
}

// judged is the record that this node's own steps are judged by: it counts as
// announcing all that it may, also while its speaker starts anew. It needs mu.
func (a *Announcer) judged() Record {
	r := a.record()
	r.Prefixes = a.prefixes()
	return r
}

// prefixes are all that the node may announce, in order.
func (a *Announcer) prefixes() []netip.Prefix {
	return slices.SortedFunc(maps.Keys(a.cfg.BGP.Announcement(bgp.Normal, bgp.Attrs{})), netip.Prefix.Compare)
}

// heardPrefixes are those that at least one router has been told.
func (a *Announcer) heardPrefixes() (out []netip.Prefix) {
	s := a.cfg.Speaker.Status()
	if a.state.Rung == bgp.Withdrawn || s.AppliedGeneration == 0 || s.AppliedGeneration != a.generation {
		return nil
	}
	up := map[bool]bool{}
	for _, p := range s.Peers {
		up[p.Address.Is4()] = up[p.Address.Is4()] || p.State == bgp.Established
	}
	for _, p := range a.prefixes() {
		if up[p.Addr().Is4()] {
			out = append(out, p)
		}
	}
	return out
}

// results needs mu.
func (a *Announcer) results() []Result {
	out := make([]Result, len(a.trackers))
	for i := range a.trackers {
		out[i] = a.trackers[i].Result()
	}
	return out
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // a token is there
	}
}

func speakerEnded(err error) error {
	if err == nil {
		return errors.New("the speaker stopped by itself")
	}
	return err
}
