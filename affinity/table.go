package affinity

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Depth is how many previous owners of a partition are remembered. A
// session outlives several changes, and the node that holds it is one of
// those that owned it; and views follow each other faster than a new owner
// fills.
const Depth = 3

// Place is where a key is filled.
type Place struct {
	// Owner is the node that fills it; 0 when no node is active, and whoever
	// is asked fills it itself.
	Owner NodeID

	// Mine tells whether this node is the owner.
	Mine bool

	// Previous are the nodes that owned the key before, the last one first,
	// as far as they can be reached. They differ from the owner and from each
	// other; this node may be among them. The first 0 ends them.
	Previous [Depth]NodeID
}

// Table says which node owns which partition, as one node sees it. It is
// immutable and may be used by all at once.
type Table struct {
	// Static after Build.
	self       NodeID
	generation uint64
	shares     []share // of nodes that own something, by ascending id
	rows       [Partitions]row
	counts     [MaxNodes + 1]int // partitions by owner
	hash       uint64
	// By node: whether it is in the view, and gone.
	listed, gone [MaxNodes + 1]bool
}

// row is what is known of a partition: four bytes that are read together.
type row struct {
	owner    NodeID // 0 when nobody is active
	previous [Depth]NodeID
}

// Build computes the table of a view, as self sees it; self need not be in
// the view. Owners depend on the set of active members and their weights
// alone, so all nodes with that set get the same ones, in whatever order it
// comes. Without an active member nobody owns anything.
//
// The previous owners come from the table before, which may be nil. Build
// takes under 1 ms when the active members are those of the table before or
// one alone, about 120 ms for 32 nodes and seconds for a hundred; call it
// off the path. On an error, of the view or of the library, keep the table
// in use.
func Build(self NodeID, view View, previous *Table) (*Table, error) {
	if self == 0 {
		return nil, fmt.Errorf("view %d: this node's id is 0; give it a number from 1 to %d", view.Generation, MaxNodes)
	}
	if err := view.Validate(); err != nil {
		return nil, err
	}
	t := &Table{self: self, generation: view.Generation, shares: view.shares()}
	for _, m := range view.Members {
		t.listed[m.ID], t.gone[m.ID] = true, m.L7 == Gone
	}
	if err := t.setOwners(previous); err != nil {
		return nil, fmt.Errorf("view %d: %w", view.Generation, err)
	}
	if previous != nil {
		t.setPrevious(&previous.rows, view)
	}
	flat := make([]byte, Partitions)
	for p, r := range t.rows {
		t.counts[r.owner]++
		flat[p] = byte(r.owner)
	}
	t.hash = xxhash.Sum64(flat)
	return t, nil
}

// setOwners asks the ring only when the answer is not known already.
func (t *Table) setOwners(previous *Table) error {
	switch {
	case len(t.shares) == 0:
	case len(t.shares) == 1:
		for p := range t.rows {
			t.rows[p].owner = t.shares[0].id
		}
	case previous != nil && slices.Equal(previous.shares, t.shares):
		for p, r := range previous.rows {
			t.rows[p].owner = r.owner
		}
	default:
		members := ringMembers(t.shares)
		owners, err := distribute(members, ringConfig(len(members)))
		if err != nil {
			return err
		}
		for p, owner := range owners {
			t.rows[p].owner = owner
		}
	}
	return nil
}

// setPrevious carries the last other owners of each partition over, those
// that are gone excepted. They survive changes that do not concern the
// partition.
func (t *Table) setPrevious(before *[Partitions]row, view View) {
	var reachable [MaxNodes + 1]bool
	for _, m := range view.Members {
		reachable[m.ID] = m.L7.reachable()
	}
	for p := range t.rows {
		r, n := &t.rows[p], 0
		last := [1 + Depth]NodeID{before[p].owner}
		copy(last[1:], before[p].previous[:])
		for _, id := range last {
			if n < Depth && reachable[id] && id != r.owner && !slices.Contains(r.previous[:n], id) {
				r.previous[n] = id
				n++
			}
		}
	}
}

// Partition returns the partition of a key, 0 to Partitions-1. The hash is
// not keyed, so a client can choose URLs that one node owns; what a client
// may ask of a node is limited there.
func Partition(key string) int {
	return int(xxhash.Sum64String(key) % Partitions)
}

// Place returns where a key is filled. A key is any string: a cache key,
// or a session with the name of its site in front, so that equal sessions
// of two sites are two keys. It allocates nothing.
func (t *Table) Place(key string) Place {
	r := &t.rows[Partition(key)]
	return Place{Owner: r.owner, Mine: r.owner == t.self, Previous: r.previous}
}

// Owner returns the node that owns a partition, this one included; 0 when
// nobody is active.
func (t *Table) Owner(partition int) NodeID { return t.rows[partition].owner }

// Previous returns the nodes that owned a partition before its owner did,
// as Place does.
func (t *Table) Previous(partition int) [Depth]NodeID { return t.rows[partition].previous }

// Listed reports whether a node is in the view, in whatever state.
func (t *Table) Listed(id NodeID) bool { return t.listed[id] }

// Gone reports whether a node is in the view, and cannot be reached or has
// given up what it had.
func (t *Table) Gone(id NodeID) bool { return t.gone[id] }

// Owners returns the nodes that own something, ascending. The slice is
// the caller's.
func (t *Table) Owners() []NodeID {
	ids := make([]NodeID, len(t.shares))
	for i, s := range t.shares {
		ids[i] = s.id
	}
	return ids
}

// Count returns how many partitions a node owns; of node 0, how many have
// no owner.
func (t *Table) Count(id NodeID) int { return t.counts[id] }

// Generation returns the generation of the view that the table is of.
func (t *Table) Generation() uint64 { return t.generation }

// Hash returns a hash of all owners, in the order of partitions. Nodes
// with the same active members have the same; who differs for long has
// another view. Previous owners and the generation do not enter: they are
// a matter of what a node has seen.
func (t *Table) Hash() uint64 { return t.hash }

// Rank returns how much a key belongs to one of several named things that
// know nothing of each other, such as PoPs: it belongs to the one with the
// highest rank, and when that one goes, all other keys stay.
func Rank(name, key string) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(name)
	_, _ = d.Write([]byte{0}) // no name has it, so no two pairs read alike
	_, _ = d.WriteString(key)
	return d.Sum64()
}
