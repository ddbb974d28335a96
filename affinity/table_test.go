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

// previous returns the owner before that, of each partition.
func previous(t *affinity.Table) (ids []affinity.NodeID) {
	for p := range affinity.Partitions {
		ids = append(ids, t.Previous(p))
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
		{active(many...), 0x74e6af5c3fa48b20},
		{viewOf(), 0x8d21a0e2d556fd07},
		{active(1), 0x47ba6247f031eaab},
		{active(1, 2, 3), 0x9c2f40883f5c24a2},
		{active(9, 99, 255), 0xf4f4c38fb11c267a},
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
	view := viewOf(member(3, affinity.Active), member(1, affinity.Joining), member(11, affinity.Active),
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

// TestPlace compares two nodes' places of one key with its owner.
func TestPlace(t *testing.T) {
	view := active(1, 2, 3)
	tables := map[affinity.NodeID]*affinity.Table{1: build(t, 1, view, nil), 2: build(t, 2, view, nil), 9: build(t, 9, view, nil)}
	here := 0
	for _, key := range keys(300) {
		owner := tables[1].Owner(affinity.Partition(key))
		for self, table := range tables {
			want := affinity.Place{Peer: owner}
			if owner == self {
				want = affinity.Place{}
				here++
			}
			if got := table.Place(key); got != want || got.Here() != (owner == self) {
				t.Errorf("node %d: %s is at %+v, here is %v; its owner is %d", self, key, got, got.Here(), owner)
			}
		}
	}
	if here < 150 || here > 250 {
		t.Errorf("nodes 1 and 2 own %d of 300 keys, expected about 200", here)
	}
}

func TestEverythingIsHere(t *testing.T) {
	for _, c := range []struct {
		name string
		view affinity.View
	}{
		{"alone", active(1)},
		{"nobody active", viewOf(member(1, affinity.Joining), member(2, affinity.Draining))},
		{"nobody known", viewOf()},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := build(t, 1, c.view, nil)
			for _, key := range append(keys(100), "") {
				if got := table.Place(key); got != (affinity.Place{}) {
					t.Errorf("%q is at %+v", key, got)
				}
			}
		})
	}
}

// TestPreviousOwner follows views, and looks at the partitions that node 1
// owned at first: who has them, and who had them before.
func TestPreviousOwner(t *testing.T) {
	const none = affinity.NodeID(0)
	joining, on, draining, gone := affinity.Joining, affinity.Active, affinity.Draining, affinity.Gone
	for _, c := range []struct {
		name  string
		views []affinity.View // after the first, in which 1 owns all
		owner affinity.NodeID
		prev  affinity.NodeID
	}{
		{"nothing changed", []affinity.View{active(1)}, 1, none},
		{"drained", []affinity.View{viewOf(member(1, draining), member(2, on))}, 2, 1},
		{"starts again", []affinity.View{viewOf(member(1, joining), member(2, on))}, 2, 1},
		{"gone", []affinity.View{viewOf(member(1, gone), member(2, on))}, 2, none},
		{"forgotten", []affinity.View{active(2)}, 2, none},
		{"drained, then another joins", []affinity.View{
			viewOf(member(1, draining), member(2, on)),
			viewOf(member(1, draining), member(2, on), member(3, joining)),
		}, 2, 1},
		{"drained, then gone", []affinity.View{viewOf(member(1, draining), member(2, on)), viewOf(member(1, gone), member(2, on))}, 2, none},
		{"there and back", []affinity.View{viewOf(member(1, draining), member(2, on)), viewOf(member(1, on), member(2, draining))}, 1, 2},
		{"on to a third", []affinity.View{
			viewOf(member(1, draining), member(2, on)),
			viewOf(member(1, draining), member(2, draining), member(3, on)),
		}, 3, 2},
		{"over nobody", []affinity.View{viewOf(member(1, draining)), viewOf(member(1, draining), member(2, on))}, 2, 1},
		{"over nobody and back", []affinity.View{viewOf(member(1, draining)), active(1)}, 1, none},
		{"nobody", []affinity.View{viewOf(member(1, draining))}, none, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := build(t, 2, active(1), nil)
			for _, view := range c.views {
				table = build(t, 2, view, table)
			}
			for p := range affinity.Partitions {
				if table.Owner(p) != c.owner || table.Previous(p) != c.prev {
					t.Fatalf("partition %d: owner %d, before %d; want %d, before %d", p, table.Owner(p), table.Previous(p), c.owner, c.prev)
				}
			}
			want := affinity.Place{Peer: c.owner, Previous: c.prev}
			if c.owner == 2 {
				want.Peer = 0
			}
			if c.prev == 2 {
				want.Previous = 0
			}
			if got := table.Place("a key"); got != want {
				t.Errorf("node 2 places at %+v, want %+v", got, want)
			}
		})
	}
}

// TestPreviousOwnerByPartition has one of three drain: its partitions
// name it, those of others name nobody.
func TestPreviousOwnerByPartition(t *testing.T) {
	before := build(t, 1, active(1, 2, 3), nil)
	after := build(t, 1, viewOf(member(1, affinity.Active), member(2, affinity.Active), member(3, affinity.Draining)), before)
	was, is := owners(before), owners(after)
	for p, prev := range previous(after) {
		want := affinity.NodeID(0)
		if was[p] != is[p] {
			want = was[p]
		}
		if prev != want {
			t.Fatalf("partition %d went from %d to %d, and %d had it before", p, was[p], is[p], prev)
		}
	}
	if slices.Index(previous(after), 3) < 0 {
		t.Error("node 3 drained, and nothing remembers it")
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
		if !table.Place(key).Here() {
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
