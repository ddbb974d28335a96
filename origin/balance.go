package origin

import "sync"

// balance shares requests out by weight: smooth weighted round robin, as
// nginx does it, so that a heavy endpoint's turns are spread out.
type balance struct {
	// Static.
	weights []int

	mu sync.Mutex
	// Guarded by mu.
	current []int
}

func newBalance(weights []int) *balance {
	return &balance{weights: weights, current: make([]int, len(weights))}
}

// next returns the index whose turn it is among those that usable admits,
// -1 when it admits none.
func (b *balance) next(usable func(i int) bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return smooth(b.weights, b.current, usable)
}

// smooth gives each usable index its weight, takes the one that has most,
// and takes all that was given from it.
func smooth(weights, current []int, usable func(i int) bool) int {
	best, total := -1, 0
	for i, w := range weights {
		if !usable(i) {
			continue
		}
		current[i] += w
		total += w
		if best < 0 || current[i] > current[best] {
			best = i
		}
	}
	if best >= 0 {
		current[best] -= total
	}
	return best
}
