package speaker

import "time"

// The lease. Starved processes were seen silent for 165 ms, so the lease
// is three times that; routers notice death faster by BFD or by the end
// of the TCP session.
const (
	// beatEvery is how often the data plane renews the lease.
	beatEvery = 50 * time.Millisecond
	// leaseTime is how long a speaker announces without hearing from
	// the data plane.
	leaseTime = 500 * time.Millisecond
)

// lease tells a silent data plane from a starved speaker: when the time
// is nearly over it gives the reader one more beat to deliver what waits
// in the pipe. Owned by one goroutine.
type lease struct {
	timer *time.Timer
	last  bool // the extra beat is running
	held  bool
}

func newLease() *lease {
	l := &lease{timer: time.NewTimer(time.Hour)}
	l.timer.Stop()
	return l
}

// renew starts the lease anew.
func (l *lease) renew() {
	l.held, l.last = true, false
	l.timer.Reset(leaseTime - beatEvery)
}

// expired is called when the timer fires; it tells whether the lease is
// lost, and starts the extra beat otherwise.
func (l *lease) expired() bool {
	if !l.last {
		l.last = true
		l.timer.Reset(beatEvery)
		return false
	}
	l.held = false
	return true
}
