package affinity

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
)

// Partitions is how many parts the space of keys is cut into, each with
// one owner. It is prime, so that the remainder of a hash spreads evenly;
// it leaves each of MaxNodes 64 partitions; and at four bytes a partition a
// table stays in the processor's cache.
//
// All nodes must agree on it, on the constants below, on the places of
// points and on the names of the ring's members: a fleet is upgraded node by
// node, and two that compute differently take each other for owners of what
// neither thinks it owns.
const Partitions = 16381

const (
	// ringPoints is how many points a weight of one has on the ring. Shares
	// differ by about 1/sqrt(points). The library sorts all points again for
	// each member, so twice as many take twice the time: with 1500 a table of
	// 32 nodes takes about 120 ms.
	ringPoints = 1500

	// maxLoad bounds the partitions of a weight of one, as a multiple of the
	// average. The bound changes with the number of nodes, and where it
	// bites, partitions move that did not have to.
	maxLoad = 1.10

	// maxExcess is a tighter bound for small fleets: as much of all
	// partitions more than the average. There the chance that spreads points
	// is a larger part of the whole: of three nodes one has often 1 % more,
	// and what moves when it leaves is 1 % more too. A tighter bound moves as
	// much between those that stay. With this one, when one of N nodes with
	// ids by chance leaves, 1/N and 1 % move at most, except in 3 of 1000
	// fleets of three, 5 of 100 of four, 2 of 100 of five and fewer of
	// larger ones; there it is up to 0.8 % more.
	maxExcess = 0.009
)

// ringConfig is the ring of that many members. Tests bend it.
func ringConfig(members int) consistent.Config {
	load := maxLoad
	// Two share alike anyway, and their bound would move partitions when a
	// third comes or leaves.
	if members > 2 {
		load = min(load, 1+maxExcess*float64(members))
	}
	return consistent.Config{
		Hasher:            hasher{},
		PartitionCount:    Partitions,
		ReplicationFactor: ringPoints,
		Load:              load,
	}
}

// hasher gives partitions and points their places on the ring. Partitions
// are evenly spaced, and each member has one point in each of ringPoints
// slices, at a place by the hash of its name. With plain hashes for both,
// shares differ by a third more.
//
// XXH64 is fast, the same everywhere, and spread well enough for names that
// are alike, which FNV is not (it moves four times as many partitions).
type hasher struct{}

// Sum64 is asked for partitions as numbers of eight bytes, and for points
// as the name of a member followed by a decimal number. No name is a number
// below Partitions: it would end in bytes that are zero.
func (hasher) Sum64(b []byte) uint64 {
	if len(b) == 8 {
		if p := binary.LittleEndian.Uint64(b); p < Partitions {
			return p * (math.MaxUint64 / Partitions)
		}
	}
	const slice = math.MaxUint64 / ringPoints
	n := 0
	for _, digit := range b[bytes.LastIndexByte(b, nameEnd)+1:] {
		n = 10*n + int(digit-'0')
	}
	return uint64(n)*slice + xxhash.Sum64(b)%slice
}

// nameEnd ends the name of a member. It is no digit: the library puts 0, 1,
// 2 ... behind a name for its points, and the 11th point of "1" would be the
// first of "11", and one node would lose its share to the other.
const nameEnd = '#'

// ringMember is a weight of one of a node. Its name is made of the id
// alone, and so renaming a node moves nothing; and the first is called the
// same whatever the node's weight, so that a change of weight moves what it
// has to.
type ringMember struct {
	id   NodeID
	name string
}

func newRingMember(id NodeID, nth int) ringMember {
	var name strings.Builder
	name.WriteString("node-")
	name.WriteString(strconv.Itoa(int(id)))
	if nth > 0 {
		name.WriteByte('+')
		name.WriteString(strconv.Itoa(nth))
	}
	name.WriteByte(nameEnd)
	return ringMember{id: id, name: name.String()}
}

func (m ringMember) String() string { return m.name }

// share is a node that owns partitions, and its weight from 1 to
// MaxWeight.
type share struct {
	id     NodeID
	weight int
}

// ringMembers returns the members of the ring for nodes.
func ringMembers(shares []share) []consistent.Member {
	var members []consistent.Member
	for _, s := range shares {
		for nth := range s.weight {
			members = append(members, newRingMember(s.id, nth))
		}
	}
	return members
}

// distribute returns the owner of each partition. The result depends on
// the set of shares only, not on their order. The time grows with the
// square of the sum of all weights, and it is never on the path.
//
// The library panics when it finds no room for a partition. No set of
// nodes does that with ringConfig, but a library's panic must not end a
// node that has a table to go on with.
func distribute(members []consistent.Member, cfg consistent.Config) (owners *[Partitions]NodeID, err error) {
	defer func() {
		if p := recover(); p != nil {
			owners = nil
			err = fmt.Errorf("distributing %d partitions over a sum of weights of %d: %v; this is a fault of Landfall, please report it", Partitions, len(members), p)
		}
	}()
	ring := consistent.New(members, cfg)
	owners = new([Partitions]NodeID)
	for p := range owners {
		owners[p] = ring.GetPartitionOwner(p).(ringMember).id
	}
	return owners, nil
}
