package pop

import (
	"cmp"
	"fmt"
	"slices"
)

// Plan is what a drain would change.
type Plan struct {
	Node  Node `json:"node"`
	Nodes int  `json:"active_now"` // active nodes, before
	After int  `json:"active_after"`
	// Shifts are what the other active nodes take over, by name.
	Shifts []Shift `json:"shifts"`
	// Routes are what it means for the announcement, nil without one.
	Routes *RoutePlan `json:"routes,omitempty"`
	// Refused says why the drain is refused, "" when it is not.
	Refused string `json:"refused,omitempty"`
	// Warnings are what the operator should know before.
	Warnings []string `json:"warnings,omitempty"`
}

// Shift is what one node takes over.
type Shift struct {
	Name  string  `json:"name"`
	Share float64 `json:"share_percent"` // of the table, now
	More  float64 `json:"more_percent"`  // of the table, on top
}

// MakePlan says what draining a node would change. The only error is
// ErrNoNode.
func MakePlan(nodes []Node, name string) (Plan, error) {
	n, ok := find(nodes, name)
	if !ok {
		return Plan{}, fmt.Errorf("%w: %q; the nodes are %s", ErrNoNode, name, names(nodes))
	}
	p := Plan{Node: n}
	total := 0
	var others []Node
	for _, o := range nodes {
		if !takes(o) {
			continue
		}
		p.Nodes++
		if o.Name == name {
			continue
		}
		p.After++
		total += max(o.Weight, 1)
		others = append(others, o)
	}
	slices.SortFunc(others, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	for _, o := range others {
		p.Shifts = append(p.Shifts, Shift{Name: o.Name, Share: o.Share, More: n.Share * float64(max(o.Weight, 1)) / float64(total)})
	}
	if p.After == 0 {
		p.Refused = fmt.Sprintf("last-node: no other node is active and reachable, so that %s has nobody to leave to; SIGTERM stops it", name)
	}
	for _, o := range others {
		if o.Health != "ok" && o.Health != Unknown {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is to take over, and its health is %s", o.Name, o.Health))
		}
		if n.Sites != "" && o.Sites != "" && n.Sites != o.Sites {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is to take over, and has other sites than %s", o.Name, name))
		}
	}
	return p, nil
}

// takes reports whether a node takes what another leaves.
func takes(n Node) bool {
	return n.Admin != AdminDraining && n.L7 == "active" && n.Relay != RelayUnreachable
}

func find(nodes []Node, name string) (Node, bool) {
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return nodes[i], true
}

// names lists the nodes for a message.
func names(nodes []Node) string {
	const most = 16
	out := ""
	for i, n := range nodes {
		if i == most {
			return fmt.Sprintf("%s and %d more", out, len(nodes)-most)
		}
		if i > 0 {
			out += ", "
		}
		out += n.Name
	}
	return out
}
