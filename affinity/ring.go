package affinity

import (
	"fmt"
	"strconv"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
)

// points is how many points a node has on the ring; load is how far over
// the average its partitions may go.
const (
	points = 1000
	load   = 1.10
)

type xxHasher struct{}

func (xxHasher) Sum64(b []byte) uint64 { return xxhash.Sum64(b) }

type ringMember struct {
	id   NodeID
	name string
}

func newRingMember(id NodeID) ringMember {
	return ringMember{id, "node-" + strconv.Itoa(int(id)) + "#"}
}

func (m ringMember) String() string { return m.name }

func ringConfig() consistent.Config {
	return consistent.Config{Hasher: xxHasher{}, PartitionCount: Partitions, ReplicationFactor: points, Load: load}
}

func distribute(nodes []NodeID, cfg consistent.Config) (owner []NodeID, err error) {
	defer func() {
		if p := recover(); p != nil {
			owner, err = nil, fmt.Errorf("table of %d nodes: %v", len(nodes), p)
		}
	}()
	members := make([]consistent.Member, len(nodes))
	for i, id := range nodes {
		members[i] = newRingMember(id)
	}
	ring := consistent.New(members, cfg)
	owner = make([]NodeID, Partitions)
	for p := range owner {
		owner[p] = ring.GetPartitionOwner(p).(ringMember).id
	}
	return owner, nil
}

const Partitions = 16381
