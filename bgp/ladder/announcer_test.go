package ladder

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func alone(t *testing.T, f *fakeSpeaker, ready <-chan struct{}) *Announcer {
	t.Helper()
	a, err := New(Config{BGP: testBGP(), Speaker: f, Node: 1, Name: "fra-1", Pop: "fra", Ready: ready, Rules: DefaultRules()})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// check compares what the speaker was told, with times.
func (f *fakeSpeaker) check(t *testing.T, want ...string) {
	t.Helper()
	if got := f.seen(); !slices.Equal(got, want) {
		t.Errorf("speaker saw\n%q, want\n%q", got, want)
	}
}

func TestAnnouncesWhenReadyAndWithdrawsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ready := make(chan struct{})
		time.AfterFunc(10*time.Second, func() { close(ready) })
		started := false
		if err := alone(t, f, ready).Run(ctx, func() { started = true }); err != nil {
			t.Error(err)
		}
		if !started {
			t.Error("ready was not called")
		}
		f.check(t,
			`10s normal, 1 prefixes, ""`,
			`1m0s gshut, 1 prefixes, "node is shutting down"`,
			`1m1s withdrawn, 0 prefixes, "node is shutting down"`,
			`1m2s speaker stopped`)
	})
}

func TestWithdrawalThatIsNotConfirmedEndsTheSpeaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		f.applies = false
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a := alone(t, f, nil)
		if err := a.Run(ctx, func() {}); err != nil {
			t.Error(err)
		}
		f.check(t,
			`0s normal, 1 prefixes, ""`,
			`1m0s gshut, 1 prefixes, "node is shutting down"`,
			`1m1s withdrawn, 0 prefixes, "node is shutting down"`,
			`1m3s speaker stopped`)
		if total := time.Since(f.start); total != 64*time.Second {
			t.Errorf("returned after %v, want 1m4s: traffic needs time to move", total)
		}
		if limit := a.StopLimit(); limit < 4*time.Second {
			t.Errorf("stop limit %v is shorter than this stop", limit)
		}
	})
}

func TestStoppedBeforeReadyAnnouncesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := alone(t, f, make(chan struct{})).Run(ctx, func() {}); err != nil {
			t.Error(err)
		}
		f.check(t, `1s withdrawn, 0 prefixes, "node is shutting down"`, `2s speaker stopped`)
	})
}

func TestSpeakerThatCannotWorkIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		f.fails = errors.New("router is on no network")
		err := alone(t, f, make(chan struct{})).Run(t.Context(), func() {})
		if !errors.Is(err, f.fails) {
			t.Errorf("error %v, want %v", err, f.fails)
		}
	})
}

func TestSpeakerThatStopsByItselfIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		time.AfterFunc(time.Second, func() { close(f.end) })
		if err := alone(t, f, nil).Run(t.Context(), func() {}); err == nil {
			t.Error("no error")
		}
	})
}

// TestOrderOutlivesTheProcess: what an operator wanted is kept, and holds
// from the start of the next life.
func TestOrderOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept Order
		run := func(order func(a *Announcer)) *fakeSpeaker {
			f := newFakeSpeaker()
			a, err := New(Config{
				BGP: testBGP(), Speaker: f, Node: 1, Name: "fra-1", Pop: "fra", Rules: DefaultRules(),
				Order: kept, Keep: func(o Order) error { kept = o; return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(5*time.Second, func() { order(a); cancel() })
			if err := a.Run(ctx, func() {}); err != nil {
				t.Error(err)
			}
			return f
		}
		run(func(a *Announcer) {
			if err := a.Order(t.Context(), Order{Floor: 1, Prepend: 3, Reason: "a fibre is cut"}, nil); err != nil {
				t.Error(err)
			}
		})
		if kept.Floor != 1 || kept.Prepend != 3 {
			t.Errorf("kept %+v", kept)
		}
		f := run(func(*Announcer) {})
		if got := f.seen()[0]; got != `0s deprefer, 1 prefixes, ""` {
			t.Errorf("starts with %q", got)
		}
		if err := alone(t, newFakeSpeaker(), nil).Order(t.Context(), Order{Prepend: 11}, nil); err == nil {
			t.Error("eleven times the own number is accepted")
		}
	})
}

// TestLastAnnouncerWithoutASpeaker: a speaker that starts anew announces
// nothing for a moment, in which the last announcer must not step down.
func TestLastAnnouncerWithoutASpeaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		f.applies = false
		a := alone(t, f, nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx, func() {}) }()
		time.Sleep(time.Minute)
		var refused Refused
		if err := a.Order(t.Context(), Order{Floor: 3}, nil); !errors.As(err, &refused) || refused[0].Interlock != LastAnnouncer {
			t.Errorf("refused by %v", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestLoopThatHangsLosesTheLease: the lease hangs on the loop that decides.
func TestLoopThatHangsLosesTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := alone(t, newFakeSpeaker(), nil)
		if !a.Alive() {
			t.Error("dead before it runs")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx, func() {}) }()
		time.Sleep(time.Hour)
		if !a.Alive() {
			t.Error("dead while it runs")
		}
		cancel()
		<-ended
		time.Sleep(time.Minute)
		if a.Alive() {
			t.Error("alive although nothing runs")
		}
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := Config{BGP: testBGP(), Speaker: newFakeSpeaker(), Registerer: reg, Checks: []Check{{Name: "vip", Run: func() error { return nil }}}}
	if _, err := New(cfg); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"landfall_announce_rung", "landfall_check_failing", "landfall_interlock_holding"} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n == 0 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if _, err := New(cfg); err == nil {
		t.Error("a second announcer on the same registry was accepted")
	}
}
