package edge

import (
	"fmt"
	"slices"
	"testing"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/site"
)

// twoPops is a fleet of the PoPs a, with the nodes 1 and 2, and b, with 11
// and 12. Neither knows the other's table.
func twoPops(t *testing.T) *mesh {
	t.Helper()
	m := newMesh(t, 0, nil)
	pops := map[affinity.NodeID]string{1: "a", 2: "a", 11: "b", 12: "b"}
	for id := range pops {
		m.add(id, func(st *site.Site) { cookieSite(st); st.Affinity.Fleet = true })
	}
	for id, n := range m.nodes {
		n.conf.Pop.Name = pops[id]
		var v affinity.View
		for other, name := range pops {
			if name != pops[id] {
				n.conf.Pop.Siblings = append(n.conf.Pop.Siblings, Sibling{ID: other, Pop: name})
				continue
			}
			v.Members = append(v.Members, affinity.Member{Node: affinity.Node{ID: other, Name: fmt.Sprint("node-", other)}, L4: affinity.Active, L7: affinity.Active})
		}
		n.see(t, v)
	}
	return m
}

// TestSessionOfTheFleet: a session has one owner in the fleet, whichever PoP
// its client reaches.
func TestSessionOfTheFleet(t *testing.T) {
	m := twoPops(t)
	served := map[affinity.NodeID]int{}
	for s := range 100 {
		for _, n := range m.nodes {
			if c := n.ask(inSession(fmt.Sprint("s", s))); c.status != 200 {
				t.Fatalf("session %d at node %d: %d", s, n.id, c.status)
			}
		}
		who := slices.Compact(m.fetches(fmt.Sprint("/s", s)))
		if len(who) != 1 {
			t.Errorf("session %d was served by %v", s, who)
		}
		served[who[0]]++
	}
	for id := range m.nodes {
		if served[id] < 10 {
			t.Errorf("node %d served %d of 100 sessions", id, served[id])
		}
	}
}

// TestPopIsGone: the sessions of a PoP that cannot be reached are served
// where their clients are.
func TestPopIsGone(t *testing.T) {
	m := twoPops(t)
	m.dead[11], m.dead[12] = true, true
	for s := range 50 {
		for _, id := range []affinity.NodeID{1, 2} {
			if c := m.nodes[id].ask(inSession(fmt.Sprint("s", s))); c.status != 200 {
				t.Fatalf("session %d at node %d: %d", s, id, c.status)
			}
		}
		if who := slices.Compact(m.fetches(fmt.Sprint("/s", s))); len(who) != 1 {
			t.Errorf("session %d was served by %v", s, who)
		}
	}
}
