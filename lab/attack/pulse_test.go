package attack

import (
	"sync"
	"testing"
	"time"
)

const (
	// beat is how often the pulse is taken, and stall the gap between two
	// beats from which on the machine itself stood still: too busy with
	// other things to run even a timer.
	beat  = 20 * time.Millisecond
	stall = 200 * time.Millisecond
)

// pulse knows when the machine stood still. What was measured meanwhile
// says nothing about the node, which stood still too.
type pulse struct {
	stop chan struct{}
	wait sync.WaitGroup

	// Guarded by mu.
	mu   sync.Mutex
	gaps []gap
}

type gap struct{ from, to time.Time }

// startPulse takes the pulse until the test ends.
func startPulse(t *testing.T) *pulse {
	p := &pulse{stop: make(chan struct{})}
	p.wait.Go(p.run)
	t.Cleanup(func() { close(p.stop); p.wait.Wait() })
	return p
}

func (p *pulse) run() {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) > stall {
			p.mu.Lock()
			p.gaps = append(p.gaps, gap{last, now})
			p.mu.Unlock()
		}
		last = now
	}
}

// stalled returns how much of the time since then was lost.
func (p *pulse) stalled(since time.Time) (lost time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.gaps {
		if g.to.After(since) {
			from := g.from
			if from.Before(since) {
				from = since
			}
			lost += g.to.Sub(from)
		}
	}
	return lost
}

// fair returns how long something took of the time that the machine ran.
func (p *pulse) fair(since time.Time) time.Duration { return time.Since(since) - p.stalled(since) }

// void reports whether what began then is to be tried again: the machine
// stood still for so long that a limit of time may have been met by that.
func (p *pulse) void(since time.Time) bool { return p.stalled(since) > 3*time.Second/2 }
