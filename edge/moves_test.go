package edge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
)

func stickySite(st *site.Site) { st.Affinity = sessions.Affinity{By: sessions.Sticky, Name: "lf"} }

func ownerIn(t *testing.T, c *client) affinity.NodeID {
	t.Helper()
	v, _, _ := strings.Cut(strings.TrimPrefix(c.header.Get("set-cookie"), "lf="), ";")
	if v == "" {
		return 0
	}
	k, ok := sessions.Open([][32]byte{{1}, {2}, {3}}, "shop", v)
	if !ok {
		t.Fatalf("cookie %q", v)
	}
	return k.Owner
}

// TestStickyMovesByRange: HEAD or a range of an object for all does not
// rewrite the cookie of a session.
func TestStickyMovesByRange(t *testing.T) {
	for _, how := range []string{"HEAD", "range"} {
		m := newMesh(t, 3, stickySite)
		first := m.nodes[2].ask(func(r *exchange.Request) { r.Method, r.Path = "POST", "/login" })
		cookie, _, _ := strings.Cut(first.header.Get("set-cookie"), ";")
		moved := 0
		for i := range 30 {
			p := fmt.Sprint("/public/", i)
			m.nodes[1].ask(path(p)) // anyone fetches the object: it is known as shared at node 1
			owner, _ := m.ownerOf(p)
			owner.store.Invalidate([]string{"shop https://shop.example" + p}) // evicted at its owner
			c := m.nodes[1].ask(func(r *exchange.Request) {
				r.Path = p
				if how == "HEAD" {
					r.Method = "HEAD"
				} else {
					r.Header.Add("range", "bytes=3-5")
				}
				r.Header.Add("cookie", cookie)
			})
			if id := ownerIn(t, c); id != 0 && id != 2 {
				moved++
			}
		}
		if moved > 0 {
			t.Errorf("%s: the cookie of a session of node 2, which lives, was rewritten to other nodes %d of 30 times", how, moved)
		}
	}
}

// TestStickyDrain: a node that drains takes no new session, and has none once
// its deadline is over.
func TestStickyDrain(t *testing.T) {
	m := newMesh(t, 3, stickySite)
	first := m.nodes[2].ask(func(r *exchange.Request) { r.Method, r.Path = "POST", "/a" })
	cookie, _, _ := strings.Cut(first.header.Get("set-cookie"), ";")
	m.view(map[affinity.NodeID]affinity.State{2: affinity.Draining})
	c := m.nodes[2].ask(func(r *exchange.Request) { r.Method, r.Path = "POST", "/new" })
	if id := ownerIn(t, c); id == 2 {
		t.Error("a new session was bound to the node that drains")
	}
	m.view(map[affinity.NodeID]affinity.State{2: affinity.Gone})
	m.nodes[1].ask(func(r *exchange.Request) { r.Method, r.Path = "POST", "/after"; r.Header.Add("cookie", cookie) })
	if who := m.fetches("/after"); slices.Contains(who, 2) {
		t.Errorf("past the deadline of the drain the session is still served by %v", who)
	}
}

func (m *mesh) members(states map[affinity.NodeID]affinity.State) affinity.View {
	var v affinity.View
	for id := range m.nodes {
		state := affinity.Active
		if s, ok := states[id]; ok {
			state = s
		}
		v.Members = append(v.Members, affinity.Member{Node: affinity.Node{ID: id, Name: fmt.Sprint("node-", id)}, L4: state, L7: state})
	}
	return v
}

// TestRestartedNodeMovesSessions: a node that has just started finds the
// sessions that earlier owners hold.
func TestRestartedNodeMovesSessions(t *testing.T) {
	m := newMesh(t, 4, cookieSite)
	m.view(map[affinity.NodeID]affinity.State{4: affinity.Joining})
	for s := range 100 {
		m.nodes[1].ask(inSession(fmt.Sprint("s", s)))
	}
	m.view(nil) // node 4 joins: some sessions are held by nodes that own them no more
	for s := range 100 {
		m.nodes[1].ask(inSession(fmt.Sprint("s", s)))
	}
	// node 3 restarts: drain, gone, joining, active; its own past is lost.
	held3 := map[int]bool{}
	for s := range 100 {
		held3[s] = m.nodes[3].conf.Pop.Sessions.Held(fmt.Sprint("shop s", s), time.Now())
	}
	delete(m.nodes, 3)
	m.view(nil)
	m.add(3, cookieSite)
	m.view(map[affinity.NodeID]affinity.State{3: affinity.Joining})
	told, err := affinity.Remember(m.nodes[1].table.History())
	if err != nil {
		t.Fatal(err)
	}
	m.nodes[3].table = told
	m.view(map[affinity.NodeID]affinity.State{3: affinity.Joining})
	m.view(nil)
	moved := 0
	for s := range 100 {
		if held3[s] {
			continue // its owner died: it may move
		}
		before := len(m.fetches(fmt.Sprint("/s", s)))
		for _, id := range []affinity.NodeID{1, 3, 1} {
			m.nodes[id].ask(inSession(fmt.Sprint("s", s)))
		}
		all := m.fetches(fmt.Sprint("/s", s))
		if len(slices.Compact(slices.Clone(all))) != 1 {
			moved++
			if moved == 1 {
				t.Logf("session %d, restart before request %d: %v", s, before, all)
			}
		}
	}
	if moved > 0 {
		t.Errorf("%d of %d sessions whose node lived all the time were served by several nodes", moved, 100)
	}
}

// TestStaleHold: a session that a node gave up does not jump back to it.
func TestStaleHold(t *testing.T) {
	m := newMesh(t, 4, cookieSite)
	all := func() {
		for s := range 100 {
			m.nodes[2].ask(inSession(fmt.Sprint("s", s)))
		}
	}
	m.view(map[affinity.NodeID]affinity.State{4: affinity.Joining})
	all()
	m.view(map[affinity.NodeID]affinity.State{4: affinity.Joining, 1: affinity.Draining})
	all()
	m.view(map[affinity.NodeID]affinity.State{4: affinity.Joining, 1: affinity.Gone}) // deadline
	m.nodes[1].conf.Pop.Sessions.Clear()
	all()                                                           // 1's sessions are at 2 and 3 now
	m.view(map[affinity.NodeID]affinity.State{4: affinity.Joining}) // undrain
	all()
	count := map[int]int{}
	for s := range 100 {
		count[s] = len(m.fetches(fmt.Sprint("/s", s)))
	}
	m.view(nil) // 4 joins
	all()
	moved := 0
	for s := range 100 {
		f := m.fetches(fmt.Sprint("/s", s))
		if f[count[s]] != f[count[s]-1] {
			moved++
			if moved == 1 {
				t.Logf("session %d: %v", s, f)
			}
		}
	}
	if moved > 0 {
		t.Errorf("%d sessions moved at a join though the node that had them lives", moved)
	}
}

// TestFleet: a session of the fleet stays when the table of its home changes.
func TestFleet(t *testing.T) {
	m := newMesh(t, 4, func(st *site.Site) { cookieSite(st); st.Affinity.Fleet = true })
	// node 4 is PoP "there"; 1-3 are "here".
	for id, n := range m.nodes {
		if id == 4 {
			n.conf.Pop.Name = "there"
			n.conf.Pop.Siblings = []Sibling{{1, "here"}, {2, "here"}, {3, "here"}}
		} else {
			n.conf.Pop.Siblings = []Sibling{{4, "there"}}
		}
	}
	here := func(states map[affinity.NodeID]affinity.State) {
		var v affinity.View
		for _, mb := range m.members(states).Members {
			if mb.ID != 4 {
				v.Members = append(v.Members, mb)
			}
		}
		for id := range affinity.NodeID(3) {
			n := m.nodes[id+1]
			if n.since.IsZero() || n.table.Count(4) > 0 {
				n.mu.Lock()
				n.table = nil
				n.mu.Unlock()
			}
			n.see(t, v)
		}
	}
	m.nodes[4].table = nil
	m.nodes[4].see(t, affinity.View{Members: []affinity.Member{{Node: affinity.Node{ID: 4, Name: "node-4"}, L4: affinity.Active, L7: affinity.Active}}})
	here(map[affinity.NodeID]affinity.State{3: affinity.Joining})
	for s := range 100 {
		m.nodes[4].ask(inSession(fmt.Sprint("s", s)))
	}
	here(nil) // node 3 joins PoP here
	moved, home := 0, 0
	for s := range 100 {
		m.nodes[4].ask(inSession(fmt.Sprint("s", s)))
		m.nodes[1].ask(inSession(fmt.Sprint("s", s)))
		f := m.fetches(fmt.Sprint("/s", s))
		if f[0] != 4 {
			home++
		}
		if len(slices.Compact(f)) != 1 {
			moved++
			if moved == 1 {
				t.Logf("session %d: %v", s, f)
			}
		}
	}
	if moved > 0 {
		t.Errorf("%d of %d sessions of the other PoP moved at a join there, all nodes alive", moved, home)
	}
}

// TestStickyHiccup: a node that cannot be reached once keeps its sessions.
func TestStickyHiccup(t *testing.T) {
	m := newMesh(t, 3, stickySite)
	first := m.nodes[2].ask(func(r *exchange.Request) { r.Method, r.Path = "POST", "/a" })
	cookie, _, _ := strings.Cut(first.header.Get("set-cookie"), ";")
	again := func(r *exchange.Request) { r.Method, r.Path = "POST", "/a"; r.Header.Add("cookie", cookie) }
	m.dead[2] = true // one request long, in the view all the time
	c := m.nodes[1].ask(again)
	m.dead[2] = false
	if id := ownerIn(t, c); id != 0 && id != 2 {
		t.Errorf("one hiccup moved the session for good from node 2 to node %d", id)
	}
}

// TestHoldAfterFallThrough: a request that passed its node by leaves the
// session there.
func TestHoldAfterFallThrough(t *testing.T) {
	m := newMesh(t, 3, cookieSite)
	all := func() {
		for s := range 60 {
			m.nodes[3].ask(inSession(fmt.Sprint("s", s)))
		}
	}
	all()
	m.view(map[affinity.NodeID]affinity.State{1: affinity.Draining})
	m.dead[1] = true
	all() // one request each that node 1 was too busy for
	m.dead[1] = false
	all()
	m.view(nil)
	all()
	all()
	moved := 0
	for s := range 60 {
		f := m.fetches(fmt.Sprint("/s", s))
		if f[0] == 1 && f[len(f)-1] != 1 {
			moved++
			if moved == 1 {
				t.Logf("%v", f)
			}
		}
	}
	if moved > 0 {
		t.Errorf("%d sessions of node 1 ended elsewhere after its undrain", moved)
	}
}

// TestOneOfSeveralIsGone: a node that cannot be reached, and is still in the
// view, moves no session but its own: those of others that have it in their
// past are found.
func TestOneOfSeveralIsGone(t *testing.T) {
	m := newMesh(t, 4, cookieSite)
	all := func() {
		for s := range 100 {
			for _, n := range m.nodes {
				if !m.dead[n.id] {
					n.ask(inSession(fmt.Sprint("s", s)))
				}
			}
		}
	}
	m.view(map[affinity.NodeID]affinity.State{1: affinity.Joining, 4: affinity.Joining})
	all() // at 2 and 3
	m.view(map[affinity.NodeID]affinity.State{4: affinity.Joining})
	all() // some are 1's now, held by 2 and 3
	m.view(nil)
	all() // and some 4's, with 1 in their past
	m.dead[1] = true
	all()
	for s := range 100 {
		if who := m.fetches(fmt.Sprint("/s", s)); who[0] != 1 && len(slices.Compact(slices.Clone(who))) != 1 {
			t.Errorf("session %d of node %d moved: %v", s, who[0], who)
		}
	}
}
