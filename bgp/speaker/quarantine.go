package speaker

import (
	"net/netip"
	"slices"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// A router can send what ends a speaker, and so take the announcements to
// all other routers along. After some crashes the next speaker does without
// one router, and without one more after each further crash, until it
// lives. They come back one at a time: a crash soon after names the one.
const (
	// crashesFree is how many crashes within crashWindow are nobody's.
	crashesFree = 2
	// quarantineFirst is how long the first quarantine of a peer lasts;
	// each further one lasts twice as long, up to quarantineMax.
	quarantineFirst = time.Minute
	quarantineMax   = time.Hour
	// probation is how long a peer that came back is to blame for a crash.
	// No other comes back meanwhile.
	probation = 30 * time.Second
	// politeUpdates is how many UPDATE messages a router may send that has
	// no routes to send: one marks the end of none (RFC 4724 section 2).
	politeUpdates = 2
)

// docket says which peers a speaker has to do without. It decides and does
// nothing. Owned by Client.Run.
type docket struct {
	first    time.Duration // of a quarantine
	suspects []suspect     // in the order of the peers
	crashes  []time.Time   // within crashWindow
}

// suspect is one peer.
type suspect struct {
	address netip.Addr
	until   time.Time // zero: not in quarantine
	back    time.Time // when the last quarantine ended; zero: none did
	times   int       // of quarantine; forgotten after crashWindow without
}

func newDocket(peers []bgp.PeerConfig, first time.Duration) *docket {
	d := &docket{first: first}
	for _, p := range peers {
		d.suspects = append(d.suspects, suspect{address: p.Address})
	}
	return d
}

// crash notes that a speaker ended, and decides who is to blame. seen is
// what its last report said of the peers, empty if it made none: then no
// session was open. -1 is nobody; otherwise the peer is in quarantine from
// now on.
func (d *docket) crash(now time.Time, seen []bgp.PeerStatus) int {
	d.crashes = slices.DeleteFunc(append(d.crashes, now), func(at time.Time) bool { return now.Sub(at) >= crashWindow })
	if len(seen) == 0 {
		return -1
	}
	best := -1
	for i := range d.suspects {
		s := &d.suspects[i]
		if !s.until.IsZero() {
			s.times = max(s.times-1, 0) // it was somebody else this time
			continue
		}
		if best < 0 || d.compare(now, seen, i, best) > 0 {
			best = i
		}
	}
	if best < 0 || len(d.crashes) <= crashesFree && !d.suspects[best].onProbation(now) {
		return -1
	}
	s := &d.suspects[best]
	s.until = now.Add(min(d.first<<min(s.times, 16), quarantineMax))
	s.times++
	return best
}

// compare orders two peers by how much speaks against them: just back from
// quarantine, then sends what it has no reason to, then was in quarantine
// before, then has no session or the younger one. What ends a speaker may
// come as a session comes up, before any report of it; and to do without a
// router that had none costs nothing.
func (d *docket) compare(now time.Time, seen []bgp.PeerStatus, a, b int) int {
	against := func(i int) [4]int64 {
		s, p := d.suspects[i], seen[i]
		youth := now.Unix() // in a session that is no more than being opened
		switch {
		case p.State < bgp.OpenSent:
			youth--
		case p.State == bgp.Established:
			youth = min(p.Since.Unix(), youth-2)
		}
		noise := p.Updates
		if noise <= politeUpdates {
			noise = 0
		}
		return [4]int64{toInt(s.onProbation(now)), int64(min(noise, 1<<30)), int64(s.times), youth}
	}
	x, y := against(a), against(b)
	return slices.Compare(x[:], y[:])
}

// release lets at most one peer come back whose time is up, and returns it;
// -1 is none.
func (d *docket) release(now time.Time) int {
	next := -1
	for i := range d.suspects {
		s := &d.suspects[i]
		if s.until.IsZero() {
			if s.onProbation(now) {
				return -1
			}
			if s.times > 0 && now.Sub(s.back) >= crashWindow {
				s.times = 0
			}
			continue
		}
		if !now.Before(s.until) && (next < 0 || s.until.Before(d.suspects[next].until)) {
			next = i
		}
	}
	if next >= 0 {
		d.suspects[next].until, d.suspects[next].back = time.Time{}, now
	}
	return next
}

// without returns the peers in quarantine.
func (d *docket) without() (out []netip.Addr) {
	for _, s := range d.suspects {
		if !s.until.IsZero() {
			out = append(out, s.address)
		}
	}
	return out
}

func (s suspect) onProbation(now time.Time) bool {
	return s.until.IsZero() && !s.back.IsZero() && now.Sub(s.back) < probation
}

func toInt(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
