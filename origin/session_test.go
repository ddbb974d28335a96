package origin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// endpoints are named a, b, c and so on, with these weights.
func endpoints(weights ...int) *rendezvous {
	conf := make([]EndpointConfig, len(weights))
	for i := range conf {
		conf[i].Name = string(rune('a' + i))
	}
	return newRendezvous(conf, weights)
}

func allUsable(int) bool { return true }

func TestRendezvousShares(t *testing.T) {
	const sessions = 100_000
	for _, weights := range [][]int{{1, 1}, {1, 1, 1, 1, 1}, {1, 2, 3}, {1, 10}, {100, 100}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			v := endpoints(weights...)
			got, total := make([]int, len(weights)), 0
			for i := range sessions {
				got[v.first(fmt.Sprint("shop ", i), allUsable)]++
			}
			for _, w := range weights {
				total += w
			}
			for i, w := range weights {
				want := float64(sessions*w) / float64(total)
				// Five standard deviations of a fair draw.
				if d := math.Abs(float64(got[i]) - want); d > 5*math.Sqrt(want) {
					t.Errorf("endpoint %d has %d sessions, want %.0f", i, got[i], want)
				}
			}
		})
	}
}

// TestRendezvousIsTheSameEverywhere: nodes of every version must agree, so
// the choice is pinned.
func TestRendezvousIsTheSameEverywhere(t *testing.T) {
	v := endpoints(1, 2, 3, 1)
	got := ""
	for i := range 40 {
		got += string(rune('a' + v.first(fmt.Sprint("shop session-", i), allUsable)))
	}
	const want = "bcacbcaccacccbacabcdcdbbacbabcccbbcabccc"
	if got != want {
		t.Errorf("sessions go to %s, want %s", got, want)
	}
}

// TestRendezvousMovesItsOwnOnly: without an endpoint the others keep their
// sessions; its own spread by weight, and come back.
func TestRendezvousMovesItsOwnOnly(t *testing.T) {
	v := endpoints(1, 2, 3, 1)
	moved := map[int]int{}
	for i := range 20_000 {
		s := fmt.Sprint("shop ", i)
		before := v.first(s, allUsable)
		after := v.first(s, func(i int) bool { return i != 2 })
		switch {
		case before != 2 && after != before:
			t.Fatalf("session %d moved from %d to %d, which did not fail", i, before, after)
		case before == 2:
			moved[after]++
		}
	}
	if moved[1] < moved[0]*3/2 || moved[1] < moved[3]*3/2 || moved[0] == 0 || moved[3] == 0 {
		t.Errorf("the sessions of the failed one went to %v", moved)
	}
	if i := v.first("shop 1", func(int) bool { return false }); i != -1 {
		t.Errorf("chose %d of none", i)
	}
}

// inSession is a request of a session.
func inSession(session, endpoint string) *exchange.Request {
	r := get("/")
	r.Session, r.Endpoint = session, endpoint
	return r
}

// TestSessionsStay: requests of a session reach one endpoint, whichever
// requests come between; a session with an endpoint reaches that.
func TestSessionsStay(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	o := start(t, config(t, answer(t, ok).url, answer(t, ok).url, answer(t, ok).url))
	seen := map[string]int{}
	for i := range 12 {
		session := fmt.Sprint("shop ", i)
		first, _ := mustFetch(t, o, inSession(session, ""))
		seen[first.Endpoint]++
		mustFetch(t, o, get("/"))
		if again, _ := mustFetch(t, o, inSession(session, "")); again.Endpoint != first.Endpoint {
			t.Errorf("session %d was at %s, then at %s", i, first.Endpoint, again.Endpoint)
		}
		if named, _ := mustFetch(t, o, inSession(session, "b")); named.Endpoint != "b" {
			t.Errorf("session %d on b was at %s", i, named.Endpoint)
		}
		if gone, _ := mustFetch(t, o, inSession(session, "gone")); gone.Endpoint != first.Endpoint {
			t.Errorf("session %d on an endpoint that is gone was at %s", i, gone.Endpoint)
		}
	}
	if len(seen) != 3 {
		t.Errorf("12 sessions went to %v", seen)
	}
	if res, _ := mustFetch(t, o, inSession("", "c")); res.Endpoint != "c" {
		t.Errorf("without a session at %s", res.Endpoint)
	}
}

// network is a memory that counts the connections to each address and can
// have one address down.
type network struct {
	memory

	mu sync.Mutex
	// Guarded by mu.
	dialled map[string]int
	down    string
}

func (n *network) dial(ctx context.Context, proto, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dialled[addr]++
	refused := addr == n.down
	n.mu.Unlock()
	if refused {
		return nil, errors.New("connection refused")
	}
	return n.memory.dial(ctx, proto, addr)
}

func (n *network) turnOff(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = addr
}

func (n *network) count(addr string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dialled[addr]
}

// TestSessionGoesToTheNextInRank: a request that finds its endpoint dead is
// tried where all nodes would try it; once the endpoint is known to be dead
// it is not asked any more, and when it is back its sessions are.
func TestSessionGoesToTheNextInRank(t *testing.T) {
	for _, named := range []bool{false, true} {
		t.Run(fmt.Sprint("named: ", named), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conf := config(t, "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
				n := &network{dialled: map[string]int{}}
				n.serve = func(_ int, c *peer) {
					if _, err := c.head(); err == nil {
						c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					}
				}
				o, err := newOrigin(conf, new(limits.Counters), nil, n.dial)
				if err != nil {
					t.Fatal(err)
				}
				defer n.wg.Wait()
				defer o.closeIdle()
				home := o.sessions.first("shop 1", allUsable)
				next := o.sessions.first("shop 1", func(i int) bool { return i != home })
				r := inSession("shop 1", "")
				if named {
					r.Endpoint = conf.Endpoints[home].Name
				}
				want := func(i int) {
					t.Helper()
					if res, _ := mustFetch(t, o, r); res.Endpoint != conf.Endpoints[i].Name {
						t.Fatalf("at %s, want %s", res.Endpoint, conf.Endpoints[i].Name)
					}
				}
				want(home)
				addr := o.endpoints[home].addr
				n.turnOff(addr)
				for range 6 {
					want(next)
				}
				if got := n.count(addr); got != 1+o.conf.Tuning.DialFailures {
					t.Errorf("%d connections to the dead endpoint were tried", got)
				}
				n.turnOff("")
				time.Sleep(o.conf.Tuning.Aside)
				want(home)
			})
		})
	}
}

// TestSessionsWithoutHealth: when no endpoint is fit, a session's is asked
// all the same.
func TestSessionsWithoutHealth(t *testing.T) {
	o := start(t, config(t, "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"))
	now := time.Now()
	want := o.pick(inSession("shop 1", ""), nil, now)
	for _, ep := range o.endpoints {
		ep.unhealthy.Store(true)
	}
	if got := o.pick(inSession("shop 1", ""), nil, now); got != want {
		t.Errorf("endpoint %d, want %d", got, want)
	}
	other := o.endpoints[(want+1)%3]
	if got := o.pick(inSession("shop 1", other.conf.Name), nil, now); o.endpoints[got] != other {
		t.Errorf("endpoint %d, not the one that the session is on", got)
	}
	other.unhealthy.Store(false)
	if got := o.pick(inSession("shop 1", ""), nil, now); o.endpoints[got] != other {
		t.Errorf("endpoint %d is asked although another is fit", got)
	}
}

func BenchmarkRendezvous(b *testing.B) {
	v := endpoints(1, 1, 1, 1, 1, 1, 1, 1)
	b.ReportAllocs()
	for b.Loop() {
		v.first("shop 1234567890abcdef", allUsable)
	}
}
