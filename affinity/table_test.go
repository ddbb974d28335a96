package affinity_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/affinity"
)

func build(t testing.TB, self int, view affinity.View, previous *affinity.Table) *affinity.Table {
	t.Helper()
	table, err := affinity.Build(affinity.NodeID(self), view, previous)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// owners returns the owner of each partition.
func owners(t *affinity.Table) (ids []affinity.NodeID) {
	for p := range affinity.Partitions {
		ids = append(ids, t.Owner(p))
	}
	return ids
}

func keys(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("shop https://shop.example.com/item/%d", i))
	}
	return out
}

// TestTablesArePinned holds what all versions of a fleet must agree on. A
// change here is a change of protocol: old and new nodes cannot share a
// fleet.
func TestTablesArePinned(t *testing.T) {
	var many []int // so many that the bound on load is reached
	for id := range 32 {
		many = append(many, id+1)
	}
	for _, c := range []struct {
		view affinity.View
		hash uint64
	}{
		{active(many...), 0x693ed99660145a08},
		{viewOf(), 0x8d21a0e2d556fd07},
		{active(1), 0x47ba6247f031eaab},
		{active(1, 2, 3), 0x8004fe7df008f19a},
		{active(9, 99, 255), 0x2ab6cdffca9ad9ae},
		{viewOf(weighing(member(1, affinity.Active), 16), member(2, affinity.Active), weighing(member(3, affinity.Active), 2)), 0x2dbd51a85b54362d},
	} {
		if got := build(t, 1, c.view, nil).Hash(); got != c.hash {
			t.Errorf("the table of %+v has hash %#x, want %#x", c.view.Members, got, c.hash)
		}
	}
	if got := affinity.Partition("shop https://shop.example.com/"); got != 1992 {
		t.Errorf("the key is in partition %d, want 1992", got)
	}
}

func TestNodesAgree(t *testing.T) {
	view := viewOf(weighing(member(3, affinity.Active), 2), member(1, affinity.Joining), weighing(member(11, affinity.Active), 3),
		member(2, affinity.Active), member(4, affinity.Gone))
	want := build(t, 3, view, nil)
	checkTable(t, want, view, 3)
	if got := want.Owners(); !slices.Equal(got, []affinity.NodeID{2, 3, 11}) {
		t.Errorf("owners %v", got)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 3 {
		rnd.Shuffle(len(view.Members), func(i, j int) { view.Members[i], view.Members[j] = view.Members[j], view.Members[i] })
		for _, before := range []*affinity.Table{nil, build(t, 11, active(2, 3), nil)} {
			got := build(t, 11, view, before)
			if got.Hash() != want.Hash() || !slices.Equal(owners(got), owners(want)) {
				t.Errorf("another table for the order %+v", view.Members)
			}
		}
	}
	if other := build(t, 3, active(2, 3), nil); other.Hash() == want.Hash() {
		t.Error("tables of different owners have one hash")
	}
}

func TestUnchangedOwnersAreCarriedOver(t *testing.T) {
	first := build(t, 1, active(1, 2, 3), nil)
	view := viewOf(member(3, affinity.Active), member(2, affinity.Active), member(1, affinity.Active), member(4, affinity.Joining))
	view.Generation = 8
	second := build(t, 1, view, first)
	if !slices.Equal(owners(first), owners(second)) || first.Hash() != second.Hash() {
		t.Error("the owners changed, though the active members did not")
	}
	if first.Generation() != 7 || second.Generation() != 8 {
		t.Errorf("generations %d and %d, want 7 and 8", first.Generation(), second.Generation())
	}
	checkTable(t, second, view, 3)
}

// TestPlace compares three nodes' places of one key with its owner.
func TestPlace(t *testing.T) {
	view := active(1, 2, 3)
	tables := map[affinity.NodeID]*affinity.Table{1: build(t, 1, view, nil), 2: build(t, 2, view, nil), 9: build(t, 9, view, nil)}
	mine := 0
	for _, key := range keys(300) {
		owner := tables[1].Owner(affinity.Partition(key))
		for self, table := range tables {
			want := affinity.Place{Owner: owner, Mine: owner == self}
			if got := table.Place(key); got != want {
				t.Errorf("node %d: %s is at %+v, want %+v", self, key, got, want)
			}
			if owner == self {
				mine++
			}
		}
	}
	if mine < 150 || mine > 250 {
		t.Errorf("nodes 1 and 2 own %d of 300 keys, expected about 200", mine)
	}
}

func TestPlaceWithoutOthers(t *testing.T) {
	for _, c := range []struct {
		name string
		view affinity.View
		want affinity.Place
	}{
		{"alone", active(1), affinity.Place{Owner: 1, Mine: true}},
		{"nobody active", viewOf(member(1, affinity.Joining), member(2, affinity.Draining)), affinity.Place{}},
		{"nobody known", viewOf(), affinity.Place{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := build(t, 1, c.view, nil)
			for _, key := range append(keys(100), "") {
				if got := table.Place(key); got != c.want {
					t.Errorf("%q is at %+v, want %+v", key, got, c.want)
				}
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		self affinity.NodeID
		view affinity.View
		says string
	}{
		{"no self", 0, active(1), "view 7: this node's id is 0"},
		{"bad view", 1, active(1, 1), "view 7: members[1]: id: 1 belongs to members[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, err := affinity.Build(c.self, c.view, nil)
			if table != nil || err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("table %v, error %v, want %q", table != nil, err, c.says)
			}
		})
	}
}

func TestPlaceAllocatesNothing(t *testing.T) {
	table := build(t, 1, active(1, 2, 3), nil)
	key := strings.Repeat("shop https://shop.example.com/", 10)
	var peers int
	allocs := testing.AllocsPerRun(1000, func() {
		if !table.Place(key).Mine {
			peers++
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a place, want none (%d at peers)", allocs, peers)
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{1, 3, 10, 32, 128} {
		var ids []int
		for id := range n {
			ids = append(ids, id+1)
		}
		view := active(ids...)
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				build(b, 1, view, nil)
			}
		})
	}
	b.Run("unchanged", func(b *testing.B) {
		before := build(b, 1, active(1, 2, 3), nil)
		for b.Loop() {
			build(b, 1, active(1, 2, 3), before)
		}
	})
}

func BenchmarkPlace(b *testing.B) {
	table := build(b, 1, active(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), nil)
	all := keys(1024)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Place(all[i%len(all)])
	}
}
