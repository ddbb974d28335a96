package bfd

import "time"

const (
	// slow is the least interval at which a session that is not up may
	// send (RFC 5880 section 6.8.3), so that a peer that is not there
	// costs a packet a second.
	slow = time.Second
	// spacing is the least time between two packets of a session, however
	// many polls and changes a peer, or somebody who claims to be it,
	// has us answer.
	spacing = 5 * time.Millisecond
	// farewells is how often AdminDown is sent at the pace of the session
	// that it ends, in case packets are lost.
	farewells = 3
)

// machine is one session (RFC 5880 section 6.8): values, and no clock,
// timer or socket. Whoever drives it tells it the time with every event
// and asks for deadline afterwards. Zero times mean never.
type machine struct {
	// Static after newMachine.
	tx, rx     time.Duration
	multiplier uint8
	mine       uint32         // discriminator, not 0
	random     func() float64 // at least 0, less than 1

	// The rest is owned by who drives it.
	state State
	diag  Diagnostic
	since time.Time // of the state

	remote   remote
	heard    time.Time     // when the last valid packet came
	gap      time.Duration // the largest between two packets while up
	steady   bool          // the session was up at the last packet and since
	poll     bool          // a poll sequence of ours is not over (section 6.5)
	final    bool          // the peer polled and has no answer yet
	urgent   bool          // what we would say differs from what we said last
	farewell int           // packets to send at the old pace before the slow one
	sent     time.Time     // when the last packet was sent
	spread   float64       // the part of the interval to wait after it
}

// remote is what the peer said last.
type remote struct {
	mine         uint32 // its discriminator; 0: it is not heard
	state        State
	diag         Diagnostic
	demand       bool
	multiplier   uint8
	minTx, minRx time.Duration
}

// unheard is what is assumed of a peer before it says otherwise (RFC 5880
// section 6.8.1).
func unheard() remote { return remote{state: Down, minRx: time.Microsecond} }

func newMachine(p Peer, mine uint32, random func() float64, now time.Time) machine {
	return machine{
		tx: p.TX, rx: p.RX, multiplier: p.Multiplier, mine: mine, random: random,
		state: Down, since: now, remote: unheard(), urgent: true, sent: now.Add(-spacing),
	}
}

// receive takes a packet that parse accepted (RFC 5880 section 6.8.6). A
// packet that is for another session changes nothing.
func (m *machine) receive(now time.Time, p packet) Discard {
	if p.yours != 0 && p.yours != m.mine {
		return BadYourDiscriminator
	}
	m.remote = remote{p.mine, p.state, p.diag, p.demand, p.multiplier, p.minTx, p.minRx}
	if p.final {
		m.poll = false
	}
	if m.state != AdminDown {
		m.follow(now, p.state)
		m.final = m.final || p.poll
	}
	if m.steady {
		m.gap = max(m.gap, now.Sub(m.heard))
	}
	m.heard, m.steady = now, m.state == Up
	return kept
}

// follow is the state machine of section 6.2.
func (m *machine) follow(now time.Time, peer State) {
	switch {
	case peer == AdminDown:
		if m.state != Down {
			m.enter(now, Down, NeighborDown)
		}
	case m.state == Down && peer == Down:
		m.enter(now, Init, m.diag)
	case m.state == Down && peer == Init, m.state == Init && peer != Down:
		m.enter(now, Up, NoDiagnostic)
	case m.state == Up && peer == Down:
		m.enter(now, Down, NeighborDown)
	}
}

// enter changes the state. Entering or leaving Up changes how fast we
// want to send, which the peer has to confirm (section 6.8.3).
func (m *machine) enter(now time.Time, s State, why Diagnostic) {
	if (s == Up) != (m.state == Up) {
		m.poll = true
	}
	m.state, m.diag, m.since, m.urgent, m.steady = s, why, now, true, false
}

// hold takes the session down on purpose (section 6.8.16), until release.
func (m *machine) hold(now time.Time) {
	if m.state == AdminDown {
		return
	}
	m.farewell = 1 // a peer that is not up has no session to lose
	if m.state == Up {
		m.farewell = farewells
	}
	m.final = false // the packets to come answer nothing
	m.enter(now, AdminDown, HeldDown)
}

// release ends hold; the session comes up as a new one does.
func (m *machine) release(now time.Time) {
	if m.state == AdminDown {
		m.farewell = 0
		m.enter(now, Down, HeldDown)
	}
}

// step does what is due: it notices that the peer has fallen silent, and
// returns the packet to send, if any.
func (m *machine) step(now time.Time) (p packet, send bool) {
	if at := m.expiry(); due(at, now) {
		m.expire(now)
	}
	if at := m.transmission(); !due(at, now) {
		return packet{}, false
	}
	// A packet is not both poll and final (section 6.5). A poll that has
	// to wait goes out with the next one.
	p = packet{
		state: m.state, diag: m.diag, poll: m.poll && !m.final, final: m.final, multiplier: m.multiplier,
		mine: m.mine, yours: m.remote.mine, minTx: m.desired(), minRx: m.rx,
	}
	m.sent, m.spread, m.urgent, m.final = now, m.jitter(), false, false
	m.farewell = max(m.farewell-1, 0)
	return p, true
}

// expire forgets the peer, in whatever state (section 6.8.1).
func (m *machine) expire(now time.Time) {
	m.remote = unheard()
	if m.state == Init || m.state == Up {
		m.enter(now, Down, Expired)
	}
}

// deadline returns when step has something to do next.
func (m *machine) deadline() time.Time { return earliest(m.expiry(), m.transmission()) }

// detection is how long the peer may be silent (section 6.8.4); 0: it is
// not heard.
func (m *machine) detection() time.Duration {
	return time.Duration(m.remote.multiplier) * max(m.rx, m.remote.minTx)
}

func (m *machine) expiry() time.Time {
	if m.remote.mine == 0 {
		return time.Time{}
	}
	return m.heard.Add(m.detection())
}

// transmission returns when the next packet is to be sent. It is worked
// out anew from what the peer said last, so it follows every change of
// the interval by itself.
func (m *machine) transmission() time.Time {
	var at time.Time
	if m.periodic() {
		at = m.sent.Add(time.Duration(m.spread * float64(m.interval())))
	}
	if m.urgent || m.final {
		at = earliest(at, m.sent.Add(spacing))
	}
	return at
}

// periodic tells whether the peer wants packets that answer nothing
// (section 6.8.7).
func (m *machine) periodic() bool {
	demand := m.remote.demand && m.state == Up && m.remote.state == Up
	return m.remote.minRx != 0 && (!demand || m.poll)
}

// interval is the time between two packets, before jitter.
func (m *machine) interval() time.Duration {
	if m.farewell > 0 {
		return max(m.tx, m.remote.minRx)
	}
	return max(m.desired(), m.remote.minRx)
}

// desired is the interval that we ask for (section 6.8.3).
func (m *machine) desired() time.Duration {
	if m.state == Up {
		return m.tx
	}
	return max(m.tx, slow)
}

// jitter returns the part of an interval to wait, so that many sessions
// do not send in step (section 6.8.7). With a multiplier of 1 the peer
// gives up after one interval, and the packet has to come before.
func (m *machine) jitter() float64 {
	if m.multiplier == 1 {
		return 0.75 + 0.15*m.random()
	}
	return 0.75 + 0.25*m.random()
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// earliest returns the earlier of two times that may be never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
