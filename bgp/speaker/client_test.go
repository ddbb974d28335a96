package speaker

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

func TestAnnounceChangeWithdraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.announce(t, 1)
		r, _ := b.last()
		if n, _ := r.count(); n != 2 {
			t.Errorf("%d prefixes are announced, want 2", n)
		}
		pass(time.Minute)
		if _, changes := r.count(); changes != 2 {
			t.Errorf("%d changes, want 2: beats alone change nothing", changes)
		}

		vip, attrs := prefix("192.0.2.0/24"), bgp.Attrs{MED: new(uint32(50))}
		b.apply(t, bgp.Desired{Generation: 2, Announce: map[netip.Prefix]bgp.Attrs{vip: attrs}})
		if got := r.view(); len(got) != 1 || !got[vip].Equal(attrs) {
			t.Errorf("announced %v, want %v with %v alone", got, vip, attrs)
		}

		b.apply(t, bgp.Desired{Generation: 3, Message: "bye"})
		if n, _ := r.count(); n != 0 {
			t.Errorf("%d prefixes are still announced", n)
		}
		if stopped, _ := r.end(); stopped {
			t.Error("a withdrawal ended the sessions")
		}
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		if stopped, message := r.end(); !stopped || message != "bye" {
			t.Errorf("stopped %v with %q, want the message of the last state", stopped, message)
		}
	})
}

func TestStatusFollowsTheSpeaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.announce(t, 7)
		s := b.client.Status()
		if s.WantedGeneration != 7 || s.AppliedGeneration != 7 || s.Announced != 2 || s.PID != 1 ||
			len(s.Peers) != 1 || s.Peers[0].State != bgp.Established || time.Since(s.Beat) > beatEvery {
			t.Errorf("in service: %+v", s)
		}
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		s = b.client.Status()
		if s.AppliedGeneration != 0 || s.Announced != 0 || s.PID != 0 || len(s.Peers) != 1 || s.Peers[0].State != bgp.Idle {
			t.Errorf("stopped: %+v", s)
		}
	})
}

func TestApplyRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.announce(t, 5)
		if err := b.client.Apply(bgp.Desired{Generation: 5}); err == nil {
			t.Error("a generation that is not newer was accepted")
		}
		foreign := map[netip.Prefix]bgp.Attrs{prefix("203.0.113.0/24"): {}}
		if err := b.client.Apply(bgp.Desired{Generation: 6, Announce: foreign}); err == nil {
			t.Error("a prefix that is not the node's was accepted")
		}
		pass(time.Minute)
		r, _ := b.last()
		if n, _ := r.count(); n != 2 {
			t.Errorf("%d prefixes are announced, want 2", n)
		}
	})
}

func TestDeadDataPlaneLosesItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.announce(t, 1)
		r, _ := b.last()
		pass(beatEvery / 2) // between two beats
		b.setDead(true)
		pass(leaseTime - beatEvery)
		if n, _ := r.count(); n != 2 {
			t.Errorf("%d prefixes are announced within the lease, want 2", n)
		}
		pass(beatEvery)
		if n, _ := r.count(); n != 0 {
			t.Errorf("%d prefixes are announced without a lease", n)
		}
		pass(time.Minute)
		if s := b.client.Status(); s.AppliedGeneration != 0 || s.LeasesLost != 1 || s.Restarts != 0 {
			t.Errorf("status %+v, want nothing applied, one lease lost, no restart", s)
		}
		b.setDead(false)
		pass(beatEvery)
		if n, _ := r.count(); n != 2 {
			t.Errorf("%d prefixes are announced with the lease renewed, want 2", n)
		}
		if s := b.client.Status(); s.AppliedGeneration != 1 || s.LeasesLost != 1 {
			t.Errorf("status %+v, want generation 1 applied again", s)
		}
	})
}

func TestCrashedSpeakerComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.announce(t, 1)
		_, p := b.last()
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := b.client.Status(); s.AppliedGeneration != 0 || s.PID != 0 {
			t.Errorf("status %+v, want no speaker", s)
		}
		pass(restartFirst * 5 / 4)
		r, _ := b.last()
		if n, _ := r.count(); n != 2 {
			t.Errorf("the new speaker announces %d prefixes, want 2", n)
		}
		if s := b.client.Status(); s.Restarts != 1 || s.AppliedGeneration != 1 {
			t.Errorf("status %+v, want it applied after 1 restart", s)
		}
	})
}

func TestHangingSpeakerIsKilled(t *testing.T) {
	for _, c := range []struct {
		name   string
		orders uint64 // before the one that it hangs in
		limit  time.Duration
	}{
		{"in its first order", 0, startLimit},
		{"in a later one", 1, applyLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				b := newBench(t, func(n int, r *fakeRouter) error {
					if n == 0 {
						r.hang, r.obeys = make(chan struct{}), int(c.orders)*len(cfg.VIPs)
					}
					return nil
				})
				pass(time.Minute)
				for generation := range c.orders {
					b.announce(t, generation+1)
				}
				start := time.Now()
				b.apply(t, bgp.Desired{Generation: c.orders + 1, Rung: bgp.Deprefer, Announce: cfg.Announcement(bgp.Deprefer, bgp.Attrs{})})
				// The limit, a beat to notice, and the first delay at its longest.
				if took, most := time.Since(start), c.limit+2*beatEvery+restartFirst*5/4; took < c.limit || took > most {
					t.Errorf("applied after %v, want within %v and %v", took, c.limit, most)
				}
				if s := b.client.Status(); s.Restarts != 1 {
					t.Errorf("%d restarts, want 1", s.Restarts)
				}
			})
		})
	}
}

func TestSpeakerThatDoesNotObeyIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(n int, r *fakeRouter) error {
			if n == 0 {
				r.announces = errors.New("table is full")
			}
			return nil
		})
		pass(time.Minute)
		b.announce(t, 1)
		if s := b.client.Status(); s.Restarts != 1 {
			t.Errorf("%d restarts, want 1", s.Restarts)
		}
	})
}

func TestCrashLoopEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(int, *fakeRouter) error { return errors.New("no such file") })
		pass(time.Hour)
		starts := b.startTimes()
		if len(starts) != crashesMax+1 {
			t.Fatalf("%d starts, want %d", len(starts), crashesMax+1)
		}
		for i, want := 1, restartFirst; i < len(starts); i, want = i+1, want*2 {
			if gap := starts[i].Sub(starts[i-1]); gap < want*3/4 || gap > want*5/4 {
				t.Errorf("start %d after %v, want %v and a quarter either way", i, gap, want)
			}
		}
		s := b.client.Status()
		if !strings.Contains(s.Down, "no such file") || s.Restarts != crashesMax {
			t.Errorf("status %+v, want it down with the reason", s)
		}
		if err := b.client.Apply(bgp.Desired{Generation: 1}); err != nil {
			t.Fatal(err)
		}
		if err := b.client.Applied(t.Context(), 1); !errors.Is(err, errDown) {
			t.Errorf("waiting for it: %v, want %v", err, errDown)
		}
	})
}

func TestRareCrashesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.announce(t, 1)
		for range 3 * crashesMax {
			pass(crashWindow / crashesMax)
			_, p := b.last()
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			pass(restartMax * 2)
		}
		if s := b.client.Status(); s.Down != "" || s.AppliedGeneration != 1 || s.Restarts != 3*crashesMax {
			t.Errorf("status %+v, want it announcing", s)
		}
	})
}

func TestRefusalIsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(_ int, r *fakeRouter) error {
			r.startErr = &refusedError{"no MD5"}
			return nil
		})
		pass(time.Hour)
		if s := b.client.Status(); !strings.Contains(s.Down, "no MD5") {
			t.Errorf("status %+v, want it down with the reason", s)
		}
		if n := len(b.startTimes()); n != 1 {
			t.Errorf("%d starts, want 1", n)
		}
		r, _ := b.last()
		if n, _ := r.count(); n != 0 {
			t.Errorf("%d prefixes are announced", n)
		}
	})
}

func TestRunRefusesAPeerThatIsNotOnLink(t *testing.T) {
	c, err := NewClient(ClientConfig{BGP: config(), Links: func() ([]netip.Prefix, error) {
		return []netip.Prefix{prefix("127.0.0.1/8")}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "10.0.0.1 is on no network") {
		t.Errorf("error %v, want the peer named", err)
	}
}

func TestBackoff(t *testing.T) {
	now := time.Now()
	ago := func(ages ...time.Duration) (out []time.Time) {
		for _, age := range ages {
			out = append(out, now.Add(-age))
		}
		return out
	}
	for _, tc := range []struct {
		name    string
		crashes []time.Time
		spread  float64
		want    time.Duration
		down    bool
	}{
		{name: "none", want: 0},
		{name: "first", crashes: ago(0), spread: 0.5, want: 100 * time.Millisecond},
		{name: "first, early", crashes: ago(0), spread: 0, want: 75 * time.Millisecond},
		{name: "first, late", crashes: ago(0), spread: 1, want: 125 * time.Millisecond},
		{name: "third", crashes: ago(2*time.Second, time.Second, 0), spread: 0.5, want: 400 * time.Millisecond},
		{name: "old ones", crashes: ago(time.Hour, crashWindow, 0), spread: 0.5, want: 100 * time.Millisecond},
		{name: "fifth", crashes: ago(4, 3, 2, 1, 0), spread: 0.5, want: 1600 * time.Millisecond},
		{name: "sixth", crashes: ago(5, 4, 3, 2, 1, 0), down: true},
		{name: "sixth, the first is old", crashes: ago(crashWindow, 4, 3, 2, 1, 0), spread: 0.5, want: 1600 * time.Millisecond},
	} {
		got, again := backoff(tc.crashes, tc.spread)
		if got != tc.want || again == tc.down {
			t.Errorf("%s: %v, again %v; want %v, %v", tc.name, got, again, tc.want, !tc.down)
		}
	}
}
