package ladder

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// Record is what a node tells all others of its announcement, once a
// second and when it changes. Times are ages, as clocks differ.
type Record struct {
	Node uint8  `json:"node"`
	Name string `json:"name"`
	Pop  string `json:"pop"`
	// Life is when the node's process started, in nanoseconds, and Seq
	// counts what it has said since: of two records the later one counts.
	Life int64  `json:"life"`
	Seq  uint64 `json:"seq"`

	Rung bgp.Rung `json:"rung"`
	// Announces tells that routers have heard it: the rung is in force and
	// a session is up.
	Announces bool           `json:"announces"`
	Prefixes  []netip.Prefix `json:"prefixes"`
	// Stepping tells that the node has asked for promises and not said yet
	// what came of it.
	Stepping bool `json:"stepping,omitempty"`
	// Leaving tells that the node stops in good order: it is forgotten.
	Leaving bool `json:"leaving,omitempty"`
	// Failing are the hard checks that fail, or whose last result was bad,
	// with seconds since then.
	Failing map[string]float64 `json:"failing,omitempty"`
	// Fell is how many seconds ago the node last withdrew by itself;
	// negative: never.
	Fell float64 `json:"fell_seconds"`
	// Purges is the last purge that the node carried out.
	Purges uint64 `json:"purges"`
}

// newer tells whether r was said after o by the same node.
func (r Record) newer(o Record) bool {
	return cmp.Or(cmp.Compare(r.Life, o.Life), cmp.Compare(r.Seq, o.Seq)) > 0
}

// serves tells whether traffic that leaves another node may count on this
// one: a node about to go is no help.
func (r Record) serves() bool { return r.Announces && r.Rung <= bgp.Deprefer }

// heard is a record and when it came.
type heard struct {
	Record
	at time.Time
}

// View is what one node knows of all others. The zero View knows nobody.
type View struct {
	// Expected tells whether others are configured: then knowing nobody is
	// a fault of the view, not a fleet of one.
	Expected bool
	others   map[uint8]heard
}

// Hear notes a record. It returns false when a later one of that node is
// known.
func (v *View) Hear(r Record, now time.Time) bool {
	old, ok := v.others[r.Node]
	if ok && !r.newer(old.Record) && (r.Life != old.Life || r.Seq != old.Seq) {
		return false
	}
	if r.Leaving {
		delete(v.others, r.Node)
		return true
	}
	if v.others == nil {
		v.others = map[uint8]heard{}
	}
	v.others[r.Node] = heard{r, now}
	return true
}

// Forget drops what was heard too long ago to matter.
func (v *View) Forget(rules Rules, now time.Time) {
	maps.DeleteFunc(v.others, func(_ uint8, h heard) bool { return now.Sub(h.at) > rules.Known })
}

// fresh returns what was heard lately, by node.
func (v *View) fresh(rules Rules, now time.Time) []heard {
	return v.within(rules.Fresh, now)
}

func (v *View) within(age time.Duration, now time.Time) []heard {
	var out []heard
	for _, h := range v.others {
		if now.Sub(h.at) <= age {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b heard) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// Known is one other node, for status output.
type Known struct {
	Record
	Age float64 `json:"age_seconds"`
}

// List returns the other nodes by id.
func (v *View) List(now time.Time) []Known {
	out := []Known{}
	for _, h := range v.within(time.Duration(1<<62), now) {
		out = append(out, Known{h.Record, now.Sub(h.at).Seconds()})
	}
	return out
}
