package speaker

import "time"

// The lease. Without a beat everything is withdrawn within 200 ms: the
// lease, a withdrawal, and the way of an UPDATE. Of four beats one has to
// come. A process that gets no turn for that long is no place to send
// traffic to; a speaker that gets none itself looks again before it
// believes that the data plane is silent.
const (
	// beatEvery is how often the data plane renews the lease.
	beatEvery = 40 * time.Millisecond
	// leaseTime is how long a speaker announces without hearing from
	// the data plane.
	leaseTime = 180 * time.Millisecond
	// lastLook is the end of the lease, left to the reader to deliver what
	// waits in the pipe.
	lastLook = 40 * time.Millisecond
	// starved is how late a timer has to be for the speaker itself to have
	// had no turn. Its reader had none either, then, and gets another look.
	starved = 20 * time.Millisecond
)

// lease tells a silent data plane from a starved speaker. Owned by one
// goroutine.
type lease struct {
	timer *time.Timer
	due   time.Time // when the timer is to fire
	last  bool      // the last look is running
	held  bool
}

func newLease() *lease {
	l := &lease{timer: time.NewTimer(time.Hour)}
	l.timer.Stop()
	return l
}

// renew starts the lease anew.
func (l *lease) renew(now time.Time) {
	l.held, l.last = true, false
	l.arm(now, leaseTime-lastLook)
}

// expired is called when the timer fires; it tells whether the lease is
// lost, and starts the last look otherwise.
func (l *lease) expired(now time.Time) bool {
	if !l.last || now.Sub(l.due) > starved {
		l.last = true
		l.arm(now, lastLook)
		return false
	}
	l.held = false
	return true
}

func (l *lease) arm(now time.Time, d time.Duration) {
	l.due = now.Add(d)
	l.timer.Reset(d)
}
