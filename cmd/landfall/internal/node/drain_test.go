package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/relay"
	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/bgp/ladder"
	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/internal/admin/pop"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// sent notes whether clients are sent away.
type sent struct{ away bool }

func (s *sent) SetDraining(on bool) { s.away = on }

// TestDrainAndBack follows a drain past its deadline, into a longer one,
// and back.
func TestDrainAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var states []affinity.State
		front := &sent{}
		d := &drain{
			log: zap.NewNop(), front: front, sessions: sessions.New(limits.Default(), nil, nil),
			state: func(s affinity.State) { mu.Lock(); defer mu.Unlock(); states = append(states, s) },
		}
		begin := func(deadline time.Duration) {
			t.Helper()
			if err := d.begin(drainOrder{Deadline: deadline}); err != nil {
				t.Fatal(err)
			}
		}
		d.sessions.Hold("shop one", "", time.Now())
		step := func(want ...affinity.State) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(states, want) {
				t.Fatalf("states %v, want %v", states, want)
			}
			states = nil
		}
		begin(time.Minute)
		step(affinity.Draining)
		time.Sleep(time.Minute - time.Second)
		if !front.away || !d.sessions.Held("shop one", time.Now()) {
			t.Error("before its deadline a drain keeps sessions, and sends clients away")
		}
		time.Sleep(time.Second)
		step(affinity.Gone)
		if d.sessions.Held("shop one", time.Now()) {
			t.Error("a session that was given up is held")
		}
		begin(time.Hour)
		step(affinity.Draining)
		if err := d.end(); err != nil || front.away {
			t.Errorf("undrain: %v, clients are sent away: %v", err, front.away)
		}
		step(affinity.Active)
		time.Sleep(2 * time.Hour)
		step()
		d.finish()
		if err := d.end(); err == nil {
			t.Error("a node that stops was taken back")
		}
		step(affinity.Draining)
	})
}

// fakeRoutes is an announcement that does as it is told, and notes it.
type fakeRoutes struct {
	mu      sync.Mutex
	order   ladder.Order
	said    []string // rungs, with the time since the start
	start   time.Time
	refuses bgp.Rung // a step there is refused; 0: none is
}

var errInterlock = ladder.Refused{{Interlock: ladder.MinNodes, Reason: "too few"}}

func (r *fakeRoutes) Order(_ context.Context, o ladder.Order, _ []ladder.Override) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuses != 0 && o.Floor == r.refuses {
		return errInterlock
	}
	r.order = o
	r.said = append(r.said, fmt.Sprintf("%v %s", time.Since(r.start), o.Floor))
	return nil
}

func (r *fakeRoutes) Current() ladder.Order {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.order
}

func (r *fakeRoutes) refuse(rung bgp.Rung) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses = rung
}

func (r *fakeRoutes) Plan(step ladder.Step) (p ladder.Plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuses == step.To {
		p.Refusals = errInterlock
	}
	return p
}

// announced is a drain of a node that is announced, and to which a
// connection comes every interval.
func announced(every time.Duration) (*drain, *fakeRoutes, *sent) {
	start := time.Now()
	routes, front := &fakeRoutes{start: start}, &sent{}
	return &drain{
		log: zap.NewNop(), front: front, sessions: sessions.New(limits.Default(), nil, nil), state: func(affinity.State) {}, routes: routes,
		accepted: func() uint64 { return uint64(time.Since(start) / every) },
	}, routes, front
}

// TestDrainOfAnAnnouncedNode: routers first, then clients, then the routes,
// and all of it back.
func TestDrainOfAnAnnouncedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, routes, front := announced(time.Hour)
		if err := d.begin(drainOrder{Deadline: time.Minute, Converge: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if front.away || d.at() != pop.PhaseConverging || routes.Current().Floor != bgp.Gshut {
			t.Errorf("at the start: clients away %v, %s, %s", front.away, d.at(), routes.Current().Floor)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if !front.away || d.at() != pop.PhaseWithdrawn {
			t.Errorf("nobody new came: clients away %v, %s", front.away, d.at())
		}
		if err := d.end(); err != nil || front.away {
			t.Errorf("undrain: %v, clients away %v", err, front.away)
		}
		if want := []string{"0s gshut", "2s withdrawn", "3s normal"}; !slices.Equal(routes.said, want) {
			t.Errorf("announced %q, want %q", routes.said, want)
		}
		d.finish()
	})
}

// TestDrainWhoseClientsKeepComing goes on after a while.
func TestDrainWhoseClientsKeepComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, routes, _ := announced(time.Millisecond)
		if err := d.begin(drainOrder{Deadline: time.Hour, Converge: 30 * time.Second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := d.end(); err != nil {
			t.Error(err)
		}
		if want := []string{"0s gshut", "30s withdrawn", "1m0s normal"}; !slices.Equal(routes.said, want) {
			t.Errorf("announced %q, want %q", routes.said, want)
		}
		d.finish()
	})
}

// TestInterlocksAndDrains: one that refuses the first step ends the drain;
// one that refuses the last step is waited for.
func TestInterlocksAndDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, routes, front := announced(time.Hour)
		routes.refuse(bgp.Gshut)
		err := d.begin(drainOrder{Deadline: time.Minute, Converge: time.Second})
		if _, _, on := d.drains(); on || !errors.Is(err, pop.ErrRefused) || len(routes.said) > 0 {
			t.Errorf("drains %v, %v, %q", on, err, routes.said)
		}
		routes.refuse(bgp.Withdrawn)
		if err := d.begin(drainOrder{Deadline: time.Minute, Converge: time.Second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10500 * time.Millisecond)
		if d.at() != pop.PhaseLeaving || !front.away {
			t.Errorf("%s, clients away %v", d.at(), front.away)
		}
		routes.refuse(0)
		time.Sleep(time.Second)
		if d.at() != pop.PhaseWithdrawn {
			t.Errorf("%s", d.at())
		}
		d.finish()
		d.walking.Wait()
	})
}

// TestNodeThatWasNotTold: who publishes learns that a node of the view was
// not reached.
func TestNodeThatWasNotTold(t *testing.T) {
	member := func(id affinity.NodeID, state affinity.State) affinity.Member {
		return affinity.Member{Node: affinity.Node{ID: id, Name: string('a' + rune(id))}, L4: state, L7: state, Peer: netip.MustParseAddrPort("127.0.0.1:1")}
	}
	for _, tc := range []struct {
		state affinity.State
		told  bool
	}{{affinity.Active, false}, {affinity.Joining, false}, {affinity.Gone, true}} {
		p := &popPart{self: member(1, affinity.Active), node: &Node{conf: &configs.Node{Limits: limits.Default()}, log: zap.NewNop()}}
		p.register(prometheus.NewRegistry())
		p.peers = relay.New(relay.Config{Self: 1, Client: func(affinity.NodeID) *tls.Config { return nil }, Limits: limits.Default(), Log: zap.NewNop()})
		if err := p.publish(affinity.View{Members: []affinity.Member{p.self, member(2, tc.state)}}); err != nil {
			t.Fatal(err)
		}
		if err := (sharing{&Node{pop: p}}).Publish(context.Background(), "certificate", "a.example", nil); (err == nil) != tc.told {
			t.Errorf("the other node is %v: %v", tc.state, err)
		}
	}
}
