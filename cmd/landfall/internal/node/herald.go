package node

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// herald tells all nodes which keys unsafe requests have made void
// (RFC 9111, 4.4), before their clients are answered: whoever asks next, at
// whichever node, gets what is new. One telling is on its way at a time, and
// takes along what has gathered meanwhile. A node that cannot be told has
// what it has until it is stale.
type herald struct {
	// Static.
	tell   func(ctx context.Context, payload []byte) error
	limit  time.Duration // of one telling
	untold prometheus.Counter
	wake   chan struct{} // has room for one

	mu sync.Mutex
	// Guarded by mu.
	next *tidings // nil when nothing has gathered
}

// tidings are keys to be told together.
type tidings struct {
	keys []string
	told chan struct{} // closed once they were, as far as that went
}

// most is how many bytes of keys go into one message. JSON makes six of one
// at worst, and a call carries 256 KiB.
const most = 32 << 10

// announce returns when the nodes were told of keys, or the time for that is
// over.
func (h *herald) announce(keys []string) {
	h.mu.Lock()
	if h.next == nil {
		h.next = &tidings{told: make(chan struct{})}
		select {
		case h.wake <- struct{}{}:
		default: // Run is about to look
		}
	}
	h.next.keys = append(h.next.keys, keys...)
	t := h.next
	h.mu.Unlock()
	limit := time.NewTimer(2 * h.limit) // that before it, and its own
	defer limit.Stop()
	select {
	case <-t.told:
	case <-limit.C:
	}
}

// Run tells until ctx is done.
func (h *herald) Run(ctx context.Context, ready func()) error {
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		}
		h.mu.Lock()
		t := h.next
		h.next = nil
		h.mu.Unlock()
		h.send(ctx, t.keys)
		close(t.told)
	}
}

func (h *herald) send(ctx context.Context, keys []string) {
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	for len(keys) > 0 {
		n, size := 0, 0
		for n < len(keys) && (n == 0 || size+len(keys[n]) <= most) {
			size += len(keys[n])
			n++
		}
		payload, err := json.Marshal(keys[:n])
		// Told once, a node may take the old response back from an owner that
		// is told later. After the second time there is nobody to take it from.
		for round := 0; round < 2 && err == nil; round++ {
			err = h.tell(ctx, payload)
		}
		if err != nil {
			h.untold.Add(float64(n))
		}
		keys = keys[n:]
	}
}
