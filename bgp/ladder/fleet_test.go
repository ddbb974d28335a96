package ladder

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// inWorld runs a test with a fleet that has been up for a while.
func inWorld(t *testing.T, pops []string, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 0, pops...)
		defer w.close()
		time.Sleep(5 * time.Second)
		if got := w.rungs(); strings.Trim(got, "n") != "" {
			t.Fatalf("at the start: %s", got)
		}
		test(t, w)
	})
}

func (w *world) want(rungs, when string) {
	w.t.Helper()
	if got := w.rungs(); got != rungs {
		w.t.Errorf("%s: %s, want %s", when, got, rungs)
	}
}

// TestAllFailAtOnce: every node fails the same check in one moment, and
// nothing moves.
func TestAllFailAtOnce(t *testing.T) {
	inWorld(t, []string{"a", "a", "a", "b", "b", "b"}, func(t *testing.T, w *world) {
		for _, n := range w.nodes {
			n.set("vip", true)
		}
		time.Sleep(10 * time.Minute)
		w.want("nnnnnn", "after ten minutes")
		if s := w.nodes[0].Status(); s.Wanted != bgp.Withdrawn || len(s.Refusals) == 0 || s.Refusals[0].Interlock != Panic {
			t.Errorf("wanted %s, refused by %v", s.Wanted, s.Refusals)
		}
		for _, n := range w.nodes {
			n.set("vip", false)
		}
		time.Sleep(time.Minute)
		w.want("nnnnnn", "well again")
	})
}

// TestOneFails: it withdraws, a second one within the budget's window does
// not, and the first one comes back when it is well.
func TestOneFails(t *testing.T) {
	inWorld(t, []string{"a", "a", "a", "b", "b", "b"}, func(t *testing.T, w *world) {
		w.nodes[1].set("vip", true)
		time.Sleep(10 * time.Second)
		w.want("nwnnnn", "one fails")
		w.nodes[3].set("vip", true)
		time.Sleep(10 * time.Second)
		w.want("nwndnn", "another one fails: only less preferred, as the budget is spent")
		w.nodes[1].set("vip", false)
		w.nodes[3].set("vip", false)
		time.Sleep(time.Minute)
		w.want("nnnnnn", "both well")
	})
}

func TestSharedFailureMovesNothing(t *testing.T) {
	inWorld(t, []string{"a", "a", "b"}, func(t *testing.T, w *world) {
		for _, n := range w.nodes {
			n.set("origin", true)
		}
		time.Sleep(time.Hour)
		w.want("nnn", "after an hour")
	})
}

// TestAllOrderedAway: operators at every node at once; somebody stays.
func TestAllOrderedAway(t *testing.T) {
	inWorld(t, []string{"a", "b", "c", "d"}, func(t *testing.T, w *world) {
		errs := make(chan error, len(w.nodes))
		for _, n := range w.nodes {
			go func() { errs <- n.Order(t.Context(), Order{Floor: bgp.Withdrawn}, nil) }()
		}
		refused := 0
		for range w.nodes {
			var r Refused
			if err := <-errs; errors.As(err, &r) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if left := strings.Count(w.rungs(), "n"); left != refused || left < 2 {
			t.Errorf("%s, %d refused", w.rungs(), refused)
		}
	})
}

// TestPopGoesAsAWhole: more than half of its nodes may, when the PoP does.
func TestPopGoesAsAWhole(t *testing.T) {
	inWorld(t, []string{"a", "a", "b", "b"}, func(t *testing.T, w *world) {
		order := func(node int, o Order) error { return w.nodes[node].Order(t.Context(), o, nil) }
		for i := range 2 {
			if err := order(i, Order{Floor: bgp.Gshut, Wide: true}); err != nil {
				t.Error(err)
			}
		}
		w.want("ggnn", "PoP a drains")
		if err := order(2, Order{Floor: bgp.Gshut, Wide: true}); err == nil {
			t.Error("the other PoP may go too")
		}
		for i := range 2 {
			if err := order(i, Order{}); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second)
		w.want("nnnn", "back")
	})
}

// TestOverride: an interlock that is overridden is none, for a while.
func TestOverride(t *testing.T) {
	inWorld(t, []string{"a"}, func(t *testing.T, w *world) {
		n := w.nodes[0]
		over := Override{LastAnnouncer, "the building is on fire", time.Now().Add(time.Minute)}
		both := []Override{over, {NoView, over.Reason, over.Until}}
		if err := n.Order(t.Context(), Order{Floor: bgp.Withdrawn}, nil); err == nil {
			t.Error("the last one may go")
		}
		if err := n.Order(t.Context(), Order{Floor: bgp.Withdrawn}, both); err != nil {
			t.Error(err)
		}
		w.want("w", "overridden")
		if err := n.Order(t.Context(), Order{}, nil); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		w.want("n", "taken back")
		if err := n.Order(t.Context(), Order{Floor: bgp.Withdrawn}, nil); err == nil {
			t.Error("the override holds for good")
		}
	})
}

// TestPartition: PoPs that cannot hear one another keep announcing, also
// when an operator wants them away.
func TestPartition(t *testing.T) {
	inWorld(t, []string{"a", "b"}, func(t *testing.T, w *world) {
		w.mu.Lock()
		w.cut[[2]uint8{1, 2}] = true
		w.mu.Unlock()
		time.Sleep(5 * time.Second)
		err := w.nodes[0].Order(t.Context(), Order{Floor: bgp.Gshut}, nil)
		var r Refused
		if !errors.As(err, &r) || !slices.ContainsFunc(r, func(r Refusal) bool { return r.Interlock == NoView }) {
			t.Errorf("refused by %v", err)
		}
		time.Sleep(time.Hour)
		w.want("nn", "after an hour")
	})
}

// TestFleets: over random failures, orders, losses and partitions, the last
// announcer never goes, a shared check moves nothing, and no node falls by
// itself more often than its budget.
func TestFleets(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed, int(seed%4), []string{"a", "a", "a", "b", "b", "b"}[:2+seed%5]...)
			defer w.close()
			time.Sleep(5 * time.Second)
			checks := []string{"vip", "vip", "load", "uplink", "origin"}
			for range 60 {
				n := w.nodes[w.intN(len(w.nodes))]
				switch w.intN(8) {
				case 0, 1, 2:
					n.set(checks[w.intN(len(checks))], true)
				case 3, 4, 5:
					n.set(checks[w.intN(len(checks))], false)
				case 6:
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
					_ = n.Order(ctx, Order{Floor: bgp.Rung(w.intN(4)), Wide: w.intN(2) == 0}, nil) // refused or not
					cancel()
				case 7:
					a, b := n.id, w.nodes[w.intN(len(w.nodes))].id
					cut := w.intN(2) == 0
					w.mu.Lock()
					w.cut[[2]uint8{min(a, b), max(a, b)}] = cut
					w.mu.Unlock()
				}
				for range 10 {
					time.Sleep(time.Duration(1+w.intN(1500)) * time.Millisecond)
					if got := w.rungs(); !strings.ContainsAny(got, "nd") {
						t.Errorf("seed %d: nobody serves: %s", seed, got)
						return
					}
				}
			}
			for _, n := range w.nodes {
				if n := falls(n.speaker.seen()); n > 0 && testing.Verbose() {
					t.Logf("seed %d: %d withdrawals of a node", seed, n)
				}
			}
		})
	}
}

func falls(seen []string) (n int) {
	for _, line := range seen {
		if strings.Contains(line, "withdrawn") {
			n++
		}
	}
	return n
}
