package ladder

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// ranger walks a State through time, one second a step, as the announcer
// does when no interlock is in the way.
type ranger struct {
	state State
	rules Rules
	now   time.Time
	order Order
	last  Decision
	rungs []bgp.Rung // after each second
}

func newRanger() *ranger {
	return &ranger{state: Start(noon), rules: DefaultRules(), now: noon}
}

func (r *ranger) second(results ...Result) {
	r.now = r.now.Add(time.Second)
	r.state = r.state.Watch(results, r.now)
	r.last = r.state.Decide(Input{Now: r.now, Results: results, Order: r.order}, r.rules)
	r.state = r.state.After(r.last, r.now, r.rules)
	r.rungs = append(r.rungs, r.state.Rung)
}

func (r *ranger) seconds(n int, results ...Result) {
	for range n {
		r.second(results...)
	}
}

// result is a check of a class that passes or fails.
func result(c Class, failing bool) Result {
	return Result{Name: c.String(), Class: c, Failing: failing, Suspect: failing, Known: true}
}

func (r *ranger) want(t *testing.T, rung bgp.Rung, when string) {
	t.Helper()
	if r.state.Rung != rung {
		t.Errorf("%s: %s, want %s; held: %q", when, r.state.Rung, rung, r.last.Held)
	}
}

func TestStartsOnceLookedAt(t *testing.T) {
	r := newRanger()
	r.second(Result{Class: SelfHard})
	r.want(t, bgp.Withdrawn, "before the first answer")
	r.second(result(SelfHard, false))
	r.want(t, bgp.Normal, "after it")
}

func TestReturnIsEarned(t *testing.T) {
	good, bad := result(SelfHard, false), result(SelfHard, true)
	r := newRanger()
	r.second(good)
	for fall, hold := range []int{10, 20, 40} {
		r.second(bad)
		r.want(t, bgp.Withdrawn, "ill")
		r.seconds(hold, good)
		r.want(t, bgp.Withdrawn, "well, but not for long")
		r.second(good)
		if r.want(t, bgp.Normal, "well for long"); t.Failed() {
			t.Fatalf("fall %d", fall)
		}
	}
	r.second(bad)
	r.seconds(300, good)
	r.want(t, bgp.Withdrawn, "the budget of falls is spent")
	if !strings.Contains(r.last.Held, "fell 4 times") {
		t.Errorf("held: %q", r.last.Held)
	}
	r.seconds(600, good)
	r.want(t, bgp.Normal, "the window has moved on")
}

func TestPardon(t *testing.T) {
	good, bad := result(SelfHard, false), result(SelfHard, true)
	r := newRanger()
	r.second(good)
	r.seconds(5, bad)
	r.second(good)
	r.want(t, bgp.Withdrawn, "held")
	r.state = r.state.Pardon()
	r.second(good)
	r.want(t, bgp.Normal, "an operator has looked")
}

func TestOperatorMovesAtOnce(t *testing.T) {
	good := result(SelfHard, false)
	r := newRanger()
	r.second(good)
	for _, floor := range []bgp.Rung{bgp.Deprefer, bgp.Gshut, bgp.Withdrawn, bgp.Gshut, bgp.Normal, bgp.Withdrawn, bgp.Normal} {
		r.order.Floor = floor
		r.second(good)
		r.want(t, floor, "ordered")
	}
}

func TestSoftChecksDeprefer(t *testing.T) {
	for class, want := range map[Class]bgp.Rung{SelfSoft: bgp.Deprefer, Pop: bgp.Deprefer, Shared: bgp.Normal} {
		r := newRanger()
		r.second(result(SelfHard, false))
		r.second(result(SelfHard, false), result(class, true))
		r.want(t, want, class.String())
	}
}

// TestHalfWell: a node that serves again but is not well comes back as far
// as it may.
func TestHalfWell(t *testing.T) {
	r := newRanger()
	r.second(result(SelfHard, false))
	r.second(result(SelfHard, true))
	r.seconds(30, result(SelfHard, false), result(SelfSoft, true))
	r.want(t, bgp.Deprefer, "soft check still fails")
}

func TestPurgesBeforeReturn(t *testing.T) {
	r := newRanger()
	in := Input{Now: noon, Results: []Result{result(SelfHard, false)}, Return: []Refusal{{PurgeCursorFresh, "behind"}}}
	r.state = r.state.Watch(in.Results, noon)
	if d := r.state.Decide(in, r.rules); d.To != bgp.Withdrawn || !strings.Contains(d.Held, "purge-cursor-fresh") {
		t.Errorf("%+v", d)
	}
}

// TestHistories: over random histories no check of a shared thing moves
// anything, only hard checks withdraw, and nobody falls more often than the
// budget within a window, by checks.
func TestHistories(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := newRanger()
		failing := [numClasses]bool{}
		var falls []time.Time
		for range 2000 {
			if c := rng.IntN(int(numClasses)); rng.IntN(10) == 0 {
				failing[c] = !failing[c]
			}
			if rng.IntN(200) == 0 {
				r.order.Floor = bgp.Rung(rng.IntN(int(bgp.Withdrawn) + 1))
			}
			before, floor := r.state.Rung, r.order.Floor
			r.second(result(SelfHard, failing[SelfHard]), result(SelfSoft, failing[SelfSoft]), result(Pop, failing[Pop]), result(Shared, failing[Shared]))
			after := r.state.Rung
			if after > before && after == bgp.Withdrawn && floor != bgp.Withdrawn && !failing[SelfHard] {
				t.Fatalf("seed %d: withdrawn without a hard check that fails", seed)
			}
			if after > before && floor == bgp.Normal && !failing[SelfHard] && !failing[SelfSoft] && !failing[Pop] {
				t.Fatalf("seed %d: moved although nothing but a shared check may fail", seed)
			}
			if after > before && after > floor {
				falls = append(recent(falls, r.now, r.rules.FlapWindow), r.now)
			}
			// From Normal over Deprefer to Withdrawn is two falls of one going.
			if most := 2 * (r.rules.FlapBudget + 1); len(falls) > most {
				t.Fatalf("seed %d: %d falls within %v, at most %d", seed, len(falls), r.rules.FlapWindow, most)
			}
		}
	}
}
