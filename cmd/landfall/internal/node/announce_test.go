package node

import (
	"os"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/bgp/ladder"
)

// TestOrderFile: what an operator wants outlives the process, a drain does
// not, and a file that cannot be read is no order at all.
func TestOrderFile(t *testing.T) {
	f := newOrderFile(t.TempDir())
	want := func(o ladder.Order) {
		t.Helper()
		if got, err := f.load(); err != nil || got != o {
			t.Errorf("%+v, %v; want %+v", got, err, o)
		}
	}
	save := func(o ladder.Order) {
		t.Helper()
		if err := f.save(o); err != nil {
			t.Error(err)
		}
	}
	want(ladder.Order{})
	withdrawn := ladder.Order{Floor: bgp.Withdrawn, Prepend: 2, Reason: "a disk"}
	save(withdrawn)
	want(withdrawn)
	save(ladder.Order{Floor: bgp.Gshut, Drain: true})
	want(withdrawn)
	save(ladder.Order{})
	want(ladder.Order{})
	save(ladder.Order{})
	if err := os.WriteFile(f.path, []byte(`{"floor": "up`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.load(); err == nil || !strings.Contains(err.Error(), f.path) {
		t.Errorf("a broken file: %v", err)
	}
}
