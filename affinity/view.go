package affinity

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// MaxNodes is how many nodes a fleet can have: as many as there are ids.
const MaxNodes = 255

// MaxWeight is the largest weight of a node.
const MaxWeight = 16

// NodeID is the number of a node, 1 to 255, unique in the fleet. It is one
// byte because packets carry it: connection ids and TCP timestamps have
// no room for more. Zero is no node.
type NodeID uint8

// State is how far a node takes part in requests. The zero State is none
// of them, so that a forgotten one is found.
type State uint8

// States, in the order of a node's life.
const (
	Joining  State = iota + 1 // known and reachable; owns nothing yet
	Active                    // owns its share
	Draining                  // owns nothing any more; still reachable, and what it holds can be asked for
	Gone                      // not reachable; listed so that nobody else takes its id
	endStates
)

// String returns the name as logs and status output spell it.
func (s State) String() string {
	if s == 0 || s >= endStates {
		return fmt.Sprintf("state-%d", uint8(s))
	}
	return [...]string{"joining", "active", "draining", "gone"}[s-1]
}

// reachable tells whether a node in this state can be asked for something.
func (s State) reachable() bool { return s == Joining || s == Active || s == Draining }

// Node is who a node is. Neither field changes while it lives.
type Node struct {
	ID   NodeID
	Name string // in logs, metrics and commands; unique in the fleet
}

// Member is a node in a view.
type Member struct {
	Node
	L4 State // packets: whether new connections are steered to it
	L7 State // requests: keys and sessions

	// Weight is the node's share of partitions, against other nodes': from 1
	// to MaxWeight, 0 means 1. Use small numbers: the time to make a table
	// grows with the square of their sum.
	Weight int

	// Peer is where other nodes bring requests to; the zero value when they
	// cannot.
	Peer netip.AddrPort
}

// View is the nodes and their states, as one node sees them at one time.
//
// Generation counts the views that this node has seen and nothing else:
// members are learnt by gossip, and two nodes come to the same members over
// different numbers of views. Whether nodes agree is told by the hashes of
// their tables.
//
// A view without an active member is valid: it gives a table without
// owners, and every node serves what reaches it.
type View struct {
	Generation uint64
	Members    []Member // in any order
}

// Validate returns all that is wrong with the view, joined, in the order
// of its members; nil when nothing is. It changes nothing.
func (v View) Validate() error {
	if n := len(v.Members); n > MaxNodes {
		return fmt.Errorf("view %d: %d members, at most %d", v.Generation, n, MaxNodes)
	}
	var errs []error
	bad := func(i int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("view %d: members[%d]: %s", v.Generation, i, fmt.Sprintf(format, args...)))
	}
	ids := make(map[NodeID]int, len(v.Members))
	names := make(map[string]int, len(v.Members))
	for i, m := range v.Members {
		if m.ID == 0 {
			bad(i, "id: 0 is no node; give each node a number from 1 to %d", MaxNodes)
		} else if first, dup := ids[m.ID]; dup {
			bad(i, "id: %d belongs to members[%d] already; give each node a number of its own", m.ID, first)
		} else {
			ids[m.ID] = i
		}
		if m.Name == "" {
			bad(i, "name: missing")
		} else if first, dup := names[m.Name]; dup {
			bad(i, "name: %q belongs to members[%d] already; give each node a name of its own", m.Name, first)
		} else {
			names[m.Name] = i
		}
		if m.L4 == 0 || m.L4 >= endStates {
			bad(i, "l4: %s is no state of a node", m.L4)
		}
		if m.L7 == 0 || m.L7 >= endStates {
			bad(i, "l7: %s is no state of a node", m.L7)
		}
		if m.Weight < 0 || m.Weight > MaxWeight {
			bad(i, "weight: %d is none; give each node one from 1 to %d", m.Weight, MaxWeight)
		}
	}
	return errors.Join(errs...)
}

// shares returns the members that own something and their weights, by
// ascending id: the canonical form of what a table depends on.
func (v View) shares() []share {
	var shares []share
	for _, m := range v.Members {
		if m.L7 == Active {
			shares = append(shares, share{id: m.ID, weight: max(m.Weight, 1)})
		}
	}
	slices.SortFunc(shares, func(a, b share) int { return cmp.Compare(a.id, b.id) })
	return shares
}
