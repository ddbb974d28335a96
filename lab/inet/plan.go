// Package inet is a small Internet on one machine: transits, eyeball
// networks and PoPs in network namespaces, real routers that speak BGP,
// and nodes that are the program itself. It owns the namespaces, processes
// and files of a lab and removes all of them, also when it is killed. It
// touches nothing outside of them, and knows nothing of the program but its
// command line, its files and its admin address.
package inet

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// The kinds of routers.
const (
	BIRD = "bird"
	FRR  = "frr"
)

// The parts that networks have.
const (
	Transit = "transit"
	Eyeball = "eyeball"
	Border  = "border"
	Source  = "origin" // the network that the origin stands in
)

// CDN is the AS number of both PoPs.
const CDN = 64500

// The anycast addresses: what clients connect to, and the networks around
// them that the borders announce to the world.
var (
	VIP4    = netip.MustParseAddr("198.51.100.10")
	VIP6    = netip.MustParseAddr("2001:db8:10::10")
	Prefix4 = netip.MustParsePrefix("198.51.100.0/24")
	Prefix6 = netip.MustParsePrefix("2001:db8:10::/48")
)

// The hosts that nodes serve: one with a certificate of their own
// authority, and one whose certificate and origin need what the blackout
// takes away.
const (
	Host     = "www.lab.example"
	HostAuto = "auto.lab.example"
)

// Families are what everything is done and checked for.
var Families = []Family{V4, V6}

// Family is a version of the Internet Protocol.
type Family string

// The families.
const (
	V4 Family = "v4"
	V6 Family = "v6"
)

// VIP is the family's anycast address.
func (f Family) VIP() netip.Addr {
	if f == V6 {
		return VIP6
	}
	return VIP4
}

// Prefix is the family's anycast network.
func (f Family) Prefix() netip.Prefix {
	if f == V6 {
		return Prefix6
	}
	return Prefix4
}

// pick returns the family's of two.
func pick[T any](f Family, four, six T) T {
	if f == V6 {
		return six
	}
	return four
}

// Plan is a lab on paper. It follows from a name alone, so that every
// process that has to do with a lab has the same one. It is not changed.
type Plan struct {
	Name    string
	Routers []Router
	Links   []Link
	Nodes   []Node
	Clients []Client
}

// Router is a network's router and the network behind it.
type Router struct {
	Name string
	Role string
	ASN  uint32
	ID   netip.Addr
	// LAN4 and LAN6 are the router's addresses in the network behind it,
	// which it announces; none for a transit.
	LAN4, LAN6 netip.Prefix
}

// lan is the router's address in its network.
func (r *Router) lan(f Family) netip.Prefix { return pick(f, r.LAN4, r.LAN6) }

// Link is a line between two routers; the left one is the provider. It
// ends in a bridge on the left, so that the provider cannot see the other
// side go silent.
type Link struct {
	Left, Right string
	// Left4 and so on are the addresses of the ends.
	Left4, Right4, Left6, Right6 netip.Prefix
	// Spare is down until a scenario wants it.
	Spare bool
}

// Name is what scenarios call the link.
func (l *Link) Name() string { return l.Left + "-" + l.Right }

// end returns the address of a router's end, and the other's.
func (l *Link) end(router string, f Family) (own, other netip.Prefix) {
	left, right := pick(f, l.Left4, l.Left6), pick(f, l.Right4, l.Right6)
	if router == l.Right {
		return right, left
	}
	return left, right
}

// other is the router at the other end.
func (l *Link) other(router string) string {
	if router == l.Right {
		return l.Left
	}
	return l.Right
}

// Node is a Landfall node.
type Node struct {
	ID       uint8
	Name     string
	Pop      string // also the name of the PoP's border router
	ASN      uint32
	LAN4     netip.Prefix
	LAN6     netip.Prefix
	Gateway4 netip.Addr
	Gateway6 netip.Addr
}

// Address is the node's unicast address.
func (n *Node) Address(f Family) netip.Addr { return pick(f, n.LAN4, n.LAN6).Addr() }

// Client is a host in an eyeball network.
type Client struct {
	Name     string // of its network, as scenarios call it
	Home     string // the PoP that is nearest; "" when both are as near
	LAN4     netip.Prefix
	LAN6     netip.Prefix
	Gateway4 netip.Addr
	Gateway6 netip.Addr
}

// nodesPerPop is small: a machine with two cores runs them all.
const nodesPerPop = 3

// names of labs go into names of namespaces and files.
var names = regexp.MustCompile(`^[a-z0-9]{1,16}$`)

// CheckName says what is wrong with the name of a lab.
func CheckName(name string) error {
	if names.MatchString(name) {
		return nil
	}
	return fmt.Errorf("lab name %q: expected 1 to 16 of a-z and 0-9", name)
}

// NewPlan returns the plan of the lab with a name.
func NewPlan(name string) *Plan {
	p := &Plan{Name: name}
	p.router("t1", Transit, 64496, 0)
	p.router("t2", Transit, 64497, 0)
	p.router("e1", Eyeball, 64498, 1)
	p.router("e2", Eyeball, 64499, 2)
	p.router("e3", Eyeball, 64501, 3)
	p.router("o", Source, 64502, 4)
	p.router("a", Border, CDN, 5)
	p.router("b", Border, CDN, 6)
	for _, l := range []string{"t1-t2", "t1-e1", "t2-e2", "t1-e3", "t2-e3", "t1-o", "t2-o", "t1-a", "t2-b"} {
		p.link(l, false)
	}
	p.link("t1-b", true) // only where PoPs share a transit does it compare their MED
	for i, pop := range []string{"a", "b"} {
		p.pop(pop, uint32(65001+i))
	}
	for _, c := range []struct{ name, home string }{{"e1", "a"}, {"e2", "b"}, {"e3", ""}} {
		r := p.Router(c.name)
		p.Clients = append(p.Clients, Client{
			Name: c.name, Home: c.home,
			LAN4: host(r.LAN4, 10), LAN6: host(r.LAN6, 10), Gateway4: r.LAN4.Addr(), Gateway6: r.LAN6.Addr(),
		})
	}
	return p
}

// router adds a router; lan is the number of the network behind it, 0 for
// none.
func (p *Plan) router(name, role string, asn uint32, lan int) {
	r := Router{Name: name, Role: role, ASN: asn, ID: netip.AddrFrom4([4]byte{10, 255, 255, byte(len(p.Routers) + 1)})}
	if lan > 0 {
		r.LAN4 = netip.MustParsePrefix(fmt.Sprintf("10.64.%d.1/24", lan))
		r.LAN6 = netip.MustParsePrefix(fmt.Sprintf("fd64:%d::1/64", lan))
	}
	p.Routers = append(p.Routers, r)
}

func (p *Plan) link(name string, spare bool) {
	left, right, _ := strings.Cut(name, "-")
	k := len(p.Links) + 1
	v4 := netip.MustParsePrefix(fmt.Sprintf("10.255.%d.0/24", k))
	v6 := netip.MustParsePrefix(fmt.Sprintf("fd64:ff%02x::/64", k))
	p.Links = append(p.Links, Link{
		Left: left, Right: right, Spare: spare,
		Left4: host(v4, 1), Right4: host(v4, 2), Left6: host(v6, 1), Right6: host(v6, 2),
	})
}

func (p *Plan) pop(name string, asn uint32) {
	border := p.Router(name)
	for i := range nodesPerPop {
		p.Nodes = append(p.Nodes, Node{
			ID: uint8(len(p.Nodes) + 1), Name: fmt.Sprintf("%s%d", name, i+1), Pop: name, ASN: asn,
			LAN4: host(border.LAN4, byte(11+i)), LAN6: host(border.LAN6, byte(11+i)),
			Gateway4: border.LAN4.Addr(), Gateway6: border.LAN6.Addr(),
		})
	}
}

// host returns an address of a network by its last byte.
func host(network netip.Prefix, last byte) netip.Prefix {
	b := network.Addr().AsSlice()
	b[len(b)-1] = last
	addr, _ := netip.AddrFromSlice(b) // has the length of an address
	return netip.PrefixFrom(addr, network.Bits())
}

// Router returns the router with a name, nil when there is none.
func (p *Plan) Router(name string) *Router {
	return find(p.Routers, func(r *Router) bool { return r.Name == name })
}

// Node returns the node with a name, nil when there is none.
func (p *Plan) Node(name string) *Node {
	return find(p.Nodes, func(n *Node) bool { return n.Name == name })
}

// Client returns the client of a network, nil when there is none.
func (p *Plan) Client(name string) *Client {
	return find(p.Clients, func(c *Client) bool { return c.Name == name })
}

// Link returns the link with a name, nil when there is none.
func (p *Plan) Link(name string) *Link {
	return find(p.Links, func(l *Link) bool { return l.Name() == name })
}

func find[T any](list []T, is func(*T) bool) *T {
	for i := range list {
		if is(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// PopNodes are the nodes of a PoP.
func (p *Plan) PopNodes(pop string) (out []*Node) {
	for i := range p.Nodes {
		if p.Nodes[i].Pop == pop {
			out = append(out, &p.Nodes[i])
		}
	}
	return out
}

// Pops are the names of the PoPs.
func (p *Plan) Pops() (out []string) {
	for _, r := range p.Routers {
		if r.Role == Border {
			out = append(out, r.Name)
		}
	}
	return out
}

// linksOf are the links of a router.
func (p *Plan) linksOf(router string) []Link {
	return slices.DeleteFunc(slices.Clone(p.Links), func(l Link) bool { return l.Left != router && l.Right != router })
}

// origin is where the origin answers.
func (p *Plan) origin(f Family) netip.Addr { return p.Router("o").lan(f).Addr() }
