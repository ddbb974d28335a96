package pop

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// ask has clients of all protocols ask every node for objects; all must be
// answered.
func ask(t testing.TB, nodes []*node, prefix string) {
	t.Helper()
	c := newCrowd(t, nodes)
	for i := range 30 {
		get(t, c.nth(i), fmt.Sprintf("https://shop%s/o/%s%d", domain, prefix, i%10))
	}
}

// waitForComplaint waits until one of the nodes reports a problem with all
// of the words in it, and says what it reports.
func waitForComplaint(t testing.TB, nodes []*node, words ...string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("complaint with %q", words), func() bool {
		for _, n := range nodes {
			if n.complains(words...) {
				t.Logf("%s says: %+v", n.name, n.health().Problems)
				return true
			}
		}
		return false
	})
}

// TestTwoNodesWithOneID: the second is not let in, both say why, and all
// three serve.
func TestTwoNodesWithOneID(t *testing.T) {
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "")})
	p.start(t, 1, 2)
	first := p.nodes
	twin := p.launch(t, spec{id: 3, as: 2, name: "twin"})
	waitForComplaint(t, []*node{twin}, "id", "2")
	waitForComplaint(t, first, "id", "2")
	ask(t, first, "before")
	waitFor(t, "answer of the second one", func() bool { return serves(twin) })
	ask(t, p.nodes, "beside")
	if r, ok := first[0].ring(); !ok || r.owners() != 2 {
		t.Errorf("the table has %d owners", r.owners())
	}
	twin.drainAndStop(t)
	waitFor(t, "clean bill of health", func() bool {
		return len(first[0].health().Problems)+len(first[1].health().Problems) == 0
	})
	agree(t, first)
	ask(t, first, "after")
}

// serves reports whether a node answers a request for the shop.
func serves(n *node) bool {
	rt, closed := n.transport("h1", nil)
	defer closed()
	resp, err := (&http.Client{Transport: rt, Timeout: patience}).Get("https://shop" + domain + "/o/serves")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// TestWrongSecret: a node with another secret stays alone, and serves.
func TestWrongSecret(t *testing.T) {
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "")})
	p.write(t, "other-secret", "another secret that is long enough for anybody")
	p.start(t, 1, 2)
	stranger := p.launch(t, spec{id: 3, secret: "other-secret"})
	waitForComplaint(t, []*node{stranger}, "secret", p.addr(1))
	waitForComplaint(t, p.nodes[:2], "secret", stranger.addr)
	agree(t, p.nodes[:2])
	agree(t, []*node{stranger})
	ask(t, p.nodes, "beside")
	for i := range 10 {
		// Once by the two, once by the one.
		if n := o.count(fmt.Sprintf("beside%d", i)); n != 2 {
			t.Errorf("beside%d was fetched %d times", i, n)
		}
	}
}

// TestOtherSites: a node that does not have a site owns keys of it all the
// same; the others see to them.
func TestOtherSites(t *testing.T) {
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "affinity: { by: cookie, name: session }")})
	p.write(t, "other-sites/blog.yaml", siteDoc("blog", o, ""))
	p.start(t, 1, 2)
	p.launch(t, spec{id: 3, sites: "other-sites"})
	p.agree(t)
	if p.sameSites() {
		t.Error("the list of nodes does not show that sites differ")
	}
	ask(t, p.nodes[:2], "x")
	for i := range 30 {
		v := newVisitor(fmt.Sprintf("visitor%d", i), kind(i)%numKinds)
		if v.kind == sticks {
			continue
		}
		for _, n := range p.nodes[:2] {
			if err := v.visit(t.Context(), n); err != nil {
				t.Error(err)
			}
		}
	}
	p.write(t, "other-sites/shop.yaml", siteDoc("shop", o, "affinity: { by: cookie, name: session }"))
	p.write(t, "sites/blog.yaml", siteDoc("blog", o, ""))
	waitFor(t, "the same sites on all nodes", p.sameSites)
	waitFor(t, "site at the third node", func() bool { return serves(p.nodes[2]) })
	ask(t, p.nodes, "y")
}

// TestNodeComesBack: a node that was killed and one that was stopped come
// back under their own ids, on the same addresses.
func TestNodeComesBack(t *testing.T) {
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "")})
	p.start(t, 1, 2, 3)
	ask(t, p.nodes, "before")
	for _, how := range []struct {
		name string
		end  func(n *node)
	}{
		{"killed", func(n *node) { must(t, n.cmd.Process.Kill()); n.wait(t) }},
		{"killed, and nobody has noticed yet", func(n *node) { must(t, n.cmd.Process.Kill()); n.wait(t) }},
		{"stopped", func(n *node) { n.drainAndStop(t) }},
	} {
		n := p.node(3)
		how.end(n)
		if how.name == "killed" {
			p.agree(t)
		}
		n.again(t)
		took := p.agree(t)
		t.Logf("%s: back after %v", how.name, took.Round(time.Millisecond))
		ask(t, p.nodes, "again")
	}
}

// sameSites reports whether the nodes are listed with the same sites.
func (p *pop) sameSites() bool {
	first, ok := p.nodes[0].list(p.nodes[0].name)
	for _, n := range p.nodes {
		if l, known := p.nodes[0].list(n.name); !known || l.Sites == "" || l.Sites != first.Sites {
			return false
		}
	}
	return ok
}
