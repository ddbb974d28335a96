package members

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
)

// noon is some time; nothing depends on which.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// claimOf is a claim of a node that has run for some time, at an address
// made of its instance.
func claimOf(id affinity.NodeID, name string, instance uint64, ran time.Duration) *claim {
	m := memberOf(id)
	m.Name = name
	return &claim{
		meta:    meta{Member: m, pop: "fra", instance: instance},
		addr:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(instance)}), 7946),
		started: noon.Add(-ran),
	}
}

func (c *claim) gone(left time.Duration) *claim {
	c.until, c.taken = noon.Add(left), true
	return c
}

func (c *claim) standing(why reason) *claim {
	c.aside = why
	return c
}

func (c *claim) at(other *claim) *claim {
	c.addr = other.addr
	return c
}

// decision is a census of node 1, which has run for an hour, and its
// verdict.
type decision struct {
	name     string
	others   []*claim
	contacts map[affinity.NodeID]contact
	view     string // names and L7 states
	refused  string // names and reasons
	next     time.Duration
}

func (c decision) check(t *testing.T, self *claim) {
	for range 2 {
		v := decide(census{self: self, others: c.others, contacts: c.contacts, rise: time.Second}, noon)
		if got := states(v); got != c.view {
			t.Errorf("view %q, want %q", got, c.view)
		}
		if got := refusals(v); got != c.refused {
			t.Errorf("refused %q, want %q", got, c.refused)
		}
		if at := v.next; (c.next == 0) != at.IsZero() || c.next != 0 && at.Sub(noon) != c.next {
			t.Errorf("next at %v, want %v after noon", at, c.next)
		}
		if err := (affinity.View{Members: v.members}).Validate(); err != nil {
			t.Error(err)
		}
		slices.Reverse(c.others) // in any order
	}
}

// TestWhoIsTaken is about claims that clash.
func TestWhoIsTaken(t *testing.T) {
	const hour, minute = time.Hour, time.Minute
	self, two := claimOf(1, "self", 1, hour), claimOf(2, "two", 2, minute)
	for _, c := range []decision{
		{name: "alone", view: "self active"},
		{name: "another", others: []*claim{two}, view: "self active, two active"},
		{
			name: "the younger one of one id", others: []*claim{claimOf(2, "b", 3, minute-1), two},
			view: "self active, two active", refused: "b id",
		},
		{
			name: "the younger one of one name", others: []*claim{claimOf(3, "two", 3, minute-1), two},
			view: "self active, two active", refused: "two name",
		},
		{
			name: "of one age", others: []*claim{claimOf(2, "b", 3, minute), two},
			view: "self active, two active", refused: "b id",
		},
		{
			name: "the younger one has this node's id", others: []*claim{claimOf(1, "b", 3, minute)},
			view: "self active", refused: "b id",
		},
		{
			name: "the older one has this node's id", others: []*claim{claimOf(1, "b", 3, 2*hour), two},
			view: "self active", refused: "self id",
		},
		{
			name: "the older one has this node's name", others: []*claim{claimOf(3, "self", 3, 2*hour), two},
			view: "self active", refused: "self name",
		},
		{
			name: "the older one has stood aside", others: []*claim{claimOf(1, "b", 3, 2*hour).standing(sameName)},
			view: "self active", refused: "b name",
		},
		{
			name: "a node that stood aside, and nobody knows why", others: []*claim{claimOf(4, "four", 4, minute).standing("novelty"), two},
			view: "self active, two active", refused: "four novelty",
		},
		{
			name: "a process followed by another at its address", others: []*claim{two, claimOf(2, "two", 3, time.Second).at(two)},
			view: "self active, two active",
		},
		{
			name: "what ran at this node's address", others: []*claim{claimOf(1, "self", 3, 2*hour).at(self)},
			view: "self active",
		},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, self) })
	}
}

// TestWhoIsGone is about nodes that went, and that the data path lost.
func TestWhoIsGone(t *testing.T) {
	const hour, minute = time.Hour, time.Minute
	self, two := claimOf(1, "self", 1, hour), claimOf(2, "two", 2, minute)
	lost := func(id affinity.NodeID, again time.Duration) map[affinity.NodeID]contact {
		c := contact{lost: true}
		if again != 0 {
			c.again = noon.Add(-again)
		}
		return map[affinity.NodeID]contact{id: c}
	}
	for _, c := range []decision{
		{
			name: "gone", others: []*claim{claimOf(2, "two", 2, hour).gone(minute)},
			view: "self active, two gone", next: minute,
		},
		{
			name: "gone and forgotten", others: []*claim{claimOf(2, "two", 2, hour).gone(0)},
			view: "self active",
		},
		{
			name: "gone and never a member", others: []*claim{{meta: two.meta, until: noon.Add(minute)}},
			view: "self active",
		},
		{
			name: "gone and back", others: []*claim{claimOf(2, "two", 2, hour).gone(minute), claimOf(2, "two", 3, 0)},
			view: "self active, two active", next: minute,
		},
		{
			name: "gone twice", others: []*claim{claimOf(2, "old", 2, hour).gone(minute), claimOf(2, "new", 3, minute).gone(2 * minute)},
			view: "self active, new gone", next: minute,
		},
		{
			name: "the id of one that is gone", others: []*claim{claimOf(2, "two", 2, hour).gone(minute), claimOf(2, "b", 3, 0)},
			view: "self active, two gone", refused: "b quarantine", next: minute,
		},
		{
			name: "renamed at its address", others: []*claim{claimOf(2, "two", 2, hour).gone(minute), claimOf(2, "b", 3, 0).at(two)},
			view: "self active, b active", next: minute,
		},
		{
			name: "this node has the id of one that is gone", others: []*claim{claimOf(1, "b", 3, hour).gone(minute), two},
			view: "self active", refused: "self quarantine", next: minute,
		},
		{name: "lost", others: []*claim{two}, contacts: lost(2, 0), view: "self active, two gone"},
		{
			name: "lost and reached again just now", others: []*claim{two}, contacts: lost(2, time.Millisecond),
			view: "self active, two gone", next: 999 * time.Millisecond,
		},
		{name: "lost and reached again for long", others: []*claim{two}, contacts: lost(2, time.Second), view: "self active, two active"},
		{name: "this node cannot be lost", contacts: lost(1, 0), view: "self active"},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, self) })
	}
}

func states(v verdict) string {
	var out []string
	for _, m := range v.members {
		out = append(out, m.Name+" "+m.L7.String())
	}
	return strings.Join(out, ", ")
}

func refusals(v verdict) string {
	var out []string
	for _, r := range v.refusals {
		out = append(out, r.claim.Name+" "+string(r.why))
	}
	if v.aside != nil {
		out = append(out, v.aside.claim.Name+" "+string(v.aside.why))
	}
	return strings.Join(out, ", ")
}

// TestRivalsAgree has two nodes of one id decide with what each knows of
// the other's age, which is that or less: the older one never stands aside,
// and the younger one does when it knows the truth.
func TestRivalsAgree(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second, time.Minute, 2 * time.Hour} {
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			elder, younger := claimOf(7, "elder", 2, time.Hour), claimOf(7, "younger", 1, time.Minute)
			heard := func(c *claim) *claim {
				other := *c
				other.started = other.started.Add(late)
				return &other
			}
			if v := decide(census{self: elder, others: []*claim{heard(younger)}}, noon); v.aside != nil || !v.rivals {
				t.Errorf("the older one stands aside: %+v", v.aside)
			}
			v := decide(census{self: younger, others: []*claim{heard(elder)}}, noon)
			if knows := late < time.Hour-time.Minute; (v.aside != nil) != knows {
				t.Errorf("the younger one stands aside is %v, want %v", v.aside != nil, knows)
			}
		})
	}
}
