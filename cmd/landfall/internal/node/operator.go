package node

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// operator answers what the operator asks of the PoP. It implements
// pop.Pop.
type operator struct{ *popPart }

// describe is what the node says of itself.
func (p *popPart) describe() pop.Node {
	load := p.load()
	n := pop.Node{
		Admin: pop.AdminActive, Health: "ok", Announce: p.rung(),
		Version: p.node.opts.Version, Load: &load, Sites: fmt.Sprintf("%016x", p.node.sites.hash()),
	}
	if _, _, on := p.drain.drains(); on {
		n.Admin = pop.AdminDraining
	}
	v := p.node.checks.Verdict()
	if len(v.Problems) > 0 {
		n.Health = "degraded"
	}
	for _, c := range v.Checks {
		if !c.OK && c.Name != drainCheck { // that it drains is what Admin says
			n.Health = "failed"
		}
	}
	return n
}

// Nodes implements pop.Pop: the view, and what each node says of itself.
func (o operator) Nodes(ctx context.Context) []pop.Node {
	t := o.current.Load()
	out := make([]pop.Node, len(t.view.Members))
	var all sync.WaitGroup
	for i, m := range t.view.Members {
		all.Go(func() { out[i] = o.one(ctx, t, m) })
	}
	all.Wait()
	return out
}

// one returns one node.
func (o operator) one(ctx context.Context, t *tabled, m affinity.Member) pop.Node {
	n := pop.Node{Admin: pop.Unknown, Health: pop.Unknown, Announce: pop.Unknown, Relay: pop.RelayUnreachable}
	switch {
	case m.ID == o.self.ID:
		n = o.describe()
		n.Self, n.Relay = true, pop.RelaySelf
	case o.peers.Reachable(m.ID):
		var said pop.Node
		if o.call(ctx, m.ID, callDescribe, nil, &said) == nil {
			n = said
		}
		n.Relay = pop.RelayReachable
	}
	n.ID, n.Name, n.Pop, n.Weight = uint8(m.ID), m.Name, o.node.conf.Node.Pop, max(1, m.Weight)
	n.L4, n.L7, n.Peer = m.L4.String(), m.L7.String(), m.Peer.String()
	n.Share = share(t.table.Count(m.ID))
	return n
}

func share(partitions int) float64 {
	return 100 * float64(partitions) / affinity.Partitions
}

// find returns the node of a name.
func (o operator) find(name string) (affinity.Member, error) {
	for _, m := range o.current.Load().view.Members {
		if m.Name == name {
			return m, nil
		}
	}
	return affinity.Member{}, fmt.Errorf("%w: %s is not in the view; landfall node list shows who is", pop.ErrNoNode, name)
}

// Drain implements pop.Pop.
func (o operator) Drain(ctx context.Context, name string, d pop.Departure) error {
	order, err := drainOrderOf(d)
	if err != nil {
		return err
	}
	m, err := o.find(name)
	if err != nil {
		return err
	}
	return o.drainNode(ctx, m.ID, order)
}

func (o operator) drainNode(ctx context.Context, id affinity.NodeID, order drainOrder) error {
	if id == o.self.ID {
		return o.drain.begin(order)
	}
	return o.order(ctx, id, callDrain, order)
}

// Undrain implements pop.Pop.
func (o operator) Undrain(ctx context.Context, name string) error {
	m, err := o.find(name)
	if err != nil {
		return err
	}
	return o.undrainNode(ctx, m.ID)
}

func (o operator) undrainNode(ctx context.Context, id affinity.NodeID) error {
	if id == o.self.ID {
		return o.drain.end()
	}
	return o.order(ctx, id, callUndrain, nil)
}

// Progress implements pop.Pop.
func (o operator) Progress(ctx context.Context, name string) (out pop.Progress, err error) {
	m, err := o.find(name)
	switch {
	case err != nil:
		return out, err
	case m.ID == o.self.ID:
		return o.progress(), nil
	}
	err = o.call(ctx, m.ID, callProgress, nil, &out)
	return out, err
}

// Ring implements pop.Pop.
func (o operator) Ring() pop.Ring {
	t := o.current.Load()
	r := pop.Ring{
		Generation: t.table.Generation(), Hash: fmt.Sprintf("%016x", t.table.Hash()), Partitions: affinity.Partitions,
	}
	for _, m := range t.view.Members {
		n := t.table.Count(m.ID)
		r.Members = append(r.Members, pop.Member{
			ID: uint8(m.ID), Name: m.Name, L7: m.L7.String(), Weight: max(1, m.Weight), Partitions: n, Share: share(n),
		})
	}
	return r
}

// Locate implements pop.Pop.
func (o operator) Locate(keyOrURL string) (out pop.Located, err error) {
	out.Key = keyOrURL
	if strings.HasPrefix(keyOrURL, "https://") || strings.HasPrefix(keyOrURL, "http://") {
		u, err := url.Parse(keyOrURL)
		if err != nil {
			return out, fmt.Errorf("%w: %w", pop.ErrBadKey, err)
		}
		if out.Site, out.Key, err = o.node.edge.Key(u); err != nil {
			return out, fmt.Errorf("%w: %w", pop.ErrBadKey, err)
		}
	}
	t := o.current.Load()
	place := t.table.Place(out.Key)
	out.Partition, out.Generation = affinity.Partition(out.Key), t.table.Generation()
	ref := func(id affinity.NodeID) pop.Ref {
		for _, m := range t.view.Members {
			if m.ID == id {
				return pop.Ref{ID: uint8(id), Name: m.Name, Self: id == o.self.ID}
			}
		}
		return pop.Ref{ID: uint8(id)}
	}
	if place.Owner != 0 {
		owner := ref(place.Owner)
		out.Owner = &owner
	}
	for _, id := range place.Previous {
		if id != 0 {
			out.Previous = append(out.Previous, ref(id))
		}
	}
	return out, nil
}
