package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// version is one response that the model's origin has made. Its body is
// its number, and so is its entity tag.
type version struct {
	id        string
	target    string
	lang      string // of the request it was made for
	asker     string // the request that it was made for
	made      time.Time
	lines     []string
	ttl       time.Duration
	share     bool // anyone may have it
	validate  bool // but only after asking
	vary      bool
	public    bool // even when it was made for a request with credentials
	swr, sie  time.Duration
	confirmed map[string]bool // requests for which the origin confirmed it
}

// model is an origin that changes at random, and knows which of its
// responses a request may be given.
type model struct {
	mu       sync.Mutex
	rnd      *rand.Rand
	made     map[string]*version
	changed  map[string]time.Time // by target: the last unsafe request
	failedAt time.Time            // the last time a request found the origin down
	transit  time.Duration        // for which an answer to several is on its way from another node
}

// kinds are the headers that the model's origin chooses from.
var kinds = []version{
	{lines: []string{"cache-control: max-age=5"}, ttl: 5 * time.Second, share: true},
	{lines: []string{"cache-control: max-age=20"}, ttl: 20 * time.Second, share: true},
	{lines: []string{"cache-control: max-age=20", "age: 12"}, ttl: 8 * time.Second, share: true},
	{lines: []string{"cdn-cache-control: max-age=3", "cache-control: max-age=100"}, ttl: 3 * time.Second, share: true},
	{lines: []string{"cache-control: max-age=20", "vary: accept-language"}, ttl: 20 * time.Second, share: true, vary: true},
	{lines: []string{"cache-control: max-age=4, stale-while-revalidate=6"}, ttl: 4 * time.Second, share: true, swr: 6 * time.Second},
	{lines: []string{"cache-control: max-age=4, stale-if-error=30"}, ttl: 4 * time.Second, share: true, sie: 30 * time.Second},
	{lines: []string{"cache-control: max-age=4, stale-if-error=30, stale-while-revalidate=30, must-revalidate"}, ttl: 4 * time.Second, share: true, public: true},
	{lines: []string{"cache-control: max-age=20, no-cache"}, share: true, validate: true},
	{lines: []string{"cache-control: max-age=20, no-store"}},
	{lines: []string{"cache-control: max-age=20, private"}},
	{lines: []string{"cache-control: max-age=20", "set-cookie: a=b"}},
	{lines: []string{"cache-control: max-age=20", "vary: *"}},
	{lines: nil},
}

func (m *model) Fill(_ context.Context, r *exchange.Request) (*exchange.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delay := time.Duration(m.rnd.IntN(3)) * 300 * time.Millisecond
	m.mu.Unlock()
	<-time.After(delay)
	m.mu.Lock()
	now, asker := time.Now(), r.Header.Get("x-id")
	if r.Method == "POST" {
		m.changed[r.Target()] = now
		return reply(200, "changed"), nil
	}
	switch m.rnd.IntN(12) {
	case 0:
		m.failedAt = now
		return nil, &exchange.Error{Cause: exchange.ConnectionRefused}
	case 1:
		m.failedAt = now
		return reply(503, "down"), nil
	}
	if tag := strings.Trim(r.Header.Get("if-none-match"), `"`); tag != "" && m.rnd.IntN(2) == 0 {
		v := m.made[tag]
		if v != nil && v.target == r.Target() && !m.changed[v.target].After(v.made) {
			v.confirmed[asker] = true
			v.made = now
			return reply(304, "", append([]string{"etag: " + `"` + tag + `"`}, v.lines...)...), nil
		}
	}
	v := kinds[m.rnd.IntN(len(kinds))]
	v.id, v.target, v.made, v.asker = fmt.Sprint("v", len(m.made)), r.Target(), now, asker
	v.lang, v.confirmed = r.Header.Get("accept-language"), map[string]bool{}
	if r.Header.Has("authorization") && !v.public {
		v.share = false
	}
	m.made[v.id] = &v
	resp := reply(200, v.id, append([]string{"etag: " + `"` + v.id + `"`, "date: " + httpDate(now)}, v.lines...)...)
	if m.rnd.IntN(2) == 0 {
		resp = unsized(resp)
	}
	return resp, nil
}

// forbids says why a request must not have been given an answer, "" when
// it may.
func (m *model) forbids(r *exchange.Request, a answer) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := r.Header.Get("x-id")
	v := m.made[a.body]
	switch {
	case a.err != nil || a.status == 503:
		return ""
	case v == nil:
		return "nobody made it"
	case v.target != r.Target():
		return "it is of another resource"
	case v.asker == id || v.confirmed[id]:
		return ""
	case !v.share:
		return "it was for another alone"
	case v.validate:
		return "the origin was not asked"
	case v.vary && v.lang != r.Header.Get("accept-language"):
		return "it is for " + v.lang
	case m.changed[v.target].After(v.made) && r.Arrived.After(m.changed[v.target]):
		return "it was invalidated"
	}
	// A Date has whole seconds: a second may be lost to it, none gained.
	age := r.Arrived.Sub(v.made)
	switch {
	case age < v.ttl, age < v.ttl+v.swr:
		return ""
	case age < v.ttl+v.sie && !m.failedAt.Add(m.transit).Before(r.Arrived):
		return ""
	}
	return fmt.Sprintf("it is %v old and good for %v", age, v.ttl)
}

// TestNothingForbidden runs random requests, some at once, and holds every
// answer against the model.
func TestNothingForbidden(t *testing.T) {
	runs := 150
	if testing.Short() {
		runs = 20
	}
	outcomes := map[exchange.Outcome]int{}
	var mu sync.Mutex
	for seed := range runs {
		bubbleOf(t, 4<<20, limits.Default(), func(t rig) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			m := &model{rnd: rand.New(rand.NewPCG(uint64(seed), 2)), made: map[string]*version{}, changed: map[string]time.Time{}}
			var all sync.WaitGroup
			for i := range 150 {
				r := get(fmt.Sprintf("/%d", rnd.IntN(3)), fmt.Sprintf("x-id: %d", i),
					"accept-language: "+[]string{"de", "en"}[rnd.IntN(2)])
				switch rnd.IntN(10) {
				case 0:
					r.Method = "POST"
				case 1:
					r.Header.Add("authorization", "x")
				}
				all.Go(func() {
					a := t.serve(r, plain, m)
					mu.Lock()
					outcomes[a.outcome]++
					mu.Unlock()
					if r.Method == "POST" {
						return
					}
					if why := m.forbids(r, a); why != "" {
						t.Errorf("seed %d, request %s (%v) was given %s (%v): %s", seed,
							r.Header.Get("x-id"), r.Header, a.body, a.outcome, why)
					}
				})
				<-time.After([]time.Duration{0, 100 * time.Millisecond, time.Second, 4 * time.Second}[rnd.IntN(4)])
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
	t.Log(outcomes)
}
