package origin

import (
	"sync"
	"time"
)

// budget bounds retries to a share of the requests of a window, so that an
// origin in trouble is not asked more, but hardly more, than one in health.
type budget struct {
	// Static.
	window  time.Duration
	percent int
	floor   int

	mu sync.Mutex
	// Guarded by mu.
	slots [budgetSlots]struct{ requests, retries int }
	slot  int64 // number of the slot of the last event since the epoch
}

// budgetSlots is how finely the window slides.
const budgetSlots = 10

// request counts a request.
func (b *budget) request(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slots[b.advance(now)].requests++
}

// take asks for one retry, and counts it when it is allowed.
func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.advance(now)
	requests, retries := 0, 0
	for _, s := range b.slots {
		requests += s.requests
		retries += s.retries
	}
	if retries >= max(b.floor, requests*b.percent/100) {
		return false
	}
	b.slots[i].retries++
	return true
}

// advance clears the slots that time has left behind and returns the
// index of the present one.
func (b *budget) advance(now time.Time) int64 {
	n := now.UnixNano() / int64(max(b.window/budgetSlots, 1))
	for k := max(b.slot+1, n-budgetSlots+1); k <= n; k++ {
		b.slots[k%budgetSlots] = struct{ requests, retries int }{}
	}
	b.slot = max(b.slot, n)
	return b.slot % budgetSlots
}
