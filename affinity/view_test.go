package affinity_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/affinity"
)

// member is a node with a name made of its id.
func member(id int, state affinity.State) affinity.Member {
	node := affinity.Node{ID: affinity.NodeID(id), Name: fmt.Sprintf("node-%d", id)}
	return affinity.Member{Node: node, L4: state, L7: state}
}

func viewOf(members ...affinity.Member) affinity.View {
	return affinity.View{Generation: 7, Members: members}
}

// active is a view of active nodes.
func active(ids ...int) affinity.View {
	var members []affinity.Member
	for _, id := range ids {
		members = append(members, member(id, affinity.Active))
	}
	return viewOf(members...)
}

func named(m affinity.Member, name string) affinity.Member {
	m.Name = name
	return m
}

func packets(m affinity.Member, l4 affinity.State) affinity.Member {
	m.L4 = l4
	return m
}

func weighing(m affinity.Member, weight int) affinity.Member {
	m.Weight = weight
	return m
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		view affinity.View
		want []string // one for each error, in order
	}{
		{"no members", viewOf(), nil},
		{"all states", viewOf(member(1, affinity.Joining), member(2, affinity.Active), member(3, affinity.Draining), member(255, affinity.Gone)), nil},
		{"nobody active", viewOf(member(1, affinity.Gone)), nil},
		{"no id", viewOf(member(0, affinity.Active)), []string{"view 7: members[0]: id: 0 is no node; give each node a number from 1 to 255"}},
		{"two without id", viewOf(member(0, affinity.Active), named(member(0, affinity.Active), "b")), []string{
			"members[0]: id: 0", "members[1]: id: 0",
		}},
		{"one id twice", viewOf(member(4, affinity.Active), named(member(4, affinity.Gone), "b")), []string{
			"members[1]: id: 4 belongs to members[0] already",
		}},
		{"no name", viewOf(named(member(1, affinity.Active), "")), []string{"members[0]: name: missing"}},
		{"one name twice", viewOf(member(1, affinity.Active), named(member(2, affinity.Active), "node-1")), []string{
			`members[1]: name: "node-1" belongs to members[0] already`,
		}},
		{"forgotten state", viewOf(member(1, 0)), []string{"members[0]: l4: state-0 is no state", "members[0]: l7: state-0 is no state"}},
		{"unknown state", viewOf(member(1, affinity.Gone+1)), []string{"members[0]: l4: state-5", "members[0]: l7: state-5 is no state"}},
		{"states of its own", viewOf(packets(member(1, affinity.Active), affinity.Draining)), nil},
		{"largest weight", viewOf(weighing(member(1, affinity.Active), 16)), nil},
		{"weights", viewOf(weighing(member(1, affinity.Active), 17), weighing(member(2, affinity.Active), -1)), []string{
			"members[0]: weight: 17 is none; give each node one from 1 to 16", "members[1]: weight: -1",
		}},
		{"all at once", viewOf(member(1, affinity.Active), named(member(1, 9), "node-1"), named(member(0, affinity.Active), "")), []string{
			"members[1]: id: 1", "members[1]: name:", "members[1]: l4: state-9", "members[1]: l7: state-9", "members[2]: id: 0", "members[2]: name: missing",
		}},
		{"too many", viewOf(make([]affinity.Member, 256)...), []string{"view 7: 256 members, at most 255"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			members := slices.Clone(c.view.Members)
			var got []string
			if err := c.view.Validate(); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			fits := slices.EqualFunc(got, c.want, strings.Contains)
			if !fits {
				t.Errorf("errors %q, want %q", got, c.want)
			}
			if !slices.Equal(members, c.view.Members) {
				t.Error("the view was changed")
			}
		})
	}
}

func TestStateString(t *testing.T) {
	for state, want := range map[affinity.State]string{
		0: "state-0", affinity.Joining: "joining", affinity.Active: "active",
		affinity.Draining: "draining", affinity.Gone: "gone", 5: "state-5", 255: "state-255",
	} {
		if got := state.String(); got != want {
			t.Errorf("state %d is %q, want %q", uint8(state), got, want)
		}
	}
}

// FuzzView makes a view of any bytes, a member of each three: Validate
// must find exactly what is wrong, and Build must take what it passes.
func FuzzView(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 'a', 2})
	f.Add([]byte{1, 'a', 2, 2, 'b', 2, 3, 'c', 1, 4, 'd', 4})
	f.Add([]byte{1, 'a', 2, 1, 'b', 2})
	f.Add([]byte{1, 'a', 2, 2, 'a', 3})
	f.Add([]byte{0, 'a', 2, 2, 0, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 3*8 {
			return // building larger tables finds nothing new, slowly
		}
		var view affinity.View
		ids, names := make(map[byte]bool), make(map[byte]bool)
		valid, owners := true, 0
		for ; len(data) >= 3; data = data[3:] {
			id, name, state := data[0], data[1], affinity.State(data[2])
			m := affinity.Member{Node: affinity.Node{ID: affinity.NodeID(id)}, L4: state, L7: state}
			if name != 0 {
				m.Name = string(rune(name))
			}
			valid = valid && id != 0 && !ids[id] && name != 0 && !names[name] && state >= affinity.Joining && state <= affinity.Gone
			ids[id], names[name] = true, true
			if state == affinity.Active {
				owners++
			}
			view.Members = append(view.Members, m)
		}
		if err := view.Validate(); (err == nil) != valid {
			t.Fatalf("%+v: valid is %v, error %v", view.Members, valid, err)
		}
		table, err := affinity.Build(1, view, nil)
		if (err == nil) != valid {
			t.Fatalf("%+v: valid is %v, Build says %v", view.Members, valid, err)
		}
		if valid {
			checkTable(t, table, view, owners)
		}
	})
}

// checkTable checks what is true of every table.
func checkTable(t *testing.T, table *affinity.Table, view affinity.View, owners int) {
	t.Helper()
	counts := make(map[affinity.NodeID]int)
	for p := range affinity.Partitions {
		counts[table.Owner(p)]++
		checkPrevious(t, table, p)
	}
	if owners == 0 {
		if counts[0] != affinity.Partitions || len(table.Owners()) != 0 {
			t.Errorf("nobody is active, but %v own %v", table.Owners(), counts)
		}
		return
	}
	if len(counts) != owners || len(table.Owners()) != owners {
		t.Errorf("%v own %v, want %d owners", table.Owners(), counts, owners)
	}
	for id, n := range counts {
		isActive := slices.ContainsFunc(view.Members, func(m affinity.Member) bool { return m.ID == id && m.L7 == affinity.Active })
		if !isActive || table.Count(id) != n {
			t.Errorf("node %d owns %d, counted %d, active is %v", id, n, table.Count(id), isActive)
		}
	}
}

// checkPrevious checks that previous owners differ from the owner and from
// each other, and that nothing follows the first 0.
func checkPrevious(t *testing.T, table *affinity.Table, p int) {
	t.Helper()
	previous := table.Previous(p)
	seen := map[affinity.NodeID]bool{table.Owner(p): true}
	for i, id := range previous {
		if id == 0 && slices.Max(previous[i:]) != 0 || id != 0 && seen[id] {
			t.Fatalf("partition %d: owner %d, before %v", p, table.Owner(p), previous)
		}
		seen[id] = true
	}
}
