package pop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fresh says how many requests of the load there are to one for a key that
// nobody has.
const fresh = 10

// routes are the nodes that clients are led to: what announcements do.
type routes struct {
	mu sync.Mutex
	to []*route
}

// route is a node that clients are led to.
type route struct {
	*node
	clients []*http.Client
	busy    sync.WaitGroup
}

// add leads clients to a node.
func (r *routes) add(t testing.TB, n *node) *route {
	t.Helper()
	to := &route{node: n}
	for _, proto := range protocols {
		to.clients = append(to.clients, n.client(t, proto))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = append(r.to, to)
	return to
}

// remove leads no further client to the node, and waits until the last that
// was led there has its answer.
func (r *routes) remove(n *node) {
	r.mu.Lock()
	i := slices.IndexFunc(r.to, func(to *route) bool { return to.node == n })
	gone := r.to[i]
	r.to = slices.Delete(slices.Clone(r.to), i, i+1)
	r.mu.Unlock()
	gone.busy.Wait()
}

// pick returns the node for a number; the caller says Done to its busy.
func (r *routes) pick(i int) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := r.to[i%len(r.to)]
	to.busy.Add(1)
	return to
}

// load asks for objects until it is stopped. Time is counted in requests,
// so that a slow machine draws the same curve.
type load struct {
	t      testing.TB
	routes *routes
	window int // requests that make one point of the curve, and keys that are asked for again and again
	sent   atomic.Int64
	failed atomic.Int64

	mu     sync.Mutex
	curve  []int    // fetches of the origin, by window
	events []string // by window, what happened in it
}

// fetched is told of each fetch of the origin.
func (l *load) fetched(string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.curve[l.at()]++
}

// at returns the window that is being drawn; mu is held.
func (l *load) at() int {
	w := int(l.sent.Load()) / l.window
	for len(l.curve) <= w {
		l.curve, l.events = append(l.curve, 0), append(l.events, "")
	}
	return w
}

func (l *load) note(event string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[l.at()] += event + " "
}

// one sends the i-th request.
func (l *load) one(ctx context.Context, r *rand.Rand, zipf *rand.Zipf, i int64) {
	name := fmt.Sprintf("key%d", zipf.Uint64())
	if i%fresh == 0 {
		name = fmt.Sprintf("fresh%d", i)
	}
	to := l.routes.pick(r.IntN(1 << 20))
	defer to.busy.Done()
	url := "https://shop" + domain + "/o/" + name
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		l.t.Error(err)
		return
	}
	proto := int(i) % len(to.clients)
	g, err := fetch(to.clients[proto], req)
	if err != nil || g.status != http.StatusOK || g.body != content(name, 0, 1000) {
		l.failed.Add(1)
		l.t.Errorf("request %d, %s by %s at %s: status %d, %d bytes, %v", i, name, protocols[proto], to.name, g.status, len(g.body), err)
	}
}

// run has workers ask until ctx is done; stop waits for them.
func (l *load) run(ctx context.Context, workers int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			zipf := rand.NewZipf(r, 1.05, 10, uint64(l.window)-1)
			for ctx.Err() == nil {
				// A request that was begun is not cut.
				l.one(context.WithoutCancel(ctx), r, zipf, l.sent.Add(1))
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// windows waits until so many more windows are drawn, and returns them.
func (l *load) windows(n int) (from, to int) {
	from = int(l.sent.Load())/l.window + 1
	waitFor(l.t, "windows of load", func() bool { return int(l.sent.Load())/l.window >= from+n })
	return from, from + n
}

// mean returns the mean fetches of windows.
func (l *load) mean(from, to int) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := 0
	for _, n := range l.curve[from:to] {
		sum += n
	}
	return float64(sum) / float64(to-from)
}

// draw writes the curve.
func (l *load) draw(steady float64) string {
	var b strings.Builder
	for i, n := range l.curve {
		fmt.Fprintf(&b, "%4d %4d %.2f %-40s %s\n", i, n, float64(n)/steady, strings.Repeat("#", min(int(20*float64(n)/steady), 40)), l.events[i])
	}
	return b.String()
}

// TestJoinAndLeave: a node joins and another leaves under load. No request
// fails, and the origin hardly notices.
func TestJoinAndLeave(t *testing.T) {
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "")})
	p.start(t, 1, 2, 3, 4, 5)
	l := &load{t: t, routes: &routes{}, window: 1000}
	if raceDetector {
		l.window = 300
	}
	for _, n := range p.nodes {
		l.routes.add(t, n)
	}
	for i := range l.window { // what was asked for again and again is stored
		get(t, l.routes.to[i%5].clients[i%3], fmt.Sprintf("https://shop%s/o/key%d", domain, i))
	}
	o.mu.Lock()
	o.fetched = l.fetched
	o.mu.Unlock()
	stop := l.run(t.Context(), 8)
	defer stop()
	from, to := l.windows(3)
	steady := l.mean(from, to)

	l.note("n6 starts")
	p.launch(t, spec{id: 6})
	took := p.agree(t)
	l.note("n6 is an owner")
	l.routes.add(t, p.node(6))
	l.windows(3)

	leaver := p.node(2)
	leaver.drain(t, p.node(1), "5m")
	l.note("n2 drains")
	l.routes.remove(leaver)
	waitFor(t, "table without n2", func() bool {
		for _, n := range p.nodes {
			if r, ok := n.ring(); !ok || r.owners() != 5 {
				return false
			}
		}
		return true
	})
	l.note("n2 owns nothing")
	l.windows(4)
	leaver.drainAndStop(t)
	l.note("n2 is gone")
	_, last := l.windows(3)
	stop()

	t.Logf("joined after %v; origin fetches per %d requests:\n%s", took.Round(time.Millisecond), l.window, l.draw(steady))
	t.Logf("%d requests, %d failed", l.sent.Load(), l.failed.Load())
	for i, n := range l.curve[from:last] {
		if float64(n) > 1.3*steady {
			t.Errorf("window %d: %d fetches, steadily %.0f", from+i, n, steady)
		}
	}
}
