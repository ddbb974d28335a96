package affinity

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/buraksezer/consistent"
)

// firstNodes returns the ids 1 to n.
func firstNodes(n int) []NodeID {
	ids := make([]NodeID, n)
	for i := range ids {
		ids[i] = NodeID(i + 1)
	}
	return ids
}

// ring returns the members of a ring on which each node has a weight of
// one.
func ring(nodes []NodeID) []consistent.Member {
	var shares []share
	for _, id := range nodes {
		shares = append(shares, share{id: id, weight: 1})
	}
	return ringMembers(shares)
}

func mustDistribute(t *testing.T, nodes []NodeID) *[Partitions]NodeID {
	t.Helper()
	owners, err := distribute(ring(nodes), ringConfig(len(nodes)))
	if err != nil {
		t.Fatal(err)
	}
	return owners
}

func TestPartitionsArePrime(t *testing.T) {
	for d := 2; d*d <= Partitions; d++ {
		if Partitions%d == 0 {
			t.Fatalf("%d is %d times %d", Partitions, d, Partitions/d)
		}
	}
}

// TestPointsAreDistinct is why the order of nodes cannot matter: with two
// points in one spot, the node that comes last has it.
func TestPointsAreDistinct(t *testing.T) {
	seen := make(map[uint64]string, (MaxNodes+MaxWeight)*ringPoints)
	add := func(m ringMember) {
		for i := range ringPoints {
			point := m.String() + strconv.Itoa(i)
			h := hasher{}.Sum64([]byte(point))
			if other, dup := seen[h]; dup {
				t.Fatalf("%s and %s are one point", other, point)
			}
			seen[h] = point
		}
	}
	for _, id := range firstNodes(MaxNodes) {
		add(newRingMember(id, 0))
	}
	for nth := range MaxWeight - 1 { // of nodes whose names begin alike
		add(newRingMember(1, nth+1))
		add(newRingMember(11, nth+1))
	}
}

// TestPointsAreWhereTheyShould holds the geometry: partitions evenly
// spaced, and a point of each member in each slice.
func TestPointsAreWhereTheyShould(t *testing.T) {
	const slice = math.MaxUint64 / ringPoints
	for _, n := range []int{0, 1, 9, 10, ringPoints - 1} {
		for _, m := range []ringMember{newRingMember(7, 0), newRingMember(1, 0), newRingMember(255, 15)} {
			name := m.String() + strconv.Itoa(n) // "node-7#0" has eight bytes, as partitions have
			if at := (hasher{}).Sum64([]byte(name)) / slice; at != uint64(n) {
				t.Errorf("%s is in slice %d", name, at)
			}
		}
	}
	var before uint64
	for p := range Partitions {
		at := hasher{}.Sum64(binary.LittleEndian.AppendUint64(nil, uint64(p)))
		if p > 0 && at-before != math.MaxUint64/Partitions {
			t.Fatalf("partition %d is %d after the one before", p, at-before)
		}
		before = at
	}
}

func TestOrderOfNodesDoesNotMatter(t *testing.T) {
	nodes := firstNodes(12) // 1 and 11, 2 and 12: names that begin alike
	want := mustDistribute(t, nodes)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		rnd.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		if *mustDistribute(t, nodes) != *want {
			t.Errorf("another table for the order %v", nodes)
		}
	}
}

// TestEveryFleetHasRoom uses fewer points, which leaves less choice and
// takes less time.
func TestEveryFleetHasRoom(t *testing.T) {
	for n := 1; n <= MaxNodes; n++ {
		if n > 32 && n != 64 && n != 128 && n != MaxNodes {
			continue
		}
		cfg := ringConfig(n)
		cfg.ReplicationFactor = 10
		if _, err := distribute(ring(firstNodes(n)), cfg); err != nil {
			t.Errorf("%d nodes: %v", n, err)
		}
	}
}

func TestLoadIsBounded(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 10, 32} {
		counts := make([]int, n)
		for _, owner := range mustDistribute(t, firstNodes(n)) {
			counts[owner-1]++
		}
		average := float64(Partitions) / float64(n)
		most, least := float64(slices.Max(counts))/average, float64(slices.Min(counts))/average
		t.Logf("%3d nodes: most %.3f, least %.3f of the average", n, most, least)
		if most > 1.15 || least < 0.80 {
			t.Errorf("%d nodes: shares from %.3f to %.3f of the average, want 0.80 to 1.15", n, least, most)
		}
	}
}

// TestPanicOfTheLibraryIsAnError has the library run out of room, and out
// of its mind.
func TestPanicOfTheLibraryIsAnError(t *testing.T) {
	full := ringConfig(3)
	full.ReplicationFactor = 10
	full.Load = 0.5
	noHasher := ringConfig(3)
	noHasher.Hasher = nil

	owners, err := distribute(ring(firstNodes(3)), full)
	if err == nil || !strings.Contains(err.Error(), "weights of 3: not enough room") || owners != nil {
		t.Errorf("a full ring: owners %v, error %v", owners != nil, err)
	}
	owners, err = distribute(ring(firstNodes(3)), noHasher)
	if err == nil || !strings.Contains(err.Error(), "Hasher") || owners != nil {
		t.Errorf("a ring without hash: owners %v, error %v", owners != nil, err)
	}
}

// leave is what moves when one node leaves, in percent of all partitions.
type leave struct {
	moved    float64 // all
	needless float64 // between nodes that stay
}

func leaving(before, after *[Partitions]NodeID, gone NodeID) (l leave) {
	for p := range before {
		if before[p] == after[p] {
			continue
		}
		l.moved += 100.0 / Partitions
		if before[p] != gone {
			l.needless += 100.0 / Partitions
		}
	}
	return l
}

// heavyAndLight returns the nodes that own the most and the least.
func heavyAndLight(owners *[Partitions]NodeID) []NodeID {
	var counts [MaxNodes + 1]int
	for _, owner := range owners {
		counts[owner]++
	}
	var heavy, light NodeID
	for _, id := range slices.Compact(slices.Sorted(slices.Values(owners[:]))) {
		if heavy == 0 || counts[id] > counts[heavy] {
			heavy = id
		}
		if light == 0 || counts[id] < counts[light] {
			light = id
		}
	}
	return []NodeID{heavy, light}
}

// TestOneNodeLeaves is the goal for disruption: of N nodes one leaves, and
// at most 1/N and 1 % of the keys move. What moves between nodes that
// stay counts, and has a bound of its own.
func TestOneNodeLeaves(t *testing.T) {
	for _, n := range []int{3, 10, 32} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			nodes := firstNodes(n)
			before := mustDistribute(t, nodes)
			leavers := nodes
			if n > 10 { // each of them takes too long
				leavers = heavyAndLight(before)
			}
			var worst leave
			least := 100.0
			for _, gone := range leavers {
				rest := slices.DeleteFunc(slices.Clone(nodes), func(id NodeID) bool { return id == gone })
				l := leaving(before, mustDistribute(t, rest), gone)
				worst = leave{max(worst.moved, l.moved), max(worst.needless, l.needless)}
				least = min(least, l.moved)
			}
			ideal := 100 / float64(n)
			t.Logf("moved: ideal %.2f %%, from %.2f %% to %.2f %%; of that needless at most %.2f %%",
				ideal, least, worst.moved, worst.needless)
			if worst.moved > ideal+1 {
				t.Errorf("%.2f %% moved, at most %.2f %%", worst.moved, ideal+1)
			}
			if worst.needless > 0.5 {
				t.Errorf("%.2f %% moved between nodes that stay, at most 0.5 %%", worst.needless)
			}
		})
	}
}

// TestOneNodeAlone compares the short cut for a lone node with the ring.
func TestOneNodeAlone(t *testing.T) {
	table, err := Build(7, View{Members: []Member{{Node: Node{ID: 7, Name: "alone"}, L4: Active, L7: Active}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for p, owner := range mustDistribute(t, []NodeID{7}) {
		if table.Owner(p) != owner {
			t.Fatalf("partition %d: owner %d, by the ring %d", p, table.Owner(p), owner)
		}
	}
}
