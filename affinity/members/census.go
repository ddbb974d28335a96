package members

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
)

// reason is why a node is not taken in, as metrics and metadata spell it.
type reason string

// Reasons. The first three are about nodes, which are told of it; the others
// about messages of somebody who may be no node at all.
const (
	sameID      reason = "id"         // a living node has the id
	sameName    reason = "name"       // a living node has the name
	quarantined reason = "quarantine" // a node that went has the id, for a while

	otherSecret reason = "secret"   // what it says cannot be decrypted
	otherPop    reason = "pop"      // it is of another PoP
	unreadable  reason = "metadata" // what it says of itself cannot be read
)

var reasons = [...]reason{sameID, sameName, quarantined, otherSecret, otherPop, unreadable}

// claim is a start of a process that says it is a node.
type claim struct {
	meta
	addr netip.AddrPort // where it gossips

	// started is when its process started, by this node's clock and never
	// before the truth: the claim took some time to get here.
	started time.Time

	// until is zero while the node lives; then it is when it is forgotten.
	until time.Time

	// taken tells whether it was a member, or in the way of this node's
	// becoming one: then it keeps its id for a while after it went.
	taken bool

	// refused is the last word on it, "" when there was none against it.
	refused reason
}

func (c *claim) alive() bool { return c.until.IsZero() }

// older orders claims, with no two equal.
func older(a, b *claim) int {
	return cmp.Or(a.started.Compare(b.started), cmp.Compare(a.instance, b.instance))
}

// contact is what the data path says of a node.
type contact struct {
	lost bool

	// again is since when a lost one is reached; zero while it is not.
	again time.Time
}

// census is all that a view is made of.
type census struct {
	self     *claim
	others   []*claim // in any order
	contacts map[affinity.NodeID]contact
	rise     time.Duration
}

// refusal is a claim that is not taken in.
type refusal struct {
	claim   *claim
	why     reason
	because *claim // who has the id or the name
}

// verdict is what follows from a census at a time.
type verdict struct {
	members  []affinity.Member // of the view, by id
	living   []*claim          // those of members that gossip knows, this node included
	lost     []affinity.NodeID // those of living that the data path does not reach
	refusals []refusal

	// aside is set when this node itself is not taken in: the view is this
	// node alone.
	aside *refusal

	// rivals tells whether another node claims what this one has, and should
	// hear how long this one has run.
	rivals bool

	// next is when time alone changes the verdict; zero when it does not.
	next time.Time
}

// decide makes the view. Of two nodes with one id or name the one that runs
// longer is the member. That one never mistakes itself for the younger one,
// because it takes the other's age for what it is or less; the younger one
// may take itself for the older until it hears from the other, and then
// steps aside by its own word, which everybody follows.
func decide(c census, now time.Time) verdict {
	var v verdict
	alive := living(c)
	if v.aside = rival(c, alive, now); v.aside != nil {
		v.members, v.living = []affinity.Member{c.self.Member}, []*claim{c.self}
		v.wait(v.aside.because.until, now)
		return v
	}
	v.take(c, c.self, now)
	for _, claim := range alive {
		if claim.aside != "" {
			v.refusals = append(v.refusals, refusal{claim: claim, why: claim.aside, because: v.owner(claim)})
			continue
		}
		if why, because := v.conflict(claim); why != "" {
			v.refuse(claim, why, because, c.self)
			continue
		}
		if gone := quarantine(c.others, claim, now); gone != nil {
			v.refuse(claim, quarantined, gone, c.self)
			v.wait(gone.until, now)
			continue
		}
		v.take(c, claim, now)
	}
	v.remember(c.others, now)
	slices.SortFunc(v.members, func(a, b affinity.Member) int { return cmp.Compare(a.ID, b.ID) })
	return v
}

// living returns the others that live, the oldest first. Of two at one
// address the younger one is the process that runs there now; what claims
// this node's address ran there before.
func living(c census) []*claim {
	newest := make(map[netip.AddrPort]*claim, len(c.others))
	for _, claim := range c.others {
		if !claim.alive() || claim.addr == c.self.addr {
			continue
		}
		if other := newest[claim.addr]; other == nil || older(other, claim) < 0 {
			newest[claim.addr] = claim
		}
	}
	return slices.SortedFunc(maps.Values(newest), older)
}

// rival returns why this node has to stand aside, nil when it does not.
func rival(c census, alive []*claim, now time.Time) *refusal {
	for _, other := range alive {
		if why := clash(c.self, other); why != "" && other.aside == "" && older(other, c.self) < 0 {
			return &refusal{claim: c.self, why: why, because: other}
		}
	}
	if gone := quarantine(c.others, c.self, now); gone != nil {
		return &refusal{claim: c.self, why: quarantined, because: gone}
	}
	return nil
}

// clash returns what two claims have both and only one may.
func clash(a, b *claim) reason {
	switch {
	case a.ID == b.ID:
		return sameID
	case a.Name == b.Name:
		return sameName
	}
	return ""
}

// quarantine returns the node that went and still has the id of a claim.
// The same node may come back, under a new name too.
func quarantine(claims []*claim, c *claim, now time.Time) *claim {
	for _, gone := range claims {
		if !gone.alive() && gone.taken && now.Before(gone.until) &&
			gone.ID == c.ID && gone.Name != c.Name && gone.addr != c.addr {
			return gone
		}
	}
	return nil
}

// conflict returns the member that is in the way of a claim.
func (v *verdict) conflict(c *claim) (reason, *claim) {
	for _, m := range v.living {
		if why := clash(m, c); why != "" {
			return why, m
		}
	}
	return "", nil
}

// owner returns the member that has what a claim gave up, nil when there is
// none.
func (v *verdict) owner(c *claim) *claim {
	_, m := v.conflict(c)
	return m
}

func (v *verdict) refuse(c *claim, why reason, because, self *claim) {
	v.refusals = append(v.refusals, refusal{claim: c, why: why, because: because})
	v.rivals = v.rivals || because == self
}

// take makes a claim a member. One that the data path does not reach is
// gone as far as the view goes.
func (v *verdict) take(c census, claim *claim, now time.Time) {
	m := claim.Member
	if contact := c.contacts[m.ID]; contact.lost && claim != c.self {
		back := contact.again.Add(c.rise)
		if contact.again.IsZero() || now.Before(back) {
			m.L4, m.L7 = affinity.Gone, affinity.Gone
			v.lost = append(v.lost, m.ID)
		}
		if !contact.again.IsZero() {
			v.wait(back, now)
		}
	}
	v.living = append(v.living, claim)
	v.members = append(v.members, m)
}

// remember lists those that went, for a while.
func (v *verdict) remember(claims []*claim, now time.Time) {
	gone := slices.DeleteFunc(slices.Clone(claims), func(c *claim) bool {
		return c.alive() || !c.taken || !now.Before(c.until)
	})
	slices.SortFunc(gone, func(a, b *claim) int { return older(b, a) }) // the last one that had an id
	for _, c := range gone {
		v.wait(c.until, now)
		if slices.ContainsFunc(v.members, func(m affinity.Member) bool { return m.ID == c.ID || m.Name == c.Name }) {
			continue
		}
		m := c.Member
		m.L4, m.L7 = affinity.Gone, affinity.Gone
		v.members = append(v.members, m)
	}
}

// wait asks for another verdict at a time.
func (v *verdict) wait(at, now time.Time) {
	if at.After(now) && (v.next.IsZero() || at.Before(v.next)) {
		v.next = at
	}
}
