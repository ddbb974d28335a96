package cache

import (
	"hash/maphash"
	"time"
)

const (
	// hotRequests is how many requests for a key must have been relayed
	// within hotWindow for a copy of it to be stored here. Each copy takes
	// memory that a key without another place in the PoP could use, so it has
	// to earn it: at one request in a few seconds it saves next to nothing,
	// and a copy lasts no longer than what it is a copy of.
	hotRequests = 3
	hotWindow   = 10 * time.Second

	heatRows = 4 // a key looks hot by mistake only if others are in its way in every row
	// Each counter is there for two halves of the window.
	heatHalves = 2
	maxHeat    = 2 << 20 // bytes: beyond it nothing is mistaken any less at the rate of a node
)

// heat counts how often keys were asked for lately: a count-min sketch with
// conservative update, in two halves of a window of time. A key may be
// counted too high when many are asked for, never too low: what was added
// counts for half the window at least, for all of it at most.
//
// It is not safe for use by several goroutines at once.
type heat struct {
	// Static after newHeat.
	seed  maphash.Seed // so that no client can choose keys in another's way
	start time.Time
	mask  uint64

	half          int64   // number of the current half since start
	current, last []uint8 // heatRows rows each
}

// newHeat returns a sketch that takes at most size bytes, and 64 at least.
func newHeat(size int64, now time.Time) *heat {
	width := int64(8)
	for 2*width*heatRows*heatHalves <= min(size, maxHeat) {
		width *= 2
	}
	return &heat{
		seed: maphash.MakeSeed(), start: now, mask: uint64(width - 1),
		current: make([]uint8, heatRows*width), last: make([]uint8, heatRows*width),
	}
}

// add counts n requests for a key and returns how many there were lately,
// these included.
func (t *heat) add(key string, n int, now time.Time) int {
	at, least, before := t.find(key, now)
	count := least + n
	for _, i := range at {
		// No counter is raised further than the key's own count needs.
		t.current[i] = max(t.current[i], uint8(min(count, 255)))
	}
	return count + before
}

// count returns how many requests for a key there were lately.
func (t *heat) count(key string, now time.Time) int {
	_, least, before := t.find(key, now)
	return least + before
}

// find returns where the counters of a key are, and what they say of this
// half of the window and of the one before.
func (t *heat) find(key string, now time.Time) (at [heatRows]uint64, current, last int) {
	t.turn(now)
	h := maphash.String(t.seed, key)
	step := h>>32 | 1
	least, before := uint8(255), uint8(255)
	for i := range at {
		at[i] = uint64(i)*(t.mask+1) + (h+uint64(i)*step)&t.mask
		least, before = min(least, t.current[at[i]]), min(before, t.last[at[i]])
	}
	return at, int(least), int(before)
}

// turn begins a new half of the window when it is time. A now that is
// earlier than another counts as that one.
func (t *heat) turn(now time.Time) {
	half := int64(now.Sub(t.start) / (hotWindow / heatHalves))
	if half <= t.half {
		return
	}
	t.current, t.last = t.last, t.current
	clear(t.current)
	if half > t.half+1 {
		clear(t.last)
	}
	t.half = half
}
