package affinity

import (
	"fmt"
	"strconv"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
)

// Partitions is how many parts the space of keys is cut into, each with
// one owner. It is prime, so that the remainder of a hash spreads evenly;
// it leaves each of MaxNodes 64 partitions; and at two bytes a partition a
// table stays in the processor's cache.
//
// All nodes must agree on it, on the two constants below, on the hash and
// on the names of the ring's members: a fleet is upgraded node by node, and
// two that compute differently take each other for owners of what neither
// thinks it owns.
const Partitions = 16381

const (
	// ringPoints is how many points a node has on the ring. Shares differ by
	// about 1/sqrt(points), 3 %. With the usual 20 it is 22 %, and nodes run
	// into maxLoad, which moves partitions between nodes that stay.
	ringPoints = 1000

	// maxLoad bounds a node's partitions, as a multiple of the average. The
	// bound changes with the number of nodes, and where it bites, partitions
	// move that did not have to: 1.05 does that often, 1.10 hardly.
	maxLoad = 1.10
)

// ringConfig is the ring that tables come from. Tests bend it.
func ringConfig() consistent.Config {
	return consistent.Config{
		Hasher:            hasher{},
		PartitionCount:    Partitions,
		ReplicationFactor: ringPoints,
		Load:              maxLoad,
	}
}

// hasher is XXH64: fast, the same everywhere, and spread well enough for
// points of similar names, which FNV is not (it moves four times as many
// partitions). It is not keyed, so a client can choose URLs that one node
// owns; what a client may ask of a node is limited there.
type hasher struct{}

func (hasher) Sum64(b []byte) uint64 { return xxhash.Sum64(b) }

// ringMember is a node on the ring. Its points are hashes of its name
// followed by 0, 1, 2 ... in decimal, so the name must not end in a digit:
// the 11th point of "1" would be the first of "11", and one node would lose
// its share to the other. It is made of the id alone, and so renaming a node
// moves nothing.
type ringMember struct {
	id   NodeID
	name string
}

func newRingMember(id NodeID) ringMember {
	return ringMember{id: id, name: "node-" + strconv.Itoa(int(id)) + "#"}
}

func (m ringMember) String() string { return m.name }

// distribute returns the owner of each partition. The result depends on
// the set of nodes only, not on their order. It takes about 10 ms for 10
// nodes, 60 ms for 32 and 1 s for 128, and is never on the path.
//
// The library panics when it finds no room for a partition. No set of
// nodes does that with ringConfig, but a library's panic must not end a
// node that has a table to go on with.
func distribute(nodes []NodeID, cfg consistent.Config) (owners *[Partitions]NodeID, err error) {
	defer func() {
		if p := recover(); p != nil {
			owners = nil
			err = fmt.Errorf("distributing %d partitions over %d nodes: %v; this is a fault of Landfall, please report it", Partitions, len(nodes), p)
		}
	}()
	members := make([]consistent.Member, len(nodes))
	for i, id := range nodes {
		members[i] = newRingMember(id)
	}
	ring := consistent.New(members, cfg)
	owners = new([Partitions]NodeID)
	for p := range owners {
		owners[p] = ring.GetPartitionOwner(p).(ringMember).id
	}
	return owners, nil
}
