package bgp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSpeaker notes what it is asked to do, with the time since its
// making.
type fakeSpeaker struct {
	// Static after newFakeSpeaker.
	applies bool          // desired states are applied
	fails   error         // what Run returns, at once
	end     chan struct{} // closed to end Run by itself
	start   time.Time

	// Guarded by mu.
	mu  sync.Mutex
	log []string
}

func newFakeSpeaker() *fakeSpeaker {
	return &fakeSpeaker{applies: true, end: make(chan struct{}), start: time.Now()}
}

func (f *fakeSpeaker) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, fmt.Sprintf("%v ", time.Since(f.start))+fmt.Sprintf(format, args...))
}

func (f *fakeSpeaker) Run(ctx context.Context) error {
	if f.fails != nil {
		return f.fails
	}
	select {
	case <-ctx.Done():
	case <-f.end:
	}
	f.note("speaker stopped")
	return nil
}

func (f *fakeSpeaker) Apply(d Desired) error {
	f.note("apply %d: %d prefixes, %q", d.Generation, len(d.Announce), d.Message)
	return nil
}

func (f *fakeSpeaker) Applied(ctx context.Context, _ uint64) error {
	if !f.applies {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (f *fakeSpeaker) Status() Status { return Status{} }

func (f *fakeSpeaker) check(t *testing.T, want ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.log, want) {
		t.Errorf("speaker saw\n%q, want\n%q", f.log, want)
	}
}

func announcer(t *testing.T, f *fakeSpeaker, ready <-chan struct{}) *Announcer {
	t.Helper()
	a, err := NewAnnouncer(AnnouncerConfig{BGP: valid(), Speaker: f, Ready: ready})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnnouncesWhenReadyAndWithdrawsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ready := make(chan struct{})
		time.AfterFunc(10*time.Second, func() { close(ready) })
		started := false
		a := announcer(t, f, ready)
		if err := a.Run(ctx, func() { started = true }); err != nil {
			t.Error(err)
		}
		if !started {
			t.Error("ready was not called")
		}
		f.check(t,
			`10s apply 1: 2 prefixes, ""`,
			`1m0s apply 2: 0 prefixes, "node is shutting down"`,
			`1m1s speaker stopped`)
	})
}

func TestWithdrawalThatIsNotConfirmedEndsTheSpeaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		f.applies = false
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a := announcer(t, f, nil)
		if err := a.Run(ctx, func() {}); err != nil {
			t.Error(err)
		}
		f.check(t,
			`0s apply 1: 2 prefixes, ""`,
			`1m0s apply 2: 0 prefixes, "node is shutting down"`,
			`1m2s speaker stopped`)
		if total := time.Since(f.start); total != 63*time.Second {
			t.Errorf("returned after %v, want 1m3s: traffic needs time to move", total)
		}
		if limit := a.StopLimit(); limit < 3*time.Second {
			t.Errorf("stop limit %v is shorter than this stop", limit)
		}
	})
}

func TestStoppedBeforeReadyAnnouncesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := announcer(t, f, make(chan struct{})).Run(ctx, func() {}); err != nil {
			t.Error(err)
		}
		f.check(t, `1s speaker stopped`)
	})
}

func TestSpeakerThatCannotWorkIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		f.fails = errors.New("router is on no network")
		err := announcer(t, f, make(chan struct{})).Run(t.Context(), func() {})
		if !errors.Is(err, f.fails) {
			t.Errorf("error %v, want %v", err, f.fails)
		}
	})
}

func TestSpeakerThatStopsByItselfIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeaker()
		time.AfterFunc(time.Second, func() { close(f.end) })
		if err := announcer(t, f, nil).Run(t.Context(), func() {}); err == nil {
			t.Error("no error")
		}
	})
}
