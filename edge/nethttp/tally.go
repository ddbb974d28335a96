package nethttp

import "sync"

// tally counts what is in flight and tells when nothing is. Unlike a
// sync.WaitGroup it may be waited for while new things begin.
type tally struct {
	// Guarded by mu.
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed when n falls to 0; nil: nobody waits
}

func (t *tally) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *tally) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.zero != nil {
		close(t.zero)
		t.zero = nil
	}
}

func (t *tally) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// idle returns a channel that is closed the next time nothing is in
// flight, which may be now.
func (t *tally) idle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		now := make(chan struct{})
		close(now)
		return now
	}
	if t.zero == nil {
		t.zero = make(chan struct{})
	}
	return t.zero
}
