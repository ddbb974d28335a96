package speaker

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/landfall-cdn/landfall/bgp"
)

// What differs from router to router is added when a path is exported, by
// statements that are there from the start and never change: a change of
// policy would have to be followed by a refresh of every session. What a
// statement depends on, the rung and how often to prepend, is written on
// the path as large communities of an AS that cannot be (RFC 7300), and
// the last statement wipes them off.
const (
	markAS      = bgp.ReservedAS
	markRung    = 0 // markAS:markRung:rung is on every path
	markPrepend = 1 // markAS:markPrepend:n
)

const (
	importPolicy = "accept-nothing"
	exportPolicy = "export"
	externalSet  = "external"
)

// marks returns what is written on a path.
func marks(rung bgp.Rung, prepend int) []bgp.LargeCommunity {
	out := []bgp.LargeCommunity{mark(markRung, int(rung))}
	if prepend > 0 {
		out = append(out, mark(markPrepend, prepend))
	}
	return out
}

func mark(kind, value int) bgp.LargeCommunity {
	return bgp.LargeCommunity{Global: markAS, Local1: uint32(kind), Local2: uint32(value)}
}

// policy is a set of statements in the making.
type policy struct {
	sets       []*api.DefinedSet
	statements []*api.Statement
}

// installPolicies sets the policies of both directions. Both are global, because
// GoBGP heeds a peer's own for clients of a route server only. What is not
// local is neither imported nor exported.
func (g *gobgp) installPolicies(ctx context.Context, cfg bgp.Config) error {
	in := &policy{}
	in.acceptLocal(importPolicy, nil)
	out := exports(cfg)
	for _, set := range out.sets {
		if err := g.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: set}); err != nil {
			return fmt.Errorf("policy set %s: %w", set.Name, err)
		}
	}
	for _, p := range []struct {
		name       string
		direction  api.PolicyDirection
		statements []*api.Statement
	}{
		{importPolicy, api.PolicyDirection_IMPORT, in.statements},
		{exportPolicy, api.PolicyDirection_EXPORT, out.statements},
	} {
		err := g.server.AddPolicy(ctx, &api.AddPolicyRequest{Policy: &api.Policy{Name: p.name, Statements: p.statements}})
		if err != nil {
			return fmt.Errorf("policy %s: %w", p.name, err)
		}
		err = g.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
			Name: "global", Direction: p.direction,
			Policies: []*api.Policy{{Name: p.name}}, DefaultAction: api.RouteAction_REJECT,
		}})
		if err != nil {
			return fmt.Errorf("policy %s, %s: %w", p.name, p.direction, err)
		}
	}
	return nil
}

// exports does to a path what bgp.Config.ToPeer says.
func exports(cfg bgp.Config) *policy {
	p := &policy{}
	p.prepends(cfg)
	for rung := bgp.Normal; rung < bgp.Withdrawn; rung++ {
		p.large(markSet(mark(markRung, int(rung))), mark(markRung, int(rung)).String())
	}
	for _, peer := range cfg.Peers {
		name := peer.Address.String()
		p.neighbors(name, peer.Address)
		for rung := bgp.Normal; rung < bgp.Withdrawn; rung++ {
			if actions := additions(cfg, peer, rung); actions != nil {
				p.add(fmt.Sprintf("%s-%v", name, rung), name, mark(markRung, int(rung)), actions)
			}
		}
	}
	p.acceptLocal(exportPolicy, &api.CommunityAction{
		Type: api.CommunityAction_REMOVE, Communities: []string{fmt.Sprintf("^%d:.*$", uint32(markAS))},
	})
	return p
}

// prepends makes a path longer for external routers only. One of the
// node's own AS would take it for a loop, and GoBGP does not even send it.
func (p *policy) prepends(cfg bgp.Config) {
	var external []netip.Addr
	for _, peer := range cfg.Peers {
		if !cfg.Internal(peer) {
			external = append(external, peer.Address)
		}
	}
	if len(external) == 0 {
		return // an empty set would match everybody
	}
	p.neighbors(externalSet, external...)
	for n := 1; n <= bgp.MaxPrepend; n++ {
		m := mark(markPrepend, n)
		p.large(markSet(m), m.String())
		p.add("prepend-"+strconv.Itoa(n), externalSet, m, &api.Actions{AsPrepend: &api.AsPrependAction{Asn: cfg.ASN, Repeat: uint32(n)}})
	}
}

// additions returns the actions for one router on one rung, nil if there
// are none.
func additions(cfg bgp.Config, peer bgp.PeerConfig, rung bgp.Rung) *api.Actions {
	own := cfg.AtPeer(peer, rung)
	if own.Equal(bgp.Attrs{}) {
		return nil
	}
	out := &api.Actions{}
	if len(own.Communities) > 0 {
		out.Community = &api.CommunityAction{Type: api.CommunityAction_ADD, Communities: texts(own.Communities)}
	}
	if len(own.Large) > 0 {
		out.LargeCommunity = &api.CommunityAction{Type: api.CommunityAction_ADD, Communities: texts(own.Large)}
	}
	switch {
	case own.MED != nil:
		out.Med = &api.MedAction{Type: api.MedAction_REPLACE, Value: int64(*own.MED)}
	case own.MEDAdd > 0:
		out.Med = &api.MedAction{Type: api.MedAction_MOD, Value: int64(own.MEDAdd)}
	}
	if own.LocalPref > 0 && cfg.Internal(peer) {
		out.LocalPref = &api.LocalPrefAction{Value: own.LocalPref}
	}
	if own.Prepend > 0 && !cfg.Internal(peer) {
		out.AsPrepend = &api.AsPrependAction{Asn: cfg.ASN, Repeat: uint32(own.Prepend)}
	}
	return out
}

// add appends a statement that acts on what goes to some routers with a
// mark, and leaves the verdict to the last one.
func (p *policy) add(name, neighbors string, m bgp.LargeCommunity, actions *api.Actions) {
	p.statements = append(p.statements, &api.Statement{
		Name: name,
		Conditions: &api.Conditions{
			NeighborSet:       &api.MatchSet{Type: api.MatchSet_ANY, Name: neighbors},
			LargeCommunitySet: &api.MatchSet{Type: api.MatchSet_ANY, Name: markSet(m)},
		},
		Actions: actions,
	})
}

func (p *policy) acceptLocal(name string, large *api.CommunityAction) {
	p.statements = append(p.statements, &api.Statement{
		Name:       name + "-local",
		Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ACCEPT, LargeCommunity: large},
	})
}

func (p *policy) neighbors(name string, addrs ...netip.Addr) {
	set := &api.DefinedSet{DefinedType: api.DefinedType_NEIGHBOR, Name: name}
	for _, a := range addrs {
		set.List = append(set.List, netip.PrefixFrom(a, a.BitLen()).String())
	}
	p.sets = append(p.sets, set)
}

func (p *policy) large(name, community string) {
	p.sets = append(p.sets, &api.DefinedSet{DefinedType: api.DefinedType_LARGE_COMMUNITY, Name: name, List: []string{community}})
}

func markSet(m bgp.LargeCommunity) string { return "mark-" + m.String() }

func texts[T fmt.Stringer](all []T) []string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = v.String()
	}
	return out
}
