package node

import (
	"context"
	"crypto/tls"
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
	"github.com/landfall-cdn/landfall/configs"
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
		d.begin(time.Minute)
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
		d.begin(time.Hour)
		step(affinity.Draining)
		if err := d.end(); err != nil || front.away {
			t.Errorf("undrain: %v, clients are sent away: %v", err, front.away)
		}
		step(affinity.Active)
		time.Sleep(2 * time.Hour)
		step()
		d.stop()
		if err := d.end(); err == nil {
			t.Error("a node that stops was taken back")
		}
		step(affinity.Draining)
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
