package bfd

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// model is two machines on a link that loses, delays and so reorders
// packets, in virtual time. Everything in it follows from its seed.
type model struct {
	t      *testing.T
	now    time.Time
	random *rand.Rand
	ends   [2]*machine
	flight []flying

	// The link.
	cut   bool
	loss  float64
	delay time.Duration // at most

	sentAt [2]time.Time
	held   bool // an end said AdminDown: they must not both be up
}

type flying struct {
	at time.Time
	to int
	p  packet
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, now: epoch, random: rand.New(rand.NewPCG(seed, seed))}
	for i := range m.ends {
		p := Peer{
			TX:         m.between(MinInterval, time.Second),
			RX:         m.between(MinInterval, time.Second),
			Multiplier: uint8(1 + m.random.IntN(5)),
		}
		end := newMachine(p, uint32(i+1), m.random.Float64, epoch)
		m.ends[i] = &end
		m.sentAt[i] = epoch.Add(-spacing)
	}
	return m
}

func (m *model) between(low, high time.Duration) time.Duration {
	return low + time.Duration(m.random.Int64N(int64(high-low)+1))
}

func (m *model) String() string {
	return fmt.Sprintf("after %v: %+v\n%+v", m.now.Sub(epoch), *m.ends[0], *m.ends[1])
}

// until runs the model until a condition holds, for a time at most.
func (m *model) until(what string, limit time.Duration, condition func() bool) {
	m.t.Helper()
	if !m.run(limit, condition) {
		m.t.Fatalf("%v passed and not %s\n%v", limit, what, m)
	}
}

// run goes from event to event, for a time at most, and tells whether
// the condition came to hold.
func (m *model) run(limit time.Duration, condition func() bool) bool {
	m.t.Helper()
	for end := m.now.Add(limit); ; {
		if condition() {
			return true
		}
		at, arrives := end, -1
		for i := range m.flight {
			if m.flight[i].at.Before(at) {
				at, arrives = m.flight[i].at, i
			}
		}
		steps := -1
		for i, e := range m.ends {
			if d := e.deadline(); !d.IsZero() && d.Before(at) {
				at, arrives, steps = d, -1, i
			}
		}
		if at.After(m.now) {
			m.now = at
		}
		switch {
		case steps >= 0:
			m.step(steps)
		case arrives >= 0:
			f := m.flight[arrives]
			m.flight = append(m.flight[:arrives], m.flight[arrives+1:]...)
			if got := m.ends[f.to].receive(m.now, f.p); got != kept {
				m.t.Fatalf("%v: %+v\n%v", got, f.p, m)
			}
			m.step(f.to)
		default:
			return false
		}
		if m.held && m.ends[0].state == Up && m.ends[1].state == Up {
			m.t.Fatalf("both are up after AdminDown\n%v", m)
		}
	}
}

func (m *model) step(i int) {
	m.t.Helper()
	e := m.ends[i]
	before, expiry := e.state, e.expiry()
	p, send := e.step(m.now)
	if before == Up && e.state == Down && !m.now.Equal(expiry) {
		m.t.Fatalf("end %d gave up at %v, its detection time ended at %v", i, m.now, expiry)
	}
	if !send {
		return
	}
	if p.poll && p.final {
		m.t.Fatalf("end %d sent poll and final in one: %+v", i, p)
	}
	if m.now.Sub(m.sentAt[i]) < spacing {
		m.t.Fatalf("end %d sent two packets within %v", i, m.now.Sub(m.sentAt[i]))
	}
	m.sentAt[i] = m.now
	if !m.cut && m.random.Float64() >= m.loss {
		m.flight = append(m.flight, flying{m.now.Add(m.between(0, m.delay)), 1 - i, p})
	}
}

func (m *model) states(want State) func() bool {
	return func() bool { return m.ends[0].state == want && m.ends[1].state == want }
}

func (m *model) never() bool { return false }

func (m *model) settled() bool {
	return m.states(Up)() && !m.ends[0].poll && !m.ends[1].poll
}

func TestTwoMachines(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(t, seed)

			// However bad the link, they meet at some time.
			m.loss, m.delay = m.random.Float64()*0.3, 20*time.Millisecond
			m.until("both up", 10*time.Minute, m.states(Up))

			// A good link ends the polls, and nothing happens after that.
			m.loss, m.delay = 0, 100*time.Microsecond
			m.until("both up with their polls over", time.Minute, m.settled)
			m.until("what was under way is over", time.Second, func() bool { return len(m.flight) == 0 })
			for _, e := range m.ends {
				e.gap = 0
			}
			if m.run(5*time.Minute, func() bool { return !m.settled() }) {
				t.Fatalf("a session on a good link changed\n%v", m)
			}
			for i, e := range m.ends {
				if most := m.ends[1-i].interval() + m.delay; e.gap > most || e.gap < most*3/4 {
					t.Errorf("end %d: largest gap %v, the peer sends every %v", i, e.gap, m.ends[1-i].interval())
				}
			}

			// A cut link is noticed by each end when its detection time is
			// over, which step checks.
			m.cut = true
			longest := max(m.ends[0].detection(), m.ends[1].detection())
			m.until("both down", longest+m.delay, m.states(Down))

			m.cut = false
			m.until("both up again", time.Minute, m.settled)
			m.adminDown()
		})
	}
}

// adminDown takes one end down on purpose, over a bad link.
func (m *model) adminDown() {
	m.t.Helper()
	m.loss, m.delay = m.random.Float64()*0.5, 20*time.Millisecond
	m.held = true
	m.ends[0].hold(m.now)
	m.step(0)
	m.until("the peer knows", m.ends[1].detection()+m.delay, func() bool { return m.ends[1].state != Up })
	m.run(time.Minute, m.never)
	if m.ends[0].state != AdminDown || m.ends[1].state != Down || m.ends[0].farewell != 0 {
		m.t.Fatalf("not held down\n%v", m)
	}
	m.held = false
	m.ends[0].release(m.now)
	m.loss = 0
	m.until("both up after the release", time.Minute, m.states(Up))
}
