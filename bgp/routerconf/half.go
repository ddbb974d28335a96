package routerconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// The routers that a configuration can be written for.
const (
	BIRD = "bird"
	FRR  = "frr"
)

const (
	// MaxPaths is how many nodes a router spreads load over.
	MaxPaths = 16
	// Password stands where an operator puts the key.
	Password = "CHANGE-ME"
	// NodeIPv4 and NodeIPv6 stand where an operator puts the node's address.
	// No router takes them, so that a file in which one was forgotten is
	// refused.
	NodeIPv4 = "NODE-IPV4"
	NodeIPv6 = "NODE-IPV6"
)

// Node is what a router has to know of a node.
type Node struct {
	Name string
	// BGP is the node's own half. Passwords in it are looked at for whether
	// there is one, and never shown.
	BGP bgp.Config
	// BFD has an entry for each router that the node has a BFD session with.
	BFD map[netip.Addr]BFD
	// Addresses are the node's unicast addresses with the networks that they
	// are in, or single addresses when those are not known.
	Addresses []netip.Prefix
}

// BFD is the timing of a session.
type BFD struct {
	TX         time.Duration // between packets, whole milliseconds
	Multiplier uint8         // packets in a row that may be missing
}

// Options are what may be written.
type Options struct {
	For string // BIRD or FRR
	// Peers are the router's own addresses; none: all of the node file's,
	// which has to be of one router then.
	Peers []netip.Addr
	// NodeOnly leaves out what a router needs once, for a router that has
	// another node already.
	NodeOnly bool
}

// session is one session from the router's side.
type session struct {
	name   string
	router bgp.PeerConfig // the router's end
	node   string         // the node's end, an address or NodeIPv4 or NodeIPv6
	bfd    *BFD
	waits  bool // the router leaves opening it to the node
}

// ttlSecurity tells whether both ends take packets of the next hop only.
func (s *session) ttlSecurity() bool { return s.router.Multihop == 0 && !s.router.NoTTLSecurity }

func (s *session) v4() bool { return s.router.Address.Is4() }

func (s *session) family() string {
	if s.v4() {
		return "v4"
	}
	return "v6"
}

// half is all of it.
type half struct {
	Node
	id       string // of the node in names of the configuration
	sessions []session
	once     bool // with what a router needs once
}

// Write returns the configuration, which ends with a line break. The error
// names an Option that is wrong.
func Write(n Node, o Options) (string, error) {
	h, err := plan(n, o)
	if err != nil {
		return "", err
	}
	switch o.For {
	case BIRD:
		return h.bird(), nil
	case FRR:
		return h.frr(), nil
	}
	return "", fmt.Errorf("no configuration for %q; there is one for %s and %s", o.For, BIRD, FRR)
}

// Missing returns the routers' addresses towards which the node's own is not
// known.
func Missing(n Node) (out []netip.Addr) {
	for _, p := range n.BGP.Peers {
		if unknown(n.towards(p)) {
			out = append(out, p.Address)
		}
	}
	return out
}

func plan(n Node, o Options) (*half, error) {
	h := &half{Node: n, id: identifier(n.Name), once: !o.NodeOnly}
	for _, a := range o.Peers {
		if !slices.ContainsFunc(n.BGP.Peers, func(p bgp.PeerConfig) bool { return p.Address == a }) {
			return nil, fmt.Errorf("%s is no peer of the node; its peers are %s", a, peers(n.BGP.Peers))
		}
	}
	count := map[string]int{}
	for _, p := range n.BGP.Peers {
		if len(o.Peers) > 0 && !slices.Contains(o.Peers, p.Address) {
			continue
		}
		s := session{router: p, node: n.towards(p), waits: !p.Passive && !n.listens(p)}
		if b, ok := n.BFD[p.Address]; ok {
			s.bfd = &b
		}
		count[s.family()]++
		if s.name = h.id + "_" + s.family(); count[s.family()] > 1 {
			s.name = fmt.Sprintf("%s_%d", s.name, count[s.family()])
		}
		if other := h.ending(s.node); other != nil {
			return nil, fmt.Errorf("%s and %s are two routers, as both are next to one address of the node; name those of one router", other.router.Address, p.Address)
		}
		h.sessions = append(h.sessions, s)
	}
	return h, nil
}

// ending is the session with one end of the node's, nil when there is none.
func (h *half) ending(node string) *session {
	for i := range h.sessions {
		if h.sessions[i].node == node {
			return &h.sessions[i]
		}
	}
	return nil
}

func unknown(node string) bool { return node == NodeIPv4 || node == NodeIPv6 }

func peers(list []bgp.PeerConfig) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.Address.String()
	}
	return strings.Join(out, ", ")
}

// towards is the node's address on the router's network, else the only one
// of the router's family that is known.
func (n Node) towards(p bgp.PeerConfig) string {
	var family []netip.Addr
	for _, local := range n.Addresses {
		a := local.Addr()
		switch {
		case a.Is4() != p.Address.Is4() || a == p.Address || n.isVIP(a):
			continue
		case !local.IsSingleIP() && local.Contains(p.Address):
			return a.String()
		case local.IsSingleIP() && !slices.Contains(family, a):
			family = append(family, a)
		}
	}
	if len(family) == 1 {
		return family[0].String()
	}
	if p.Address.Is4() {
		return NodeIPv4
	}
	return NodeIPv6
}

func (n Node) isVIP(a netip.Addr) bool {
	return slices.ContainsFunc(n.BGP.VIPs, func(vip netip.Prefix) bool { return vip.Contains(a) })
}

// listens tells whether the node takes sessions that the router opens.
func (n Node) listens(p bgp.PeerConfig) bool {
	return slices.ContainsFunc(n.BGP.Listen, func(a netip.Addr) bool { return a.Is4() == p.Address.Is4() })
}

// vips are those of a family.
func (n Node) vips(v4 bool) (out []netip.Prefix) {
	for _, vip := range n.BGP.VIPs {
		if vip.Addr().Is4() == v4 {
			out = append(out, vip)
		}
	}
	return out
}

// families are those that there are sessions of, "v4" first.
func (h *half) families() (out []string) {
	for i := range h.sessions {
		if f := h.sessions[i].family(); !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

// asns are the routers' numbers, in order.
func (h *half) asns() (out []uint32) {
	for i := range h.sessions {
		if asn := h.sessions[i].router.ASN; !slices.Contains(out, asn) {
			out = append(out, asn)
		}
	}
	slices.Sort(out)
	return out
}

// routerID is an IPv4 address of the router, "" when none is known.
func (h *half) routerID() string {
	for i := range h.sessions {
		if h.sessions[i].v4() {
			return h.sessions[i].router.Address.String()
		}
	}
	return ""
}

// fast tells whether there is a session with BFD.
func (h *half) fast() bool {
	return slices.ContainsFunc(h.sessions, func(s session) bool { return s.bfd != nil })
}

// identifier makes a name of letters, digits and _ of the node's, which
// begins with a letter.
func identifier(name string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
	if out == "" || out[0] >= '0' && out[0] <= '9' {
		return "node_" + out
	}
	return out
}
