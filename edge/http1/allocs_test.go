//go:build !race

package http1

import (
	"context"
	"testing"
)

// TestHitAllocs: from the bytes of a request to those of its answer nothing
// is allocated.
func TestHitAllocs(t *testing.T) {
	for _, size := range []int{1 << 10, 1 << 20} {
		c, e := ready(size)
		if n := testing.AllocsPerRun(200, func() {
			e.n = 1
			if !c.park() || !c.burst(context.Background()) {
				t.Fatal("the connection ended")
			}
		}); n != 0 {
			t.Errorf("%v allocations for a hit of %d bytes", n, size)
		}
	}
}

// TestHitAllocsOnLoopback: nor over a real connection. crypto/tls itself
// makes one reader for each record that it reads, at both ends.
func TestHitAllocsOnLoopback(t *testing.T) {
	for _, tc := range []struct {
		name   string
		secure bool
		allow  float64
	}{{"plain", false, 0}, {"over TLS", true, 2}} {
		t.Run(tc.name, func(t *testing.T) {
			ask := connect(t, tc.secure, 1<<10)
			for range 100 {
				ask()
			}
			if n := testing.AllocsPerRun(500, ask); n > tc.allow {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
