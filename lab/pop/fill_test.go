package pop

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd is clients of all protocols at all nodes, which share connections
// as clients of a proxy do.
type crowd struct {
	clients [][]*http.Client // by node, by protocol
}

func newCrowd(t testing.TB, nodes []*node) *crowd {
	t.Helper()
	c := &crowd{}
	for _, n := range nodes {
		var of []*http.Client
		for _, proto := range protocols {
			of = append(of, n.client(t, proto))
		}
		c.clients = append(c.clients, of)
	}
	return c
}

// nth spreads numbers over nodes first, then over protocols.
func (c *crowd) nth(i int) *http.Client {
	of := c.clients[i%len(c.clients)]
	return of[i/len(c.clients)%len(of)]
}

// waiting sums what waits for the head of a fill on all nodes.
func waiting(nodes []*node) (sum float64) {
	for _, n := range nodes {
		sum += n.metric("landfall_cache_waiting_requests")
	}
	return sum
}

// steadily has f say what is wrong, and again while a node's view changed in
// it: on a machine that stands still nodes take each other for dead, and that
// a key has two owners then is no fault.
func steadily(t testing.TB, nodes []*node, f func(try int) (wrong []string)) {
	t.Helper()
	for try := range 5 {
		agree(t, nodes)
		before := views(nodes)
		wrong := f(try)
		if len(wrong) == 0 {
			return
		}
		if try == 4 || slices.Equal(before, views(nodes)) {
			t.Error(strings.Join(wrong, "\n"))
			return
		}
		t.Logf("to be tried again, as views have changed:\n%s", strings.Join(wrong, "\n"))
	}
}

// views are the generations of the nodes' views.
func views(nodes []*node) (all []uint64) {
	for _, n := range nodes {
		r, _ := n.ring() // without an answer: 0, which is none
		all = append(all, r.Generation)
	}
	return all
}

// rush has clients ask for names at once, and again when all are answered. It
// returns which names were fetched more or less than once.
func (c *crowd) rush(t *testing.T, p *pop, o *origin, clients, size int, names []string) (wrong []string) {
	t.Helper()
	url := func(i int) string {
		return fmt.Sprintf("https://shop%s/o/%s?size=%d", domain, names[i%len(names)], size)
	}
	var all sync.WaitGroup
	defer all.Wait() // also when the test is given up
	release := o.hold()
	defer release()
	began := time.Now()
	for i := range clients {
		all.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url(i), nil)
			if err != nil {
				t.Error(err)
				return
			}
			// i/len(names) is different for all who ask for one of them.
			g, err := fetch(c.nth(i/len(names)), req)
			if err != nil || g.status != http.StatusOK || g.body != content(names[i%len(names)], 0, size) {
				t.Errorf("%s at n%d: %d, %d bytes, %v", url(i), i/len(names)%len(p.nodes)+1, g.status, len(g.body), err)
			}
		})
	}
	// All at once means that all wait before the first is answered.
	waitFor(t, "requests that wait", func() bool { return waiting(p.nodes) >= float64(clients) })
	t.Logf("%d requests for %d keys wait after %v, %v of them at their nodes and %v in all",
		clients, len(names), time.Since(began).Round(time.Millisecond), clients, waiting(p.nodes))
	release()
	all.Wait()
	t.Logf("all are answered after %v", time.Since(began).Round(time.Millisecond))
	for _, again := range []string{"", " after it was stored"} {
		for i := 0; again != "" && i < 3*len(p.nodes); i++ {
			get(t, c.nth(i), url(i))
		}
		for _, name := range names {
			if n := o.count(name); n != 1 {
				wrong = append(wrong, fmt.Sprintf("%s was fetched %d times%s", name, n, again))
			}
		}
	}
	return wrong
}

// TestOneFetchPerKey: whatever a thousand clients ask of whichever node at
// the same time, the origin is asked once for each key.
func TestOneFetchPerKey(t *testing.T) {
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "")})
	p.start(t, 1, 2, 3, 4, 5)
	c := newCrowd(t, p.nodes)
	for _, tc := range []struct {
		name       string
		keys, size int
	}{
		{"fifty keys", 50, 1000},
		{"one key", 1, 10_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			steadily(t, p.nodes, func(try int) []string {
				var names []string
				for i := range tc.keys {
					names = append(names, fmt.Sprintf("%d-of-%d-try%d", i, tc.keys, try))
				}
				return c.rush(t, p, o, 1000, tc.size, names)
			})
		})
	}
}

// TestPlacementOff: a site that is filled locally has one fetch for each
// node, and asks no other.
func TestPlacementOff(t *testing.T) {
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "cache: { placement: local }")})
	p.start(t, 1, 2, 3)
	c := newCrowd(t, p.nodes)
	for range 2 {
		for i := range p.nodes {
			get(t, c.nth(i), "https://shop"+domain+"/o/x")
		}
	}
	if n := o.count("x"); n != len(p.nodes) {
		t.Errorf("%d fetches on %d nodes", n, len(p.nodes))
	}
}

// TestUnsafeRequestReachesAllNodes: what a POST through one node changes is
// not answered in its old form by any other, wherever it is stored.
func TestUnsafeRequestReachesAllNodes(t *testing.T) {
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "")})
	p.start(t, 1, 2, 3)
	c := newCrowd(t, p.nodes)
	for round := range 3 {
		name := fmt.Sprintf("page%d", round)
		url := "https://shop" + domain + "/o/" + name
		// Asked for often enough that every node has a copy of its own.
		for i := range p.nodes {
			waitFor(t, "copy at "+p.nodes[i].name, func() bool { return get(t, c.nth(i), url).hit() })
		}
		if n := o.count(name); n != 1 {
			t.Errorf("%d fetches before the change", n)
		}
		do(t, c.nth(round), http.MethodPost, url, "change it")
		for i := range p.nodes {
			took := waitFor(t, "new version at "+p.nodes[i].name, func() bool { return get(t, c.nth(i), url).header.Get("X-Version") == "1" })
			t.Logf("POST at %s: %s has the new version after %v more", p.nodes[round].name, p.nodes[i].name, took.Round(time.Millisecond))
		}
		for i := range p.nodes {
			if g := get(t, c.nth(i), url); g.header.Get("X-Version") != "1" {
				t.Errorf("%s has gone back to version %s", p.nodes[i].name, g.header.Get("X-Version"))
			}
		}
	}
}

// TestBusyOwner: a node that has as many relayed requests as it takes says
// so, and those who asked see to the rest.
func TestBusyOwner(t *testing.T) {
	const takes, clients = 4, 60
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "")})
	p.rest = limits(fmt.Sprintf(", relay_streams: %d", takes))
	p.start(t, 1, 2)
	urls := ownedBy(t, p.nodes[1], "busy", clients)
	c := p.nodes[0].client(t, "h2")
	var all sync.WaitGroup
	defer all.Wait() // also when the test is given up
	release := o.hold()
	defer release()
	for _, url := range urls {
		all.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if g, err := fetch(c, req); err != nil || g.status != http.StatusOK {
				t.Errorf("%s: %d, %v", url, g.status, err)
			}
		})
	}
	waitFor(t, "fetches", func() bool {
		for _, url := range urls {
			if o.count(nameOf(url)) == 0 {
				return false
			}
		}
		return true
	})
	release()
	all.Wait()
	busy := p.nodes[0].metric("landfall_relay_asks_total", `result="busy"`)
	if busy < clients-takes {
		t.Errorf("%v requests found the owner busy, want %d", busy, clients-takes)
	}
	for _, url := range urls {
		if n := o.count(nameOf(url)); n != 1 {
			t.Errorf("%s was fetched %d times", url, n)
		}
	}
}
