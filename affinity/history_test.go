package affinity

import (
	"testing"
)

// TestJoinerRemembers: a node that joins last, and was told the history,
// makes the same rows as one that has seen everything.
func TestJoinerRemembers(t *testing.T) {
	states := func(active ...NodeID) View {
		v := View{}
		for id := NodeID(1); id <= 6; id++ {
			state := Joining
			for _, a := range active {
				if a == id {
					state = Active
				}
			}
			v.Members = append(v.Members, Member{Node: Node{ID: id, Name: string('a' + rune(id))}, L4: state, L7: state})
		}
		return v
	}
	build := func(self NodeID, v View, before *Table) *Table {
		t.Helper()
		table, err := Build(self, v, before)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	first, second, third := states(1, 2, 3), states(1, 2, 3, 4), states(1, 2, 3, 4, 5)
	witness := build(1, second, build(1, first, nil))

	told, err := Remember(witness.History())
	if err != nil {
		t.Fatal(err)
	}
	joiner := build(5, third, build(5, second, told))
	witness = build(1, third, witness)
	stranger := build(5, third, build(5, second, nil))
	differ := 0
	for p := range Partitions {
		if joiner.Owner(p) != witness.Owner(p) || joiner.Previous(p) != witness.Previous(p) {
			t.Fatalf("partition %d: the joiner has %d after %v, the witness %d after %v",
				p, joiner.Owner(p), joiner.Previous(p), witness.Owner(p), witness.Previous(p))
		}
		if stranger.Previous(p) != witness.Previous(p) {
			differ++
		}
	}
	if differ == 0 {
		t.Error("the history makes no difference")
	}
}

func FuzzRemember(f *testing.F) {
	f.Add([]byte{}, uint16(0), byte(9))
	f.Fuzz(func(t *testing.T, short []byte, at uint16, id byte) {
		if _, err := Remember(short); err == nil && len(short) != historySize {
			t.Error("a history of another length is taken")
		}
		whole := make([]byte, historySize)
		whole[int(at)%historySize] = id
		told, err := Remember(whole)
		if err != nil {
			t.Fatal(err)
		}
		table, err := Build(1, View{Members: []Member{{Node: Node{ID: 1, Name: "a"}, L4: Active, L7: Active}}}, told)
		if err != nil {
			t.Fatal(err)
		}
		for p := range Partitions {
			if table.Previous(p) != [Depth]NodeID{} {
				t.Fatalf("partition %d was owned by %v, whom nobody knows", p, table.Previous(p))
			}
		}
	})
}
