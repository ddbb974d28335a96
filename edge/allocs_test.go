//go:build !race

package edge

import (
	"slices"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestHitAllocatesNothing: admission, lookup, record and counts of a
// request as a browser sends it.
func TestHitAllocatesNothing(t *testing.T) {
	u, r := stored(t)
	fields := slices.Clone(r.Header)
	var h exchange.Stored
	if n := testing.AllocsPerRun(1000, func() {
		r.Header = append(r.Header[:0], fields...)
		hit(t, u, r, &h)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
