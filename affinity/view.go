package affinity

import (
	"errors"
	"fmt"
	"slices"
)

// MaxNodes is how many nodes a fleet can have: as many as there are ids.
const MaxNodes = 255

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
	L7 State // requests: keys and sessions. Packets will have a state of their own.
}

// View is the nodes and their states at one generation. Who makes a new
// one raises Generation; the same generation is the same view everywhere.
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
		if m.L7 == 0 || m.L7 >= endStates {
			bad(i, "l7: %s is no state of a node", m.L7)
		}
	}
	return errors.Join(errs...)
}

// owners returns the ids of the members that own something, ascending:
// the canonical form of what a table depends on.
func (v View) owners() []NodeID {
	var ids []NodeID
	for _, m := range v.Members {
		if m.L7 == Active {
			ids = append(ids, m.ID)
		}
	}
	slices.Sort(ids)
	return ids
}
