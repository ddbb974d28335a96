package node

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
)

// tabled is a table, the view that it is of, and since when its owners are
// who they are.
type tabled struct {
	table *affinity.Table
	view  affinity.View
	since time.Time
}

// register adds what a table has to say of itself. Nodes whose hashes
// differ for long see different nodes.
func (p *popPart) register(reg prometheus.Registerer) {
	f := promauto.With(reg)
	gauge := func(name, help string, value func(t *tabled) float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(p.current.Load()) })
	}
	gauge("landfall_table_hash", "The owners of all partitions, hashed to 48 bits: nodes that agree have the same.",
		func(t *tabled) float64 { return float64(t.table.Hash() & (1<<48 - 1)) })
	gauge("landfall_table_generation", "Views that this node has seen.",
		func(t *tabled) float64 { return float64(t.table.Generation()) })
	gauge("landfall_table_partitions", "Partitions that this node owns, of 16381.",
		func(t *tabled) float64 { return float64(t.table.Count(p.self.ID)) })
	gauge("landfall_table_nodes", "Nodes that own partitions.",
		func(t *tabled) float64 { return float64(len(t.table.Owners())) })
	p.builds = f.NewHistogram(prometheus.HistogramOpts{
		Name: "landfall_table_build_seconds", Help: "Time to make a table of a view.",
		Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5},
	})
	p.failed = f.NewCounter(prometheus.CounterOpts{
		Name: "landfall_table_failures_total", Help: "Views that no table could be made of; the one before stays.",
	})
	p.untold = f.NewCounter(prometheus.CounterOpts{
		Name: "landfall_invalidations_untold_total", Help: "Keys that unsafe requests made void, of which not every node could be told.",
	})
}

// publish puts the table of a view in force.
func (p *popPart) publish(view affinity.View) error {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	began, before := time.Now(), p.current.Load()
	next := &tabled{view: view, since: began}
	var old *affinity.Table
	if before != nil {
		old = before.table
	}
	var err error
	if next.table, err = affinity.Build(p.self.ID, view, old); err != nil {
		p.failed.Inc()
		return err
	}
	p.builds.Observe(time.Since(began).Seconds())
	if old != nil && old.Hash() == next.table.Hash() {
		next.since = before.since
	}
	p.current.Store(next)
	return nil
}

// takePart makes this node one that owns something. Before that it asks one
// that does who owned what before: sessions are looked for there.
func (p *popPart) takePart(ctx context.Context) {
	if p.members == nil {
		return
	}
	limit := time.NewTimer(joinTime)
	defer limit.Stop()
	again := time.NewTicker(joinPoll)
	defer again.Stop()
	for !p.recall(ctx) {
		select {
		case <-again.C:
			continue // connections to the others are being made
		case <-limit.C:
			p.node.log.Warn("no node said who owned what before; sessions that it keeps may move here")
		case <-ctx.Done():
		}
		break
	}
	p.state(affinity.Active)
}

// joinTime is how long a node that joins waits for one that has been there
// before, and joinPoll how often it looks.
const (
	joinTime = 2 * time.Second
	joinPoll = 20 * time.Millisecond
)

// recall reports whether a node has said who owned what, or there is none
// that could.
func (p *popPart) recall(ctx context.Context) bool {
	others := false
	for _, m := range p.current.Load().view.Members {
		if m.ID == p.self.ID || m.L7 != affinity.Active && m.L7 != affinity.Draining {
			continue
		}
		others = true
		if p.peers.Reachable(m.ID) && p.remember(ctx, m.ID) == nil {
			return true
		}
	}
	return !others
}

// remember makes another node's history this one's.
func (p *popPart) remember(ctx context.Context, of affinity.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	history, err := p.peers.Call(ctx, of, callHistory, nil)
	if err != nil {
		return err
	}
	told, err := affinity.Remember(history)
	if err != nil {
		return err
	}
	p.publishing.Lock()
	defer p.publishing.Unlock()
	now := *p.current.Load()
	if now.table, err = affinity.Build(p.self.ID, now.view, told); err != nil {
		return err
	}
	p.current.Store(&now)
	return nil
}

// viewed is told each view by membership.
func (p *popPart) viewed(view affinity.View) {
	if err := p.publish(view); err != nil {
		p.node.log.Error("no table could be made of a view; the one before stays in force", zap.Error(err))
		return
	}
	addrs := make(map[affinity.NodeID]netip.AddrPort, len(view.Members)+len(p.siblings))
	for id, addr := range p.siblings {
		addrs[id] = addr
	}
	for _, m := range view.Members {
		// One that cannot be reached is tried on: it may come back.
		if m.ID != p.self.ID && m.Peer.IsValid() {
			addrs[m.ID] = m.Peer
		}
	}
	p.peers.Follow(addrs)
	select {
	case p.changed <- struct{}{}:
	default: // it will be seen with the change before
	}
	t := p.current.Load().table
	p.node.log.Info("view", zap.Uint64("generation", view.Generation), zap.Int("members", len(view.Members)),
		zap.Int("owners", len(t.Owners())), zap.String("table", fmt.Sprintf("%016x", t.Hash())))
}

// table returns the table in force, and since when.
func (p *popPart) table() (*affinity.Table, time.Time) {
	t := p.current.Load()
	return t.table, t.since
}
