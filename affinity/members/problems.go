package members

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
)

const (
	// faultAge is how long a message that was refused is a problem.
	faultAge = time.Minute

	// maxFaults bounds the senders of such messages that are told apart.
	maxFaults = 32
)

// fault is a message that was refused, and who sent it.
type fault struct {
	why  reason
	from string
}

// met notes a message that was refused.
func (m *Members) met(why reason, from string) {
	m.metrics.refuse(why)
	m.mu.Lock()
	defer m.mu.Unlock()
	f := fault{why, from}
	if _, known := m.faults[f]; !known {
		if len(m.faults) >= maxFaults {
			return
		}
		m.log.Warn("a message is not taken", zap.String("problem", m.explain(f)))
	}
	m.faults[f] = time.Now()
}

// explain says what a fault means and what to do.
func (m *Members) explain(f fault) string {
	from := f.from
	if from == "" {
		from = "a node" // memberlist does not always say which
	}
	switch f.why {
	case otherSecret:
		return fmt.Sprintf("%s talks with another secret: give all nodes of PoP %q the same pop.secret", from, m.conf.Pop)
	case otherPop:
		return fmt.Sprintf("%s talks as a node of another PoP than %q: check its pop.join and node.pop", from, m.conf.Pop)
	default:
		return fmt.Sprintf("what the node at %s says of itself cannot be read: run versions that know each other", from)
	}
}

// problem says why a claim is not taken in and what to do.
func (r *refusal) problem() string {
	who := fmt.Sprintf("node %d %q at %s", r.claim.ID, r.claim.Name, r.claim.addr)
	other := "another node"
	if b := r.because; b != nil {
		other = fmt.Sprintf("node %d %q at %s", b.ID, b.Name, b.addr)
	}
	switch r.why {
	case sameID:
		return fmt.Sprintf("%s has the id of %s, which is older: it runs alone until it has a node.id of its own", who, other)
	case sameName:
		return fmt.Sprintf("%s has the name of %s, which is older: it runs alone until it has a node.name of its own", who, other)
	case quarantined:
		return fmt.Sprintf("%s has the id of %s, which is gone: it runs alone until nobody remembers that one, or it has another node.id", who, other)
	default:
		return fmt.Sprintf("%s runs alone, by its own word: %s", who, r.why)
	}
}

// Problems returns what is wrong, and what to do about it, in no order that
// matters; nil when nothing is. A node with problems serves on.
func (m *Members) Problems() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var out []string
	if aside := m.verdict.aside; aside != nil {
		out = append(out, "this node: "+aside.problem())
	}
	for _, r := range m.verdict.refusals {
		out = append(out, r.problem())
	}
	for _, id := range m.verdict.lost {
		out = append(out, fmt.Sprintf("node %d gossips and cannot be reached at its peer address: check listen.peer and what is between", id))
	}
	for f, met := range m.faults {
		if now.Sub(met) < faultAge {
			out = append(out, m.explain(f))
		}
	}
	for _, s := range m.seeds {
		if s.problem != "" {
			out = append(out, s.problem)
		}
	}
	out = append(out, m.differ.problems(m.verdict.living, m.conf.Tuning, now)...)
	slices.Sort(out)
	return out
}

// seedState is what is wrong with an address to join, "" for nothing, and
// whether the log says so.
type seedState struct {
	problem string
	logged  bool
}

// seed notes what is wrong with an address to join, "" for nothing.
func (m *Members) seed(s seed, problem string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.seeds[s]
	// Nodes that start together do not find each other at once: that is not
	// worth a line.
	if problem != "" && before.problem != "" && !before.logged {
		m.log.Warn("an address to join is of no use", zap.String("problem", problem))
		before.logged = true
	}
	m.seeds[s] = seedState{problem, problem != "" && before.logged}
}

// differences is since when members differ in what should be the same; the
// zero time when they do not.
type differences struct {
	sites, versions time.Time
}

// look compares members.
func (d *differences) look(living []*claim, now time.Time) {
	since := func(at *time.Time, key func(*claim) string) {
		switch {
		case len(groups(living, key)) < 2:
			*at = time.Time{}
		case at.IsZero():
			*at = now
		}
	}
	since(&d.sites, siteSet)
	since(&d.versions, programVersion)
}

// problems says what differs for long.
func (d *differences) problems(living []*claim, t Tuning, now time.Time) (out []string) {
	if !d.sites.IsZero() && now.Sub(d.sites) >= t.SitesDiffer {
		out = append(out, "nodes serve different sites: "+list(groups(living, siteSet))+"; give all of them the same site documents")
	}
	if !d.versions.IsZero() && now.Sub(d.versions) >= t.VersionsDiffer {
		out = append(out, "nodes run different versions: "+list(groups(living, programVersion))+"; finish the upgrade")
	}
	return out
}

// siteSet is "" when a node does not know.
func siteSet(c *claim) string {
	if c.sites == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", c.sites)
}

func programVersion(c *claim) string { return c.version }

// groups returns the names of nodes by what they have, those without it
// left out.
func groups(living []*claim, key func(*claim) string) map[string][]string {
	out := map[string][]string{}
	for _, c := range living {
		if k := key(c); k != "" {
			out[k] = append(out[k], c.Name)
		}
	}
	return out
}

// list writes groups in order.
func list(groups map[string][]string) string {
	var parts []string
	for key, names := range groups {
		slices.Sort(names)
		parts = append(parts, key+" on "+strings.Join(names, ", "))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// Info is what is known of a node, member or not.
type Info struct {
	affinity.Member // with its states in the view

	Self    bool
	Gossip  netip.AddrPort // where it gossips
	Alive   bool           // by gossip
	Reached bool           // by the data path; true until that says otherwise
	Version string
	Sites   uint64 // hash of its sites, 0 when it does not know
	Purges  uint64

	// Refused tells why it is not taken in; "" when it is a member.
	Refused string
}

// List returns what is known of all nodes, this one included, by id. It is
// of the last view, which may be about to change.
func (m *Members) List() []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := map[affinity.NodeID]affinity.Member{}
	for _, member := range m.verdict.members {
		states[member.ID] = member
	}
	refused := map[*claim]string{}
	for _, r := range m.verdict.refusals {
		refused[r.claim] = r.problem()
	}
	c := m.census()
	var out []Info
	for _, c := range append(c.others, c.self) {
		info := Info{
			Member: c.Member, Self: c.instance == m.self.instance, Gossip: c.addr, Alive: c.alive(),
			Reached: !m.contacts[c.ID].lost, Version: c.version, Sites: c.sites, Purges: c.purges, Refused: refused[c],
		}
		if info.Self && m.verdict.aside != nil {
			info.Refused = m.verdict.aside.problem()
		}
		member, listed := states[c.ID]
		if info.Refused == "" && (!listed || member.Name != c.Name) {
			continue // a start of a process that another one followed
		}
		if info.Refused == "" {
			info.Member = member
		}
		out = append(out, info)
	}
	slices.SortFunc(out, compareInfo)
	return slices.CompactFunc(out, func(a, b Info) bool { return a.ID == b.ID && a.Name == b.Name && a.Gossip == b.Gossip })
}

// addresses returns where nodes gossip, members or not, and where nodes did
// that went.
func (m *Members) addresses() (alive map[netip.AddrPort]bool, former []netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	alive = map[netip.AddrPort]bool{}
	for _, c := range m.claims {
		if c.alive() {
			alive[c.addr] = true
		}
	}
	for addr := range m.former {
		former = append(former, addr)
	}
	return alive, former
}

// compareInfo orders by id; of one node's starts the living one is first.
func compareInfo(a, b Info) int {
	alive := func(i Info) int {
		if i.Alive {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name), cmp.Compare(alive(a), alive(b)), a.Gossip.Compare(b.Gossip))
}
