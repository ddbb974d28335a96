package pop

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// timed asks for URLs one after the other and returns how long each took,
// shortest first.
func timed(t testing.TB, clients []*http.Client, n int, url func(i int) string) []time.Duration {
	t.Helper()
	var took []time.Duration
	for i := range n {
		began := time.Now()
		get(t, clients[i%len(clients)], url(i))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

func p99(sorted []time.Duration) time.Duration { return sorted[len(sorted)*99/100] }

// ownedBy returns the URLs of objects that a node owns.
func ownedBy(t testing.TB, n *node, prefix string, count int) (urls []string) {
	t.Helper()
	for i := 0; len(urls) < count; i++ {
		if url := fmt.Sprintf("https://shop%s/o/%s%d", domain, prefix, i); n.owner(t, url) == n.name {
			urls = append(urls, url)
		}
	}
	return urls
}

// stopped reports whether no thread of the process runs.
func (p *process) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	if err != nil {
		return false
	}
	for _, file := range threads {
		status, err := os.ReadFile(file)
		if err == nil && !strings.Contains(string(status), "State:\tT") {
			return false
		}
	}
	return true
}

// TestStoppedNode: a node stops in the middle of everything, with all its
// connections open. The others' hits do not notice, misses wait no longer
// than the bound on its silence, it is taken out of the view, and comes back
// when it goes on.
func TestStoppedNode(t *testing.T) {
	hits := 500
	if raceDetector {
		hits = 200
	}
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{"shop.yaml": siteDoc("shop", o, "")})
	p.rest = crowded // bounds on silence as everybody has them
	p.start(t, 1, 2, 3, 4, 5)
	stopped, others := p.node(5), p.nodes[:4]
	var clients []*http.Client
	var own []string // one that is stored at its owner, by client
	for _, n := range others {
		clients = append(clients, n.client(t, "h1"))
		own = append(own, ownedBy(t, n, "hit", 1)[0])
	}
	hit := func(i int) string { return own[i%len(own)] }
	theirs := ownedBy(t, stopped, "miss", 36)
	timed(t, clients, 4*len(clients), hit)
	before := timed(t, clients, hits, hit)
	for i, url := range ownedBy(t, stopped, "warm", len(clients)) { // connections to the node that is to be stopped
		get(t, clients[i], url)
	}

	stopped.signal(t, syscall.SIGSTOP)
	waitFor(t, "end of all its threads' work", stopped.stopped)
	began := time.Now()
	// Misses of its keys, one for each node at a time.
	misses := timed(t, clients, len(theirs), func(i int) string { return theirs[i] })
	during := timed(t, clients, hits, hit)
	var out []time.Duration
	for _, n := range others {
		waitFor(t, "view without "+stopped.name+" at "+n.name, func() bool {
			r, ok := n.ring()
			return ok && r.owners() == len(others)
		})
		out = append(out, time.Since(began).Round(time.Millisecond))
	}
	agree(t, others)
	after := timed(t, clients, hits, hit)
	t.Logf("p99 of hits: %v before, %v while it is in the view, %v when it is out of it", p99(before), p99(during), p99(after))
	t.Logf("misses of its keys: median %v, longest %v", misses[len(misses)/2], misses[len(misses)-1])
	t.Logf("out of the others' views after at most %v", out)

	stopped.signal(t, syscall.SIGCONT)
	t.Logf("back in all views after %v", p.agree(t).Round(time.Millisecond))
	for i, url := range ownedBy(t, stopped, "again", 4) {
		get(t, clients[i], url)
		get(t, stopped.client(t, "h2"), url)
	}

	// A machine that is busy with other tests must not fail this one; what
	// is not bounded at all does.
	const slack = 100 * time.Millisecond
	if limit := 10*p99(before) + slack; p99(during) > limit {
		t.Errorf("p99 of hits is %v beside a stopped node, %v before", p99(during), p99(before))
	}
	if slices.Max(out) > 10*time.Second {
		t.Errorf("the stopped node is in the view for %v", slices.Max(out))
	}
	if longest := misses[len(misses)-1]; longest > 10*time.Second {
		t.Errorf("a miss took %v", longest)
	}
	for _, url := range theirs {
		if n := o.count(nameOf(url)); n != 1 {
			t.Errorf("%s was fetched %d times", url, n)
		}
	}
}
