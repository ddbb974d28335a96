package affinity

import (
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Place is where a key is filled. The zero Place is this node, with nobody
// else to ask.
type Place struct {
	// Peer is the node that owns the key, 0 when this node does or nobody.
	Peer NodeID

	// Previous is the node that owned the key before the owner did, while
	// it can be reached; 0 when that is nobody or this node. A new owner
	// asks it, for some time after a change, before it asks an origin.
	Previous NodeID
}

// Here tells whether this node fills the key itself.
func (p Place) Here() bool { return p.Peer == 0 }

// Table says which node owns which partition, as one node sees it. It is
// immutable and may be used by all at once.
type Table struct {
	// Static after Build.
	self       NodeID
	generation uint64
	nodes      []NodeID // that own something, ascending
	rows       [Partitions]row
	counts     [MaxNodes + 1]int // partitions by owner
	hash       uint64
}

// row is what is known of a partition. Owner and previous stand together
// because they are read together.
type row struct {
	owner    NodeID // 0 when nobody is active
	previous NodeID // never the owner; 0 when nobody, or not reachable
}

// Build computes the table of a view, as self sees it; self need not be in
// the view. Owners depend on the set of active members alone, so all nodes
// with that set get the same ones, in whatever order it comes. Without an
// active member nobody owns anything, and every place is here.
//
// The previous owners come from the table before, which may be nil. Build
// takes from under 1 ms, when the active members are those of the table
// before or one alone, to seconds for hundreds; call it off the path. On an
// error, of the view or of the library, keep the table in use.
func Build(self NodeID, view View, previous *Table) (*Table, error) {
	if self == 0 {
		return nil, fmt.Errorf("view %d: this node's id is 0; give it a number from 1 to %d", view.Generation, MaxNodes)
	}
	if err := view.Validate(); err != nil {
		return nil, err
	}
	t := &Table{self: self, generation: view.Generation, nodes: view.owners()}
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
	case len(t.nodes) == 0:
	case len(t.nodes) == 1:
		for p := range t.rows {
			t.rows[p].owner = t.nodes[0]
		}
	case previous != nil && slices.Equal(previous.nodes, t.nodes):
		for p, r := range previous.rows {
			t.rows[p].owner = r.owner
		}
	default:
		owners, err := distribute(t.nodes, ringConfig())
		if err != nil {
			return err
		}
		for p, owner := range owners {
			t.rows[p].owner = owner
		}
	}
	return nil
}

// setPrevious carries the last other owner of each partition over. It
// survives changes that do not concern the partition, because views can
// follow each other faster than a new owner fills.
func (t *Table) setPrevious(before *[Partitions]row, view View) {
	var reachable [MaxNodes + 1]bool
	for _, m := range view.Members {
		reachable[m.ID] = m.L7.reachable()
	}
	for p := range t.rows {
		r := &t.rows[p]
		last := before[p].owner
		if last == 0 || last == r.owner {
			last = before[p].previous
		}
		if last != r.owner && reachable[last] {
			r.previous = last
		}
	}
}

// Partition returns the partition of a key, 0 to Partitions-1.
func Partition(key string) int {
	return int(xxhash.Sum64String(key) % Partitions)
}

// Place returns where a key is filled. A key is any string: a cache key,
// or a session with the name of its site in front, so that equal sessions
// of two sites are two keys. It allocates nothing.
func (t *Table) Place(key string) Place {
	r := t.rows[Partition(key)]
	return Place{Peer: t.peer(r.owner), Previous: t.peer(r.previous)}
}

// peer is id unless that is this node.
func (t *Table) peer(id NodeID) NodeID {
	if id == t.self {
		return 0
	}
	return id
}

// Owner returns the node that owns a partition, this one included; 0 when
// nobody is active.
func (t *Table) Owner(partition int) NodeID { return t.rows[partition].owner }

// Previous returns the node that owned a partition before its owner did,
// this one included; 0 when nobody did, or it cannot be reached.
func (t *Table) Previous(partition int) NodeID { return t.rows[partition].previous }

// Owners returns the nodes that own something, ascending. The slice is
// the caller's.
func (t *Table) Owners() []NodeID { return slices.Clone(t.nodes) }

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
