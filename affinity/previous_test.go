package affinity_test

import (
	"slices"
	"testing"

	"github.com/landfall-cdn/landfall/affinity"
)

// TestPreviousOwners follows views, and looks at the partitions that node 1
// owned at first: who has them, and who had them before.
func TestPreviousOwners(t *testing.T) {
	type chain = [affinity.Depth]affinity.NodeID
	const none = affinity.NodeID(0)
	joining, on, draining, gone := affinity.Joining, affinity.Active, affinity.Draining, affinity.Gone
	var all []affinity.View // 1 drains, then 2, and so on: each goes to the next
	for now := 2; now <= 5; now++ {
		var members []affinity.Member
		for id := 1; id < now; id++ {
			members = append(members, member(id, draining))
		}
		all = append(all, viewOf(append(members, member(now, on))...))
	}
	for _, c := range []struct {
		name  string
		views []affinity.View // after the first, in which 1 owns all
		owner affinity.NodeID
		prev  chain
	}{
		{"nothing changed", []affinity.View{active(1)}, 1, chain{}},
		{"drained", []affinity.View{viewOf(member(1, draining), member(2, on))}, 2, chain{1}},
		{"starts again", []affinity.View{viewOf(member(1, joining), member(2, on))}, 2, chain{1}},
		{"gone", []affinity.View{viewOf(member(1, gone), member(2, on))}, 2, chain{}},
		{"forgotten", []affinity.View{active(2)}, 2, chain{}},
		{"drained for packets alone", []affinity.View{viewOf(packets(member(1, on), draining))}, 1, chain{}},
		{"drained, then another joins", []affinity.View{
			viewOf(member(1, draining), member(2, on)),
			viewOf(member(1, draining), member(2, on), member(3, joining)),
		}, 2, chain{1}},
		{"drained, then gone", []affinity.View{viewOf(member(1, draining), member(2, on)), viewOf(member(1, gone), member(2, on))}, 2, chain{}},
		{"there and back", []affinity.View{viewOf(member(1, draining), member(2, on)), viewOf(member(1, on), member(2, draining))}, 1, chain{2}},
		{"two changes", all[:2], 3, chain{2, 1}},
		{"three changes", all[:3], 4, chain{3, 2, 1}},
		{"four changes", all, 5, chain{4, 3, 2}},
		{"three changes, one of them gone", append(slices.Clone(all[:3]),
			viewOf(member(1, draining), member(2, gone), member(3, draining), member(4, on))), 4, chain{3, 1}},
		{"three changes, then back to the second", append(slices.Clone(all[:3]),
			viewOf(member(1, draining), member(2, on), member(3, draining), member(4, draining))), 2, chain{4, 3, 1}},
		{"gone is forgotten although it comes back", []affinity.View{
			viewOf(member(1, gone), member(2, on)), viewOf(member(1, joining), member(2, on)),
		}, 2, chain{}},
		{"over nobody", []affinity.View{viewOf(member(1, draining)), viewOf(member(1, draining), member(2, on))}, 2, chain{1}},
		{"over nobody and back", []affinity.View{viewOf(member(1, draining)), active(1)}, 1, chain{}},
		{"nobody", []affinity.View{viewOf(member(1, draining))}, none, chain{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := build(t, 2, active(1), nil)
			for _, view := range c.views {
				table = build(t, 2, view, table)
			}
			for p := range affinity.Partitions {
				if table.Owner(p) != c.owner || table.Previous(p) != c.prev {
					t.Fatalf("partition %d: owner %d, before %v; want %d, before %v", p, table.Owner(p), table.Previous(p), c.owner, c.prev)
				}
				checkPrevious(t, table, p)
			}
			want := affinity.Place{Owner: c.owner, Mine: c.owner == 2, Previous: c.prev}
			if got := table.Place("a key"); got != want {
				t.Errorf("node 2 places at %+v, want %+v", got, want)
			}
		})
	}
}

// TestPreviousOwnerByPartition has one of three drain: its partitions
// name it, those of others name nobody or who had them before.
func TestPreviousOwnerByPartition(t *testing.T) {
	before := build(t, 1, active(1, 2, 3), nil)
	after := build(t, 1, viewOf(member(1, affinity.Active), member(2, affinity.Active), member(3, affinity.Draining)), before)
	remembered := 0
	for p := range affinity.Partitions {
		want := [affinity.Depth]affinity.NodeID{}
		if before.Owner(p) != after.Owner(p) {
			want[0] = before.Owner(p)
		}
		if after.Previous(p) != want {
			t.Fatalf("partition %d went from %d to %d, and before had it %v", p, before.Owner(p), after.Owner(p), after.Previous(p))
		}
		if want[0] == 3 {
			remembered++
		}
	}
	if remembered != before.Count(3) {
		t.Errorf("node 3 drained, and %d of its %d partitions remember it", remembered, before.Count(3))
	}
}

// TestLifeOfANode joins a node, makes it active, drains it and lets it
// take part again: it owns the same, exactly while it is active.
func TestLifeOfANode(t *testing.T) {
	with := func(s affinity.State) affinity.View {
		return viewOf(member(1, affinity.Active), member(2, affinity.Active), member(3, s))
	}
	two := build(t, 1, active(1, 2), nil)
	three := build(t, 1, active(1, 2, 3), nil)
	table := two
	for _, step := range []struct {
		state affinity.State
		same  *affinity.Table
	}{
		{affinity.Joining, two},
		{affinity.Active, three},
		{affinity.Draining, two},
		{affinity.Active, three}, // the drain was called off
		{affinity.Draining, two},
		{affinity.Gone, two},
	} {
		table = build(t, 1, with(step.state), table)
		if table.Hash() != step.same.Hash() || !slices.Equal(owners(table), owners(step.same)) {
			t.Errorf("%v: another table than of the same active nodes", step.state)
		}
		if owns := table.Count(3) > 0; owns != (step.state == affinity.Active) {
			t.Errorf("%v: owns %d partitions", step.state, table.Count(3))
		}
	}
}
