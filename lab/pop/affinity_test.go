package pop

import (
	"fmt"
	"net/http"
	"testing"
)

// echoOf asks a site by a new connection to a node who answers.
func echoOf(t testing.TB, n *node, site string, header http.Header, proto string) (place string) {
	t.Helper()
	rt, closed := n.transport(proto, nil)
	defer closed()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+site+domain+"/s/echo", nil)
	must(t, err)
	req.Header = header
	g, err := fetch(&http.Client{Transport: rt, Timeout: patience}, req)
	if err != nil || g.status != http.StatusOK {
		t.Fatalf("%s at %s by %s: %d, %v", site, n.name, proto, g.status, err)
	}
	return g.body
}

// TestSessionsByHeaderAndAddress: what names a session can be a field of the
// request or the client's address, too.
func TestSessionsByHeaderAndAddress(t *testing.T) {
	o := newOrigin(t, 3)
	p := newPop(t, map[string]string{
		"header.yaml":  siteDoc("header", o, "affinity: { by: header, name: X-User }"),
		"address.yaml": siteDoc("address", o, "affinity: { by: client_ip }"),
		"none.yaml":    siteDoc("none", o, ""),
	})
	p.start(t, 1, 2, 3)
	places := func(site string, header http.Header) map[string]int {
		t.Helper()
		seen := map[string]int{}
		for i := range 9 {
			seen[echoOf(t, p.nodes[i%3], site, header, protocols[i/3])]++
		}
		return seen
	}
	nodes := map[string]bool{}
	for i := range 12 {
		seen := places("header", http.Header{"X-User": {fmt.Sprintf("user%d", i)}})
		if len(seen) != 1 {
			t.Errorf("user%d: endpoints and nodes %v", i, seen)
		}
		for place := range seen {
			nodes[place] = true
		}
	}
	if len(nodes) < 3 {
		t.Errorf("12 sessions are at %v only", nodes)
	}
	if seen := places("address", nil); len(seen) != 1 {
		t.Errorf("one address: endpoints and nodes %v", seen)
	}
	// Who names no session, and who wants none, is served where it comes.
	for _, site := range []string{"header", "none"} {
		if seen := places(site, nil); len(seen) < 3 {
			t.Errorf("%s: no session, and all requests at %v", site, seen)
		}
	}
}

// TestFleetSessions: a session of a site with scope fleet has one node in
// two PoPs, and one of a site with scope pop has one in each.
func TestFleetSessions(t *testing.T) {
	o := newOrigin(t, 3)
	p := newPop(t, map[string]string{
		"fleet.yaml": siteDoc("fleet", o, "affinity: { by: cookie, name: session, scope: fleet }"),
		"shop.yaml":  siteDoc("shop", o, "affinity: { by: cookie, name: session }"),
	})
	near := []spec{{id: 1, pop: "near"}, {id: 2, pop: "near"}}
	far := []spec{{id: 3, pop: "far"}, {id: 4, pop: "far"}}
	for _, s := range near {
		s.join, s.siblings = []int{1, 2}, far
		p.launch(t, s)
	}
	for _, s := range far {
		s.join, s.siblings = []int{3, 4}, near
		p.launch(t, s)
	}
	agree(t, p.nodes[:2])
	agree(t, p.nodes[2:])
	places := func(site, session string) map[string]int {
		seen := map[string]int{}
		for i, n := range p.nodes {
			seen[echoOf(t, n, site, http.Header{"Cookie": {"session=" + session}}, protocols[i%3])]++
		}
		return seen
	}
	at := map[string]bool{}
	const sessions = 24
	for i := range sessions {
		session := fmt.Sprintf("s%d", i)
		seen := places("fleet", session)
		if len(seen) != 1 {
			t.Errorf("%s: endpoints and nodes %v", session, seen)
		}
		for place := range seen {
			at[place[len(place)-2:]] = true
		}
		if seen := places("shop", session); len(seen) != 2 {
			t.Errorf("%s of scope pop: endpoints and nodes %v in two PoPs", session, seen)
		}
	}
	if len(at) != 4 {
		t.Errorf("%d sessions are on the nodes %v only", sessions, at)
	}
	// A PoP that is lost is done without.
	for _, n := range p.nodes[2:] {
		must(t, n.cmd.Process.Kill())
		n.wait(t)
	}
	for i := range sessions {
		for _, n := range p.nodes[:2] {
			echoOf(t, n, "fleet", http.Header{"Cookie": {fmt.Sprintf("session=s%d", i)}}, "h2")
		}
	}
}
