package affinity

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

// someNodes returns n random ids.
func someNodes(rnd *rand.Rand, n int) []NodeID {
	ids := make([]NodeID, n)
	for i, v := range rnd.Perm(MaxNodes)[:n] {
		ids[i] = NodeID(v + 1)
	}
	return ids
}

// TestFleetsOfAnyNodes is the goal for disruption, of fleets with ids by
// chance: of N nodes one leaves, and at most 1/N and 1 % of the partitions
// move, and no node owns more than 1.15 of the average.
func TestFleetsOfAnyNodes(t *testing.T) {
	for _, c := range []struct{ nodes, fleets, leavers int }{
		{nodes: 3, fleets: 12, leavers: 3},
		{nodes: 10, fleets: 2, leavers: 2},
		{nodes: 32, fleets: 1, leavers: 1},
	} {
		t.Run(strconv.Itoa(c.nodes), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(c.nodes), 1))
			var worst leave
			var heaviest float64
			var slowest time.Duration
			for range c.fleets {
				nodes := someNodes(rnd, c.nodes)
				began := time.Now()
				before := mustDistribute(t, nodes)
				slowest = max(slowest, time.Since(began))
				var counts [MaxNodes + 1]int
				for _, owner := range before {
					counts[owner]++
				}
				heaviest = max(heaviest, float64(slices.Max(counts[:])*c.nodes)/Partitions)
				for _, gone := range nodes[:c.leavers] {
					rest := slices.DeleteFunc(slices.Clone(nodes), func(id NodeID) bool { return id == gone })
					l := leaving(before, mustDistribute(t, rest), gone)
					worst = leave{max(worst.moved, l.moved), max(worst.needless, l.needless)}
				}
			}
			ideal := 100 / float64(c.nodes)
			t.Logf("%d fleets: moved at most %.2f %% (1/N is %.2f %%), between nodes that stay %.2f %%; max/avg %.3f; built in %v",
				c.fleets, worst.moved, ideal, worst.needless, heaviest, slowest.Round(time.Millisecond))
			if worst.moved > ideal+1 {
				t.Errorf("%.2f %% moved, at most %.2f %%", worst.moved, ideal+1)
			}
			if heaviest > 1.15 {
				t.Errorf("a node owns %.3f of the average, at most 1.15", heaviest)
			}
		})
	}
}

// TestWeights gives one node two to three times what others have.
func TestWeights(t *testing.T) {
	view := func(weight int) View {
		v := View{Generation: 1}
		for id := NodeID(1); id <= 4; id++ {
			v.Members = append(v.Members, Member{Node: Node{ID: id, Name: strconv.Itoa(int(id))}, L4: Active, L7: Active})
		}
		v.Members[1].Weight = weight
		return v
	}
	table := func(weight int, before *Table) *Table {
		t.Helper()
		table, err := Build(1, view(weight), before)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	one := table(1, nil)
	if zero := table(0, one); zero.hash != one.hash {
		t.Error("weight 0 and weight 1 give two tables")
	}
	before := one
	for weight := 2; weight <= 3; weight++ {
		after := table(weight, before)
		want := float64(weight) / float64(3+weight)
		got := float64(after.Count(2)) / Partitions
		if got < 0.93*want || got > 1.07*want {
			t.Errorf("weight %d: owns %.3f of all, want about %.3f", weight, got, want)
		}
		moved, away := 0, 0
		for p := range Partitions {
			if before.Owner(p) != after.Owner(p) {
				moved++
				if before.Owner(p) == 2 {
					away++
				}
			}
		}
		gained := after.Count(2) - before.Count(2)
		t.Logf("weight %d: owns %.3f of all, %.3f ideal; %d partitions moved, %d gained, %d lost", weight, got, want, moved, gained, away)
		if limit := gained + Partitions/50; moved > limit {
			t.Errorf("weight %d: %d partitions moved for %d gained, at most %d", weight, moved, gained, limit)
		}
		before = after
	}
}

func TestRank(t *testing.T) {
	won := map[string]int{}
	for i := range 3000 {
		key := strconv.Itoa(i)
		best := "fra"
		for _, name := range []string{"ams", "lhr"} {
			if Rank(name, key) > Rank(best, key) {
				best = name
			}
		}
		won[best]++
	}
	for name, n := range won {
		if n < 900 || n > 1100 {
			t.Errorf("%s won %d of 3000 keys, expected about 1000", name, n)
		}
	}
	if Rank("a", "bc") == Rank("ab", "c") {
		t.Error("two pairs read alike")
	}
	if got := testing.AllocsPerRun(100, func() { Rank("fra", "key") }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
