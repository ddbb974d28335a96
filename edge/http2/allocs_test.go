//go:build !race

package http2

import (
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestHitAllocates pins that a wake-up of hits allocates nothing.
func TestHitAllocates(t *testing.T) {
	for _, tc := range []struct{ hits, size int }{{1, 1024}, {16, 1024}, {20, 16 << 10}, {2, 200_000}} {
		h := &stub{stored: map[string]*exchange.Stored{"/a": object(tc.size)}}
		b := newBatch(t, h, "/a", tc.hits)
		b.c.initialWindow = 1 << 30
		before := h.hits.Load()
		got := testing.AllocsPerRun(200, func() { b.feed(t, b.input, b.heads) })
		// A hit that waits for its turn takes a place in the queue.
		if tc.size <= maxFrame && got != 0 || got > 8 {
			t.Errorf("%d hits of %d bytes: %v allocations", tc.hits, tc.size, got)
		}
		if h.hits.Load() == before {
			t.Error("no hits")
		}
	}
}
