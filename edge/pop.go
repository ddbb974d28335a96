package edge

import (
	"context"
	"slices"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/edge/exchange"
)

// Pop is the PoP that a node stands in, as the path of a request needs it.
// A node alone is a PoP of one: see Alone.
type Pop struct {
	Self affinity.NodeID
	// Table returns the table in force, never nil, and since when.
	Table func() (*affinity.Table, time.Time)
	// Relay brings requests to other nodes.
	Relay Relay
	// Sessions are those that this node holds.
	Sessions *sessions.Table
	// CookieKeys returns the keys of a site's session cookies: the first
	// seals, all open.
	CookieKeys func(site string, now time.Time) [][32]byte
	// Siblings are nodes of other PoPs, in any order.
	Siblings []Sibling
	// Alone says that there can be no other node: nothing has to be placed.
	Alone bool
	// Name is the PoP's own, for sites whose sessions have one owner in the
	// fleet.
	Name string
}

// Sibling is a node of another PoP.
type Sibling struct {
	ID  affinity.NodeID
	Pop string
}

// Relay brings a request to another node: r.Asked says what is wanted of
// it. Errors are those of relay.Peers.Ask.
type Relay interface {
	Ask(ctx context.Context, to affinity.NodeID, r *exchange.Request) (*exchange.Response, error)
}

// sibling reports whether a node is of another PoP.
func (p *Pop) sibling(id affinity.NodeID) bool {
	return slices.ContainsFunc(p.Siblings, func(s Sibling) bool { return s.ID == id })
}

// elsewhere returns the nodes of the sibling PoP that is a session's home,
// the first to be asked first; none when the home is this PoP. Every PoP
// that knows the same ones finds the same home (rendezvous hashing).
func (p *Pop) elsewhere(session string) []affinity.NodeID {
	home, most := p.Name, affinity.Rank(p.Name, session)
	for _, s := range p.Siblings {
		if rank := affinity.Rank(s.Pop, session); rank > most || rank == most && s.Pop > home {
			home, most = s.Pop, rank
		}
	}
	if home == p.Name {
		return nil
	}
	var nodes []affinity.NodeID
	for _, s := range p.Siblings {
		if s.Pop == home {
			nodes = append(nodes, s.ID)
		}
	}
	first := int(most % uint64(len(nodes)))
	return append(nodes[first:len(nodes):len(nodes)], nodes[:first]...)
}
