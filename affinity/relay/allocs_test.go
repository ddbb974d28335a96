//go:build !race

package relay

import (
	"context"
	"crypto/tls"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// TestHitAllocates pins that hits allocate nothing at the node that answers,
// from the frames that were read to those that are written.
func TestHitAllocates(t *testing.T) {
	for _, size := range []int{0, 1 << 10, 16 << 10} {
		h := &stub{stored: map[string]*exchange.Stored{"/a": object(size)}}
		s := newServer(ServerConfig{TLS: &tls.Config{}, Handler: h, Limits: limits.Default(), Log: nop}, nil, nil)
		c := newServerConn(context.Background(), s, 2, nil, newPipe(&wireEnd{in: newWire(), out: newWire()}))
		r := get("/a")
		head := framed(frameHead, 1, appendRequest(nil, flagsOf(r), r))
		if err := c.feed(frames(head, head), 1<<20); err != nil {
			t.Fatal(err)
		}
		batch := append(append(head, head...), head...)
		before := h.hits.Load()
		got := testing.AllocsPerRun(200, func() {
			c.out = c.out[:0]
			if err := c.feed(batch, 1<<20); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 || h.hits.Load() == before {
			t.Errorf("3 hits of %d bytes: %v allocations, %d hits", size, got, h.hits.Load()-before)
		}
		c.alarm.Stop()
	}
}
