package affinity

import "fmt"

// historySize is the length of a history, in bytes: the owner of each
// partition, and those before it.
const historySize = Partitions * (1 + Depth)

// History returns who owns each partition and who did before, for a node
// that has not seen it: see Remember.
func (t *Table) History() []byte {
	b := make([]byte, 0, historySize)
	for i := range t.rows {
		r := &t.rows[i]
		b = append(b, byte(r.owner))
		for _, id := range r.previous {
			b = append(b, byte(id))
		}
	}
	return b
}

// Remember returns a table that is good for one thing: to be the one before
// in Build. A node that joins has seen no table but those of its own
// beginnings; with another node's history it knows, as the others do, who
// had a session before its owner. Who is gone, or not known at all, is left
// out by Build.
func Remember(history []byte) (*Table, error) {
	if len(history) != historySize {
		return nil, fmt.Errorf("a history of %d bytes, expected %d: the two nodes run versions that do not cut keys alike", len(history), historySize)
	}
	t := &Table{}
	for i := range t.rows {
		at := history[i*(1+Depth):]
		t.rows[i].owner = NodeID(at[0])
		for n := range Depth {
			t.rows[i].previous[n] = NodeID(at[1+n])
		}
	}
	return t, nil
}
