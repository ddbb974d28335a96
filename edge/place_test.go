package edge

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
)

func path(p string) func(*exchange.Request) {
	return func(r *exchange.Request) { r.Path, r.Query, _ = strings.Cut(p, "?"); r.Query = query(r.Query) }
}

func query(q string) string {
	if q == "" {
		return ""
	}
	return "?" + q
}

// TestOneFetchForThePoP: a key is fetched once, however many nodes are
// asked for it at once; then its owner has it for all.
func TestOneFetchForThePoP(t *testing.T) {
	m := newMesh(t, 5, nil)
	var all sync.WaitGroup
	for i := range 20 {
		for _, n := range m.nodes {
			all.Go(func() {
				if c := n.ask(path(fmt.Sprint("/", i))); c.status != 200 || c.body.String() != "from the origin" {
					t.Errorf("node %d: %d %q", n.id, c.status, c.body.String())
				}
			})
		}
	}
	all.Wait()
	fetchers := map[affinity.NodeID]bool{}
	for i := range 20 {
		who := m.fetches(fmt.Sprint("/", i))
		if len(who) != 1 {
			t.Errorf("key %d was fetched by %v", i, who)
			continue
		}
		fetchers[who[0]] = true
	}
	if len(fetchers) < 3 {
		t.Errorf("20 keys were fetched by %d of 5 nodes", len(fetchers))
	}
}

// TestLocalSiteIsNotPlaced: every node fetches for itself.
func TestLocalSiteIsNotPlaced(t *testing.T) {
	m := newMesh(t, 3, func(st *site.Site) { st.Local = true })
	for _, n := range m.nodes {
		n.ask(path("/a"))
	}
	if who := m.fetches("/a"); len(who) != 3 || m.hops != 0 {
		t.Errorf("fetched by %v with %d hops", who, m.hops)
	}
}

// TestRelayedAnswerIsTheClients: what the client gets shows one proxy, both
// caches, and the id of its own node's record; the owner writes none.
func TestRelayedAnswerIsTheClients(t *testing.T) {
	m := newMesh(t, 2, nil)
	owner, other := m.ownerOf("/a")
	owner.ask(path("/a"))
	written := owner.access.Len()
	c := other.ask(path("/a"))
	if via := c.header.Values("via"); !slices.Equal(via, []string{"1.1 landfall"}) {
		t.Errorf("via %q", via)
	}
	if status := c.header.Joined("cache-status"); !strings.HasPrefix(status, "landfall; hit; ttl=") || !strings.Contains(status, ", landfall; fwd=uri-miss") {
		t.Errorf("cache-status %q", status)
	}
	if ids := c.header.Values("x-request-id"); len(ids) != 1 || len(c.header.Values("alt-svc")) != 1 {
		t.Errorf("fields %v", c.header)
	}
	if owner.access.Len() != written {
		t.Error("the owner recorded a request that another node's client made")
	}
	rec := other.record(t)
	if rec["peer"] != int64(owner.id) || rec["asked"] != "fill" || rec["outcome"] != "miss" || rec["id"] != c.header.Get("x-request-id") {
		t.Errorf("record %v", rec)
	}
}

// ownerOf returns the node that owns a path of the shop, and another.
func (m *mesh) ownerOf(path string) (owner, other *meshNode) {
	table, _ := m.nodes[1].current()
	id := table.Place("shop https://shop.example" + path).Owner
	for _, n := range m.nodes {
		if n.id != id {
			other = n
		}
	}
	return m.nodes[id], other
}

// TestDeadOwnerIsPassedBy: its keys are filled where they are asked for.
func TestDeadOwnerIsPassedBy(t *testing.T) {
	m := newMesh(t, 2, nil)
	owner, other := m.ownerOf("/a")
	m.dead[owner.id] = true
	if c := other.ask(path("/a")); c.status != 200 {
		t.Errorf("status %d", c.status)
	}
	if who := m.fetches("/a"); !slices.Equal(who, []affinity.NodeID{other.id}) {
		t.Errorf("fetched by %v", who)
	}
}

// TestNewOwnerAsksTheOldOne: a key that moves to a node which has just
// joined does not make an origin see it again.
func TestNewOwnerAsksTheOldOne(t *testing.T) {
	m := newMesh(t, 3, nil)
	m.view(map[affinity.NodeID]affinity.State{3: affinity.Joining})
	for i := range 60 {
		m.nodes[1].ask(path(fmt.Sprint("/", i)))
	}
	m.view(nil)
	for i := range 60 {
		for _, n := range m.nodes {
			n.ask(path(fmt.Sprint("/", i)))
		}
		if who := m.fetches(fmt.Sprint("/", i)); len(who) != 1 {
			t.Errorf("key %d was fetched by %v", i, who)
		}
	}
	// The new owner has them for good: the old ones may go now.
	m.dead[1], m.dead[2] = true, true
	moved := 0
	for i := range 60 {
		if owner, _ := m.ownerOf(fmt.Sprint("/", i)); owner.id == 3 {
			moved++
			m.nodes[3].ask(path(fmt.Sprint("/", i)))
			if who := m.fetches(fmt.Sprint("/", i)); len(who) != 1 {
				t.Errorf("key %d of the new owner was fetched by %v", i, who)
			}
		}
	}
	if moved == 0 {
		t.Error("no key moved")
	}
}

func cookieSite(st *site.Site) {
	st.Affinity = sessions.Affinity{By: sessions.FromCookie, Name: "session"}
}

func inSession(id string) func(*exchange.Request) {
	return func(r *exchange.Request) {
		r.Method, r.Path = "POST", "/"+id
		r.Header.Add("cookie", "session="+id)
	}
}

// TestSessionStays: the origin sees one node for each session, through a
// join, a drain and the return of the one that drained.
func TestSessionStays(t *testing.T) {
	m := newMesh(t, 4, cookieSite)
	steps := []map[affinity.NodeID]affinity.State{
		{4: affinity.Joining},
		nil,
		{1: affinity.Draining},
		nil,
		{2: affinity.Draining},
	}
	for step, states := range steps {
		m.view(states)
		for s := range 100 {
			for _, n := range m.nodes {
				if c := n.ask(inSession(fmt.Sprint("s", s))); c.status != 200 {
					t.Fatalf("step %d, session %d at node %d: %d", step, s, n.id, c.status)
				}
			}
		}
	}
	for s := range 100 {
		if who := slices.Compact(m.fetches(fmt.Sprint("/s", s))); len(who) != 1 {
			t.Errorf("session %d was served by %v", s, who)
		}
	}
	fresh := m.nodes[3]
	for s := range 50 {
		fresh.ask(inSession(fmt.Sprint("new", s)))
		if who := m.fetches(fmt.Sprint("/new", s)); slices.Contains(who, 2) {
			t.Errorf("a new session went to the node that drains")
		}
	}
}

// TestTablesThatDiffer: two nodes do not agree who owns a session, and
// still it has one.
func TestTablesThatDiffer(t *testing.T) {
	m := newMesh(t, 4, cookieSite)
	m.view(map[affinity.NodeID]affinity.State{4: affinity.Joining})
	// Node 1 and 4 see that 4 is active; 2 and 3 do not yet.
	var v affinity.View
	for id := range m.nodes {
		v.Members = append(v.Members, affinity.Member{Node: affinity.Node{ID: id, Name: fmt.Sprint("node-", id)}, L4: affinity.Active, L7: affinity.Active})
	}
	m.nodes[1].see(t, v)
	m.nodes[4].see(t, v)
	for s := range 200 {
		for _, id := range []affinity.NodeID{2, 1, 3, 4} {
			m.nodes[id].ask(inSession(fmt.Sprint("s", s)))
		}
		if who := slices.Compact(m.fetches(fmt.Sprint("/s", s))); len(who) != 1 {
			t.Errorf("session %d was served by %v", s, who)
		}
	}
}

// TestStickySession: the client's cookie names the node that served it, and
// brings it back there.
func TestStickySession(t *testing.T) {
	m := newMesh(t, 3, func(st *site.Site) { st.Affinity = sessions.Affinity{By: sessions.Sticky, Name: "lf"} })
	first := m.nodes[2].ask(func(r *exchange.Request) { r.Method, r.Path = "POST", "/a" })
	cookie, attributes, _ := strings.Cut(first.header.Get("set-cookie"), ";")
	if !strings.HasPrefix(cookie, "lf=") || attributes != " Path=/; HttpOnly; SameSite=Lax; Secure" {
		t.Fatalf("set-cookie %q", first.header.Get("set-cookie"))
	}
	again := func(r *exchange.Request) { r.Method, r.Path = "POST", "/a"; r.Header.Add("cookie", cookie) }
	for _, n := range m.nodes {
		if c := n.ask(again); c.header.Has("set-cookie") {
			t.Errorf("node %d set the cookie again", n.id)
		}
	}
	if who := slices.Compact(m.fetches("/a")); !slices.Equal(who, []affinity.NodeID{2}) {
		t.Errorf("served by %v", who)
	}
	m.dead[2] = true
	m.view(map[affinity.NodeID]affinity.State{2: affinity.Gone})
	moved := m.nodes[1].ask(again)
	if !moved.header.Has("set-cookie") || moved.header.Get("set-cookie") == first.header.Get("set-cookie") {
		t.Error("the session moved, and the cookie did not")
	}
	if got := first.header.Get("cache-control"); got != "no-store" {
		t.Errorf("cache-control %q", got)
	}
}

// TestStickySessionOfAPage: what is not for all binds a session too,
// whichever node the client reached first; what is for all does not.
func TestStickySessionOfAPage(t *testing.T) {
	m := newMesh(t, 3, func(st *site.Site) { st.Affinity = sessions.Affinity{By: sessions.Sticky, Name: "lf"} })
	for _, n := range m.nodes {
		if c := n.ask(path(fmt.Sprintf("/for-all-%d", n.id))); c.header.Has("set-cookie") {
			t.Errorf("node %d binds a session by what is for all", n.id)
		}
		page := fmt.Sprintf("/page-%d", n.id)
		c := n.ask(path(page + "?private"))
		cookie, _, _ := strings.Cut(c.header.Get("set-cookie"), ";")
		if len(c.header.Values("set-cookie")) != 1 {
			t.Fatalf("set-cookie %q", c.header.Values("set-cookie"))
		}
		for _, other := range m.nodes {
			if c := other.ask(func(r *exchange.Request) { path(page + "?private")(r); r.Header.Add("cookie", cookie) }); c.header.Has("set-cookie") {
				t.Errorf("node %d set the cookie again", other.id)
			}
		}
		if who := slices.Compact(m.fetches(page)); len(who) != 1 || len(m.fetches(page)) != 4 {
			t.Errorf("%s was served by %v", page, m.fetches(page))
		}
	}
}

// TestSharedAnswersOfSessions: what turns out to be for all is owned by its
// key, sessions or not.
func TestSharedAnswersOfSessions(t *testing.T) {
	m := newMesh(t, 4, cookieSite)
	for s := range 40 {
		for _, n := range m.nodes {
			n.ask(func(r *exchange.Request) { r.Path = "/shared"; r.Header.Add("cookie", fmt.Sprint("session=", s)) })
		}
	}
	if who := m.fetches("/shared"); len(who) > len(m.nodes)+1 {
		t.Errorf("fetched %d times, by %v", len(who), who)
	}
}
