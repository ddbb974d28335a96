package bfd

import (
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// one is a machine and what a peer would see of it.
type one struct {
	machine
	now  time.Time
	sent []packet
	at   []time.Time
}

func newOne(p Peer) *one {
	return &one{machine: newMachine(p.withDefaults(), 7, func() float64 { return 1 }, epoch), now: epoch}
}

// run drives the machine for a time.
func (o *one) run(d time.Duration) {
	end := o.now.Add(d)
	for {
		at := o.deadline()
		if at.IsZero() || at.After(end) {
			o.now = end
			return
		}
		if at.After(o.now) {
			o.now = at
		}
		if p, send := o.step(o.now); send {
			o.sent, o.at = append(o.sent, p), append(o.at, o.now)
		}
	}
}

// hear gives it a packet as its peer would send one, and lets it answer.
func (o *one) hear(p packet) {
	if p.mine == 0 {
		p.mine = 9
	}
	if p.yours == 0 && p.state != Down && p.state != AdminDown {
		p.yours = 7
	}
	if p.multiplier == 0 {
		p.multiplier = 3
	}
	if p.minTx == 0 {
		p.minTx = 100 * time.Millisecond
	}
	if p.minRx == 0 {
		p.minRx = 100 * time.Millisecond
	}
	o.receive(o.now, p)
	o.run(spacing)
}

func (o *one) last() packet { return o.sent[len(o.sent)-1] }

// up returns a machine whose session is up and whose polls are answered.
func established(t *testing.T, p Peer) *one {
	t.Helper()
	o := newOne(p)
	o.run(0)
	o.hear(packet{state: Down})
	o.hear(packet{state: Init})
	o.hear(packet{state: Up, final: true})
	if o.state != Up || o.poll {
		t.Fatalf("state %v, poll %v, want up and no poll", o.state, o.poll)
	}
	return o
}

func TestTransitions(t *testing.T) {
	for _, tc := range []struct {
		name       string
		state, got State
		want       State
		diag       Diagnostic
	}{
		{"down hears down", Down, Down, Init, NoDiagnostic},
		{"down hears init", Down, Init, Up, NoDiagnostic},
		{"down hears up", Down, Up, Down, NoDiagnostic},
		{"down hears admin-down", Down, AdminDown, Down, NoDiagnostic},
		{"init hears down", Init, Down, Init, NoDiagnostic},
		{"init hears init", Init, Init, Up, NoDiagnostic},
		{"init hears up", Init, Up, Up, NoDiagnostic},
		{"init hears admin-down", Init, AdminDown, Down, NeighborDown},
		{"up hears down", Up, Down, Down, NeighborDown},
		{"up hears init", Up, Init, Up, NoDiagnostic},
		{"up hears up", Up, Up, Up, NoDiagnostic},
		{"up hears admin-down", Up, AdminDown, Down, NeighborDown},
		{"held down hears down", AdminDown, Down, AdminDown, NoDiagnostic},
		{"held down hears init", AdminDown, Init, AdminDown, NoDiagnostic},
		{"held down hears up", AdminDown, Up, AdminDown, NoDiagnostic},
		{"held down hears admin-down", AdminDown, AdminDown, AdminDown, NoDiagnostic},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := newOne(Peer{})
			o.state = tc.state
			o.hear(packet{state: tc.got})
			if o.state != tc.want || o.diag != tc.diag {
				t.Errorf("%v (%v), want %v (%v)", o.state, o.diag, tc.want, tc.diag)
			}
		})
	}
}

func TestAPeerThatIsNotThereCostsAPacketASecond(t *testing.T) {
	o := newOne(Peer{})
	o.run(time.Minute)
	if n := len(o.sent); n != 61 {
		t.Errorf("%d packets in a minute, want the first and one a second", n)
	}
	if p := o.last(); p.state != Down || p.minTx != slow || p.minRx != DefaultInterval || p.yours != 0 || p.poll {
		t.Errorf("sent %+v", p)
	}
}

func TestComesUpWithAPollToTheFastPace(t *testing.T) {
	o := newOne(Peer{TX: 100 * time.Millisecond, RX: 50 * time.Millisecond})
	o.run(0)
	o.hear(packet{state: Down, minTx: time.Second})
	if p := o.last(); p.state != Init || p.minTx != slow || p.yours != 9 {
		t.Errorf("after down: %+v", p)
	}
	o.hear(packet{state: Init, minTx: time.Second})
	if p := o.last(); p.state != Up || !p.poll || p.minTx != 100*time.Millisecond || p.minRx != 50*time.Millisecond {
		t.Errorf("after init: %+v, want up, polling for the fast pace", p)
	}
	n := len(o.sent)
	o.run(time.Second)
	for _, p := range o.sent[n:] {
		if !p.poll {
			t.Fatal("the poll ended without an answer")
		}
	}
	if got := len(o.sent) - n; got != 10 {
		t.Errorf("%d packets in a second, want 10", got)
	}
	o.hear(packet{state: Up, final: true})
	o.run(150 * time.Millisecond)
	if o.last().poll {
		t.Error("still polling after the answer")
	}
}

func TestAnswersAPollAtOnce(t *testing.T) {
	o := established(t, Peer{})
	o.run(50 * time.Millisecond)
	n := len(o.sent)
	o.receive(o.now, packet{state: Up, poll: true, mine: 9, yours: 7, multiplier: 3, minTx: 1, minRx: 1})
	p, send := o.step(o.now)
	if !send || !p.final || p.poll || len(o.sent) != n {
		t.Errorf("sent %v: %+v, want a final at once", send, p)
	}
}

func TestAPollOfOursWaitsForTheAnswerToTheirs(t *testing.T) {
	o := newOne(Peer{})
	o.run(0)
	o.hear(packet{state: Down})
	o.hear(packet{state: Init, poll: true})
	if p := o.last(); !p.final || p.poll || p.state != Up {
		t.Errorf("%+v, want a final and no poll", p)
	}
	o.run(100 * time.Millisecond)
	if p := o.last(); p.final || !p.poll {
		t.Errorf("%+v, want the poll that waited", p)
	}
}

func TestPollsAreAnsweredAtABoundedRate(t *testing.T) {
	o := established(t, Peer{})
	n := len(o.sent)
	for range 1000 { // within a second
		o.receive(o.now, packet{state: Up, poll: true, mine: 9, yours: 7, multiplier: 3, minTx: 1, minRx: 1})
		o.run(time.Millisecond)
	}
	if got, most := len(o.sent)-n, int(time.Second/spacing)+1; got > most {
		t.Errorf("%d packets in a second, want at most %d", got, most)
	}
}

func TestDetectionTime(t *testing.T) {
	for _, tc := range []struct {
		name string
		rx   time.Duration
		peer packet
		want time.Duration
	}{
		{"the peer is as slow as we ask", 100 * time.Millisecond, packet{multiplier: 3, minTx: 50 * time.Millisecond}, 300 * time.Millisecond},
		{"the peer is slower", 100 * time.Millisecond, packet{multiplier: 5, minTx: 200 * time.Millisecond}, time.Second},
		{"multiplier 1", 100 * time.Millisecond, packet{multiplier: 1, minTx: 10 * time.Millisecond}, 100 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := established(t, Peer{RX: tc.rx})
			tc.peer.state = Up
			heard := o.now
			o.hear(tc.peer)
			if o.detection() != tc.want {
				t.Errorf("%v, want %v", o.detection(), tc.want)
			}
			o.run(heard.Add(tc.want - 1).Sub(o.now))
			if o.state != Up {
				t.Fatalf("%v before its time", o.state)
			}
			o.run(1)
			if o.state != Down || o.diag != Expired || o.remote.mine != 0 {
				t.Errorf("%v (%v), peer %d, want down, expired, forgotten", o.state, o.diag, o.remote.mine)
			}
		})
	}
}

func TestAPacketThatWaitedSavesTheSession(t *testing.T) {
	o := established(t, Peer{})
	late := o.now.Add(time.Second) // this process did not run in between
	o.receive(late, packet{state: Up, mine: 9, yours: 7, multiplier: 3, minTx: 1, minRx: 1})
	if o.step(late); o.state != Up {
		t.Errorf("%v, want up", o.state)
	}
	if o.gap < time.Second {
		t.Errorf("largest gap %v", o.gap)
	}
}

func TestGapsCountWhileUp(t *testing.T) {
	o := established(t, Peer{})
	o.gap = 0
	o.run(time.Minute)
	o.hear(packet{state: Up}) // it does not know yet that we are down
	o.run(200 * time.Millisecond)
	o.hear(packet{state: Up})
	o.hear(packet{state: Down})
	o.run(200 * time.Millisecond)
	o.hear(packet{state: Init})
	if o.state != Up || o.gap != 0 {
		t.Errorf("%v, gap %v, want up again and no gap", o.state, o.gap)
	}
	o.run(200 * time.Millisecond)
	before := o.heard
	o.hear(packet{state: Up})
	if want := o.heard.Sub(before); o.gap != want {
		t.Errorf("gap %v, want %v", o.gap, want)
	}
}

func TestForeignDiscriminatorChangesNothing(t *testing.T) {
	o := established(t, Peer{})
	before := o.machine
	got := o.receive(o.now, packet{state: Down, mine: 9, yours: 8, multiplier: 3})
	before.random, o.random = nil, nil
	if got != BadYourDiscriminator || o.deadline() != before.deadline() || o.state != Up || o.remote != before.remote {
		t.Errorf("%v, session %+v", got, o.machine)
	}
}

func TestAdminDownIsSaidThreeTimesAndHeld(t *testing.T) {
	o := established(t, Peer{})
	o.run(50 * time.Millisecond)
	n, from := len(o.sent), o.now
	o.hold(o.now)
	o.run(200 * time.Millisecond)
	if got := len(o.sent) - n; got != farewells || o.farewell != 0 || o.at[n].Sub(from) > 0 {
		t.Errorf("%d packets in two intervals, %d to go, the first after %v; want %d, none, at once", got, o.farewell, o.at[n].Sub(from), farewells)
	}
	for range 20 {
		o.hear(packet{state: Down, poll: true}) // neither answered nor followed
		o.run(time.Second)
	}
	for _, p := range o.sent[n:] {
		if p.state != AdminDown || p.diag != HeldDown || p.final || p.minTx != slow {
			t.Fatalf("sent %+v", p)
		}
	}
	if got := len(o.sent) - n - farewells; got > 21 {
		t.Errorf("%d packets in 20 s after the farewell, want one a second", got)
	}
	o.release(o.now)
	o.hear(packet{state: Down})
	o.hear(packet{state: Init})
	if o.state != Up || o.diag != NoDiagnostic {
		t.Errorf("%v (%v) after the release", o.state, o.diag)
	}
}

func TestAdminDownAnswersNoPoll(t *testing.T) {
	o := established(t, Peer{})
	o.receive(o.now, packet{state: Up, poll: true, mine: 9, yours: 7, multiplier: 3, minTx: 1, minRx: 1})
	o.hold(o.now)
	o.run(spacing)
	if p := o.last(); p.state != AdminDown || p.final {
		t.Errorf("sent %+v", p)
	}
}

func TestAdminDownOfASessionThatIsNotUpIsSaidOnce(t *testing.T) {
	o := newOne(Peer{})
	o.run(10 * time.Second)
	o.hold(o.now)
	o.hold(o.now)
	o.run(spacing)
	if o.farewell != 0 || o.last().state != AdminDown {
		t.Errorf("%d to go, last %+v", o.farewell, o.last())
	}
}

func TestJitter(t *testing.T) {
	for _, tc := range []struct {
		multiplier uint8
		random     float64
		want       time.Duration
	}{
		{3, 0, 75 * time.Millisecond},
		{3, 1, 100 * time.Millisecond},
		{1, 0, 75 * time.Millisecond},
		{1, 1, 90 * time.Millisecond},
	} {
		o := established(t, Peer{Multiplier: tc.multiplier})
		o.random = func() float64 { return tc.random }
		o.run(100 * time.Millisecond) // a packet with the new jitter
		if got := o.transmission().Sub(o.machine.sent); got != tc.want {
			t.Errorf("multiplier %d, random %v: %v to the next packet, want %v", tc.multiplier, tc.random, got, tc.want)
		}
	}
}

func TestThePeerMayAskForLess(t *testing.T) {
	o := established(t, Peer{})
	o.hear(packet{state: Up, minRx: time.Second, multiplier: 30})
	n := len(o.sent)
	o.run(2500 * time.Millisecond)
	if got := len(o.sent) - n; got != 2 {
		t.Errorf("%d packets in 2.5 s to a peer that takes one a second", got)
	}
	// None at all, RFC 5880 section 6.8.7; a poll is answered still.
	o.receive(o.now, packet{state: Up, mine: 9, yours: 7, multiplier: 3, minTx: time.Minute})
	n = len(o.sent)
	o.run(time.Minute)
	if got := len(o.sent) - n; got != 0 {
		t.Errorf("%d packets to a peer that takes none", got)
	}
	o.receive(o.now, packet{state: Up, mine: 9, yours: 7, multiplier: 3, minTx: time.Minute, poll: true})
	if o.run(0); !o.last().final {
		t.Error("no answer to a poll")
	}
	o.run(3 * time.Minute)
	if o.state != Down || len(o.sent)-n < 2 {
		t.Errorf("%v, %d packets: want a forgotten peer to be called again", o.state, len(o.sent)-n)
	}
}

func TestDemandMode(t *testing.T) {
	o := established(t, Peer{})
	o.hear(packet{state: Up, demand: true, multiplier: 100})
	n := len(o.sent)
	o.run(5 * time.Second)
	if got := len(o.sent) - n; got != 0 {
		t.Errorf("%d packets to a peer in demand mode (RFC 5880 section 6.6)", got)
	}
	o.hear(packet{state: Up, demand: true, poll: true})
	if !o.last().final {
		t.Error("its poll was not answered")
	}
	o.run(10 * time.Second)
	if o.state != Down || o.diag != Expired {
		t.Errorf("%v (%v), want its silence noticed", o.state, o.diag)
	}
}
