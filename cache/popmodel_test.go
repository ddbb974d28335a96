package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// latency is how long a request or an answer takes from node to node.
const latency = 50 * time.Millisecond

// popFill is how one node of a PoP of stores fills one request.
type popFill struct {
	stores      []*Store
	model       *model
	self, owner int
}

func (f popFill) Here() bool { return f.self == f.owner }

func (f popFill) Fill(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	if f.Here() || r.Method == "POST" {
		return f.model.Fill(ctx, r)
	}
	return toOwner{store: f.stores[f.owner], policy: plain, fill: f.model, latency: latency}.Fill(ctx, r)
}

// TestNothingForbiddenInAPop runs random requests at random nodes, which
// mostly agree on who owns a key, and holds every answer against the model:
// no copy is used where its owner's response may not be.
func TestNothingForbiddenInAPop(t *testing.T) {
	const nodes = 3
	runs := 150
	if testing.Short() {
		runs = 20
	}
	var mu sync.Mutex
	outcomes := map[exchange.Outcome]int{}
	copied := 0
	for seed := range runs {
		bubbleOf(t, 4<<20, limits.Default(), func(t rig) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 3))
			m := &model{
				rnd:  rand.New(rand.NewPCG(uint64(seed), 4)),
				made: map[string]*version{}, changed: map[string]time.Time{}, transit: latency,
			}
			stores := []*Store{t.store}
			for len(stores) < nodes {
				stores = append(stores, t.another())
			}
			for i, s := range stores {
				s.invalidated = func(keys []string) {
					for j, o := range stores {
						if j != i {
							o.Invalidate(keys)
						}
					}
				}
			}
			var all sync.WaitGroup
			for i := range 200 {
				key := rnd.IntN(3)
				r := get(fmt.Sprint("/", key), fmt.Sprint("x-id: ", i), "accept-language: "+[]string{"de", "en"}[rnd.IntN(2)])
				switch rnd.IntN(12) {
				case 0:
					r.Method = "POST"
				case 1:
					r.Header.Add("authorization", "x")
				}
				f := popFill{stores: stores, model: m, self: rnd.IntN(nodes), owner: key}
				if rnd.IntN(10) == 0 {
					f.owner = rnd.IntN(nodes)
				}
				all.Go(func() {
					a := read(stores[f.self].Serve(t.Context(), r, plain, f))
					mu.Lock()
					outcomes[a.outcome]++
					if a.outcome == exchange.Hit && f.self != f.owner {
						copied++
					}
					mu.Unlock()
					if r.Method == "POST" {
						return
					}
					why := m.forbids(r, a)
					if why == "" && a.outcome == exchange.Hit && a.report.TTL < 0 {
						why = "it is stale"
					}
					if why != "" {
						t.Errorf("seed %d, request %d (%v) at node %d was given %s (%v, %+v): %s",
							seed, i, r.Header, f.self, a.body, a.outcome, a.report, why)
					}
				})
				<-time.After([]time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, time.Second}[rnd.IntN(4)])
			}
			all.Wait()
		})
		if t.Failed() {
			return
		}
	}
	for _, o := range []exchange.Outcome{exchange.Hit, exchange.Stale, exchange.Revalidated, exchange.Coalesced, exchange.Miss, exchange.Failed} {
		if outcomes[o] == 0 {
			t.Errorf("no request was a %v: the test does not reach it", o)
		}
	}
	if copied == 0 {
		t.Error("no request was a hit on a copy")
	}
	t.Log(outcomes, copied, "hits on copies")
}
