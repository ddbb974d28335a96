package speaker

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

func testDocket(n int) *docket {
	var peers []bgp.PeerConfig
	for i := range n {
		peers = append(peers, bgp.PeerConfig{Address: netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i+1))})
	}
	return newDocket(peers, quarantineFirst)
}

// established returns what is seen of n peers with a session since then.
func established(n int, since time.Time) []bgp.PeerStatus {
	out := make([]bgp.PeerStatus, n)
	for i := range out {
		out[i] = bgp.PeerStatus{State: bgp.Established, Since: since}
	}
	return out
}

func TestWhoIsToBlame(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, tc := range []struct {
		name   string
		change func(seen []bgp.PeerStatus)
		before func(*docket)
		want   int
	}{
		{name: "the one that sends", change: func(seen []bgp.PeerStatus) { seen[2].Updates = 40 }, want: 2},
		{name: "the end of no routes is polite", change: func(seen []bgp.PeerStatus) { seen[2].Updates, seen[1].State = 2, bgp.Active }, want: 1},
		{name: "the one whose session comes up", change: func(seen []bgp.PeerStatus) { seen[1].State, seen[0].State = bgp.OpenConfirm, bgp.Active }, want: 1},
		{name: "the one without a session", change: func(seen []bgp.PeerStatus) { seen[2].State = bgp.Idle }, want: 2},
		{name: "the youngest session", change: func(seen []bgp.PeerStatus) { seen[1].Since = now.Add(-time.Minute) }, want: 1},
		{name: "the one that was to blame before", before: func(d *docket) { d.suspects[2].times = 1 }, want: 2},
		{
			name: "the one that is just back", change: func(seen []bgp.PeerStatus) { seen[2].Updates = 40 },
			before: func(d *docket) { d.suspects[0].back = now.Add(-probation / 2) }, want: 0,
		},
	} {
		d, seen := testDocket(3), established(3, now.Add(-time.Hour))
		if tc.change != nil {
			tc.change(seen)
		}
		d.crashes = []time.Time{now.Add(-2 * time.Second), now.Add(-time.Second)}
		if tc.before != nil {
			tc.before(d)
		}
		if got := d.crash(now, seen); got != tc.want {
			t.Errorf("%s: peer %d is to blame, want %d", tc.name, got, tc.want)
		}
	}
}

func TestSomeCrashesAreNobodysFault(t *testing.T) {
	now, d := time.Unix(1e9, 0), testDocket(2)
	for i, want := range []int{-1, -1, 0, 1, -1} {
		if got := d.crash(now.Add(time.Duration(i)*time.Second), established(2, now)); got != want {
			t.Errorf("crash %d: %d, want %d", i+1, got, want)
		}
	}
	d = testDocket(2)
	for i := range 10 {
		if got := d.crash(now.Add(time.Duration(i)*crashWindow/2), established(2, now)); got != -1 {
			t.Errorf("rare crash %d: %d is to blame", i+1, got)
		}
	}
	for range 10 {
		if got := d.crash(now, nil); got != -1 {
			t.Errorf("a speaker that did not start: %d is to blame", got)
		}
	}
}

// TestTheGuiltyIsFound has a router end every speaker it has a session
// with, without a trace. All others have to be in service after a while,
// and its quarantines have to become rare.
func TestTheGuiltyIsFound(t *testing.T) {
	for guilty := range bgp.MaxPeers {
		now, d := time.Unix(1e9, 0), testDocket(bgp.MaxPeers)
		start, crashes := now, 0
		var last time.Time
		for now.Sub(start) < 6*time.Hour {
			now = now.Add(2 * time.Second)
			d.release(now)
			if d.suspects[guilty].until.IsZero() {
				d.crash(now, established(bgp.MaxPeers, now.Add(-time.Second)))
				crashes, last = crashes+1, now
			}
			if without := d.without(); now.Sub(start) > time.Hour && (len(without) > 1 || len(without) == 1 && without[0] != d.suspects[guilty].address) {
				t.Fatalf("guilty %d: %v are in quarantine after %v", guilty, without, now.Sub(start))
			}
		}
		if most := crashesFree + bgp.MaxPeers + 12; crashes > most {
			t.Errorf("guilty %d: %d crashes, the last after %v; want at most %d", guilty, crashes, last.Sub(start), most)
		}
	}
}

func TestQuarantineGrowsAndIsForgotten(t *testing.T) {
	now, d := time.Unix(1e9, 0), testDocket(2)
	d.crashes = []time.Time{now, now}
	for want := quarantineFirst; want <= 2*quarantineMax; want *= 2 {
		seen := established(2, now)
		seen[0].Updates = 100
		if got := d.crash(now, seen); got != 0 {
			t.Fatalf("%d is to blame", got)
		}
		if got := d.suspects[0].until.Sub(now); got != min(want, quarantineMax) {
			t.Errorf("quarantine of %v, want %v", got, min(want, quarantineMax))
		}
		if got := d.release(d.suspects[0].until.Add(-1)); got != -1 {
			t.Error("it is back too early")
		}
		now = d.suspects[0].until
		if got := d.release(now); got != 0 {
			t.Error("it is not back")
		}
	}
	d.release(now.Add(crashWindow))
	if d.suspects[0].times != 0 {
		t.Errorf("%d times are remembered after good conduct", d.suspects[0].times)
	}
}

func TestPeersComeBackOneAtATime(t *testing.T) {
	now, d := time.Unix(1e9, 0), testDocket(3)
	for i := range d.suspects {
		d.suspects[i].until, d.suspects[i].times = now, 1
	}
	var back []time.Duration
	for at := time.Duration(0); at < 5*probation; at += time.Second {
		if d.release(now.Add(at)) >= 0 {
			back = append(back, at)
		}
	}
	if want := []time.Duration{0, probation, 2 * probation}; !slices.Equal(back, want) {
		t.Errorf("back after %v, want %v", back, want)
	}
}

func TestSpeakerDoesWithoutAPeerInQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.announce(t, 1)
		for range crashesFree + 1 {
			_, p := b.last()
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
		}
		r, _ := b.last()
		s := b.client.Status()
		if len(r.sessions()) != 0 || s.Peers[0].Quarantine.IsZero() || s.Peers[0].Quarantines != 1 || len(s.Problems()) != 1 {
			t.Errorf("sessions %v, status %+v, problems %q; want the peer in quarantine", r.sessions(), s, s.Problems())
		}
		pass(quarantineFirst)
		s = b.client.Status()
		if len(r.sessions()) != 1 || !s.Peers[0].Quarantine.IsZero() || s.Peers[0].Quarantines != 1 || len(s.Problems()) != 0 {
			t.Errorf("sessions %v, status %+v, problems %q; want the peer back in the same speaker", r.sessions(), s, s.Problems())
		}
	})
}
