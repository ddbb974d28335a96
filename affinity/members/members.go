package members

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
)

const (
	// refreshEvery is how often sites and purges are looked at.
	refreshEvery = time.Second

	// leaveLimit bounds how long a node that ends tells others so.
	leaveLimit = 500 * time.Millisecond
)

// Members is this node among the nodes of its PoP.
type Members struct {
	// Static after Listen.
	conf      Config // with defaults
	log       *zap.Logger
	metrics   *metrics
	lines     *libraryLog
	transport *transport
	started   time.Time
	changedC  chan struct{} // something that a view is made of; holds one
	announceC chan struct{} // what this node says of itself; holds one

	// Guarded by mu.
	mu       sync.Mutex
	self     meta              // without uptime
	claims   map[string]*claim // of others, by their names in memberlist
	contacts map[affinity.NodeID]contact
	former   map[netip.AddrPort]time.Time // addresses of nodes that went, and when to forget them
	verdict  verdict                      // the last one
	faults   map[fault]time.Time          // and when they were last met
	seeds    map[seed]seedState           // what is wrong with them
	differ   differences

	// Owned by Run.
	generation uint64
	published  []affinity.Member
}

// Listen opens the gossip socket; nothing is said or heard until Run.
func Listen(conf Config) (*Members, error) {
	conf.Tuning = conf.Tuning.withDefaults()
	conf.Listen = netip.AddrPortFrom(conf.Listen.Addr().Unmap(), conf.Listen.Port())
	if err := conf.validate(); err != nil {
		return nil, err
	}
	if conf.Log == nil {
		conf.Log = zap.NewNop()
	}
	conf.lookup = orSystem(conf.lookup)
	m := &Members{
		conf: conf, log: conf.Log, metrics: newMetrics(conf.Registerer), started: time.Now(),
		changedC: make(chan struct{}, 1), announceC: make(chan struct{}, 1),
		self:   meta{Member: conf.Self, pop: conf.Pop, version: conf.Version, instance: newInstance()},
		claims: map[string]*claim{}, contacts: map[affinity.NodeID]contact{}, former: map[netip.AddrPort]time.Time{},
		faults: map[fault]time.Time{}, seeds: map[seed]seedState{},
	}
	m.look()
	var err error
	m.lines = newLibraryLog(m.log, m.metrics, m.met)
	if m.transport, err = openTransport(conf.Listen, log.New(m.lines, "", 0)); err != nil {
		return nil, err
	}
	return m, nil
}

// newInstance returns a number that no other start of a process has; never
// 0.
func newInstance() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return max(binary.BigEndian.Uint64(b[:]), 1)
}

// Close gives up a Members that was never run.
func (m *Members) Close() error {
	defer m.lines.end()
	return m.transport.Shutdown()
}

// Addr returns the address that others reach this node at.
func (m *Members) Addr() netip.AddrPort { return m.transport.addr }

// Run talks with the others until ctx is done, and tells them that this
// node is gone when it is. It calls ready when the addresses to join have
// answered or not, or after Tuning.JoinWait. It is called once.
func (m *Members) Run(ctx context.Context, ready func()) error {
	defer m.lines.end()
	list, err := memberlist.Create(m.settings())
	if err != nil {
		_ = m.transport.Shutdown()
		return fmt.Errorf("gossip: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	joinedC := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { m.announce(ctx, list) })
	wg.Go(func() { newJoiner(m, list).run(ctx, func() { close(joinedC) }) })
	m.follow(ctx, joinedC, ready)

	if err := list.Leave(leaveLimit); err != nil {
		m.log.Info("nobody heard this node leave; the others will notice", zap.Error(err))
	}
	err = list.Shutdown() // ends dials, which the joiner may wait for
	wg.Wait()             // for one that is connected, up to Tuning.JoinTimeout
	return err
}

// follow publishes views until ctx is done.
func (m *Members) follow(ctx context.Context, joinedC <-chan struct{}, ready func()) {
	wait := time.NewTimer(m.conf.Tuning.JoinWait)
	defer wait.Stop()
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	next := time.NewTimer(0) // the first view is this node alone
	defer next.Stop()
	soon := false // next is to gather what changes within a moment
	begin := func() {
		joinedC = nil
		wait.Stop()
		ready()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-joinedC:
			// What came with the answers is in the view when others start.
			m.settle(time.Now())
			begin()
		case <-wait.C:
			begin()
		case <-refresh.C:
			m.refresh()
		case <-m.changedC:
			if !soon {
				soon = true
				next.Reset(m.conf.Tuning.Coalesce)
			}
		case <-next.C:
			soon = false
			if at := m.settle(time.Now()); !at.IsZero() {
				next.Reset(time.Until(at))
			}
		}
	}
}

// settle comes to a verdict and publishes its view if that is another one.
// It returns when time alone changes it.
func (m *Members) settle(now time.Time) time.Time {
	v := m.judge(now)
	if slices.Equal(v.members, m.published) {
		return v.next
	}
	m.generation++
	m.published = v.members
	m.metrics.views.Inc()
	m.metrics.view(v)
	m.conf.Publish(affinity.View{Generation: m.generation, Members: slices.Clone(v.members)})
	return v.next
}

// judge comes to a verdict and keeps it.
func (m *Members) judge(now time.Time) verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(now)
	v := decide(m.census(), now)
	for _, c := range v.living {
		c.taken, c.refused = true, ""
	}
	for _, r := range v.refusals {
		if r.claim.refused != r.why {
			r.claim.refused = r.why
			m.metrics.refuse(r.why)
			m.log.Warn("a node is not taken in", zap.String("problem", r.problem()))
		}
	}
	m.stand(v.aside)
	if v.rivals && !m.verdict.rivals {
		poke(m.announceC) // so that the other one hears how long this one has run
	}
	m.differ.look(v.living, now)
	m.verdict = v
	return v
}

// stand has this node stand aside, or no more. It is called with mu held.
func (m *Members) stand(aside *refusal) {
	why := reason("")
	if aside != nil {
		why = aside.why
		aside.because.taken = true
	}
	if m.self.aside == why {
		return
	}
	m.self.aside = why
	poke(m.announceC)
	if aside == nil {
		m.log.Info("this node is a member again: nobody else has its id or name")
		return
	}
	m.metrics.refuse(why)
	m.log.Error("this node runs alone", zap.String("problem", aside.problem()))
}

// census returns all that a view is made of. It is called with mu held.
func (m *Members) census() census {
	c := census{
		self:     &claim{meta: m.self, addr: m.transport.addr, started: m.started},
		contacts: m.contacts, rise: m.conf.Tuning.Rise,
	}
	for _, other := range m.claims {
		c.others = append(c.others, other)
	}
	return c
}

// forget drops what is past. It is called with mu held.
func (m *Members) forget(now time.Time) {
	ids := map[affinity.NodeID]bool{}
	for name, c := range m.claims {
		if !c.alive() && !now.Before(c.until) {
			delete(m.claims, name)
			continue
		}
		ids[c.ID] = true
	}
	for id, c := range m.contacts {
		if risen := !c.again.IsZero() && now.Sub(c.again) >= m.conf.Tuning.Rise; risen || !ids[id] {
			delete(m.contacts, id)
		}
	}
	for addr, until := range m.former {
		if !now.Before(until) {
			delete(m.former, addr)
		}
	}
	for f, met := range m.faults {
		if now.Sub(met) >= faultAge {
			delete(m.faults, f)
		}
	}
}

// Reach takes the data path's word on whether it reaches a node. One that it
// does not reach is gone in the view although it gossips, until it has been
// reached again for Tuning.Rise: what comes and goes must not move keys each
// time. It may be called at any time and by all at once, and does not block.
func (m *Members) Reach(id affinity.NodeID, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.contacts[id]
	after := before
	switch {
	case !ok:
		after = contact{lost: true}
	case before.lost && before.again.IsZero():
		after.again = time.Now()
	}
	if after != before {
		m.contacts[id] = after
		poke(m.changedC)
	}
}

// SetState changes this node's states, here and, at once, everywhere. It
// does not block.
func (m *Members) SetState(l4, l7 affinity.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.self.L4 == l4 && m.self.L7 == l7 {
		return
	}
	m.self.L4, m.self.L7 = l4, l7
	poke(m.announceC)
	poke(m.changedC)
}

// refresh looks at what others are told besides states.
func (m *Members) refresh() {
	if m.look() {
		poke(m.announceC)
	}
	m.mu.Lock()
	rivals := m.verdict.rivals
	m.mu.Unlock()
	if rivals {
		poke(m.announceC)
	}
	poke(m.changedC) // differences are a matter of time
}

// look takes over sites and purges, and tells whether they are others.
func (m *Members) look() bool {
	var sites, purges uint64
	if m.conf.Sites != nil {
		sites = m.conf.Sites()
	}
	if m.conf.Purges != nil {
		purges = m.conf.Purges()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := m.self.sites != sites || m.self.purges != purges
	m.self.sites, m.self.purges = sites, purges
	return changed
}

// announce tells others what this node says of itself whenever it changed.
func (m *Members) announce(ctx context.Context, list *memberlist.Memberlist) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.announceC:
			// It is queued at once; how long it takes to be sent is nobody's concern.
			_ = list.UpdateNode(m.conf.Tuning.GossipInterval)
		}
	}
}

// poke fills a channel that holds one.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
