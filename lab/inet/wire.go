package inet

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/internal/netns"
)

// forwarding are the settings of every namespace: a router's, which harm no
// host. Several paths are told apart by addresses and ports, so that every
// connection has its path. Addresses can be used at once (no duplicate
// address detection), also those that interfaces make up.
var forwarding = map[string]string{
	"ipv4/ip_forward":                     "1",
	"ipv4/conf/all/rp_filter":             "0",
	"ipv4/conf/default/rp_filter":         "0",
	"ipv4/fib_multipath_hash_policy":      "1",
	"ipv6/fib_multipath_hash_policy":      "1",
	"ipv6/conf/all/forwarding":            "1",
	"ipv6/conf/default/accept_dad":        "0",
	"ipv6/conf/all/accept_dad":            "0",
	"ipv4/icmp_ratelimit":                 "0",
	"ipv6/conf/all/keep_addr_on_down":     "1",
	"ipv6/conf/default/keep_addr_on_down": "1",
	"ipv6/conf/default/accept_ra":         "0",
	"ipv4/conf/all/accept_redirects":      "0",
	"ipv4/conf/all/send_redirects":        "0",
	"ipv4/conf/default/send_redirects":    "0",
}

// wire makes the namespaces and everything between them.
func (l *Lab) wire(set *netns.Set) error {
	var hosts []string
	for _, r := range l.Plan.Routers {
		hosts = append(hosts, r.Name)
	}
	for _, n := range l.Plan.Nodes {
		hosts = append(hosts, n.Name)
	}
	for _, c := range l.Plan.Clients {
		hosts = append(hosts, clientSpace(c.Name))
	}
	for _, name := range hosts {
		ns, err := set.Add(name)
		if err != nil {
			return err
		}
		if err := ns.Set(forwarding); err != nil {
			return err
		}
	}
	for i := range l.Plan.Routers {
		if err := l.wireLAN(&l.Plan.Routers[i]); err != nil {
			return err
		}
	}
	for i := range l.Plan.Links {
		if err := l.wireLink(&l.Plan.Links[i]); err != nil {
			return err
		}
	}
	for i := range l.Plan.Nodes {
		if err := l.wireNode(&l.Plan.Nodes[i]); err != nil {
			return err
		}
	}
	for i := range l.Plan.Clients {
		if err := l.wireClient(&l.Plan.Clients[i]); err != nil {
			return err
		}
	}
	return nil
}

// bridge makes a bridge: a switch whose ports may go silent without the
// router that has the bridge seeing it. It has a port that leads nowhere,
// without which it would be down whenever it has no other, and an address
// of its own: one that it took from a port would change with its ports, and
// everybody on it would send to the old one for a while. like is an IPv4
// address that only this bridge has: its own is made of that, as routers
// refuse a next hop that is an address of theirs elsewhere.
func bridge(name string, like netip.Addr) []string {
	b := like.As4()
	mac := fmt.Sprintf("02:00:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
	return []string{
		"link add name " + name + " address " + mac + " type bridge stp_state 0 mcast_snooping 0",
		"link add name k-" + name + " type veth peer name kk-" + name,
		mute("kk-"+name) + " up",
		mute("k-"+name) + " master " + name + " up",
		"link set dev " + name + " up",
	}
}

// mute begins a change of an interface that only passes frames on. It gets
// no address that it would tell multicast groups of: the table of IPv6
// neighbours is one for the whole machine, and takes no more when it is full.
func mute(name string) string { return "link set dev " + name + " addrgenmode none" }

// wireLAN makes the network behind a router.
func (l *Lab) wireLAN(r *Router) error {
	if !r.LAN4.IsValid() {
		return nil
	}
	return l.space(r.Name).Batch(append(bridge("lan", r.LAN4.Addr()),
		fmt.Sprintf("address add %s dev lan", r.LAN4),
		fmt.Sprintf("address add %s dev lan nodad", r.LAN6))...)
}

// port is the name of a bridge's port towards somebody.
func port(towards string) string { return "p-" + towards }

// wireLink makes a link between routers.
func (l *Lab) wireLink(k *Link) error {
	left, right := l.space(k.Left), l.space(k.Right)
	state := "up"
	if k.Spare {
		state = "down"
	}
	err := left.Batch(append(bridge(k.Right, k.Left4.Addr()),
		fmt.Sprintf("link add name %s type veth peer name %s netns %s", port(k.Right), k.Left, right.Name),
		mute(port(k.Right))+" master "+k.Right,
		fmt.Sprintf("address add %s dev %s", k.Left4, k.Right),
		fmt.Sprintf("address add %s dev %s nodad", k.Left6, k.Right),
		fmt.Sprintf("link set dev %s %s", port(k.Right), state))...)
	if err != nil {
		return err
	}
	return right.Batch(
		fmt.Sprintf("address add %s dev %s", k.Right4, k.Left),
		fmt.Sprintf("address add %s dev %s nodad", k.Right6, k.Left),
		fmt.Sprintf("link set dev %s %s", k.Left, state))
}

// wireHost connects a host to the network behind a router.
func (l *Lab) wireHost(router, name string, host *netns.Namespace, commands ...string) error {
	err := l.space(router).Batch(
		fmt.Sprintf("link add name %s type veth peer name eth0 netns %s", port(name), host.Name),
		mute(port(name))+" master lan",
		fmt.Sprintf("link set dev %s up", port(name)))
	if err != nil {
		return err
	}
	return host.Batch(append([]string{"link set dev eth0 up"}, commands...)...)
}

func (l *Lab) wireNode(n *Node) error {
	return l.wireHost(n.Pop, n.Name, l.Node(n.Name),
		fmt.Sprintf("address add %s dev eth0", n.LAN4),
		fmt.Sprintf("address add %s dev eth0 nodad", n.LAN6),
		fmt.Sprintf("address add %s/32 dev lo", VIP4),
		fmt.Sprintf("address add %s/128 dev lo nodad", VIP6),
		fmt.Sprintf("route add default via %s", n.Gateway4),
		fmt.Sprintf("route add ::/0 via %s", n.Gateway6))
}

func (l *Lab) wireClient(c *Client) error {
	return l.wireHost(c.Name, "client", l.Client(c.Name),
		fmt.Sprintf("address add %s dev eth0", c.LAN4),
		fmt.Sprintf("address add %s dev eth0 nodad", c.LAN6),
		fmt.Sprintf("route add default via %s", c.Gateway4),
		fmt.Sprintf("route add ::/0 via %s", c.Gateway6))
}

// Link takes a link down or brings it up; both ends see it.
func (l *Lab) Link(name string, up bool) error {
	k := l.Plan.Link(name)
	if k == nil {
		return fmt.Errorf("no link %s", name)
	}
	state := "down"
	if up {
		state = "up"
	}
	if err := l.space(k.Left).Batch(fmt.Sprintf("link set dev %s %s", port(k.Right), state)); err != nil {
		return err
	}
	return l.space(k.Right).Batch(fmt.Sprintf("link set dev %s %s", k.Left, state))
}

// Silence takes a node's or a router's packets away, or gives them back:
// every line to it is unplugged at the switch, and nobody sees a link go
// down.
func (l *Lab) Silence(name string, silent bool) error {
	if n := l.Plan.Node(name); n != nil {
		return l.plug(n.Pop, port(name), "lan", silent)
	}
	r := l.Plan.Router(name)
	if r == nil {
		return fmt.Errorf("no node and no router %s", name)
	}
	for _, k := range l.Plan.linksOf(name) {
		if err := l.plug(k.Left, port(k.Right), k.Right, silent); err != nil {
			return err
		}
	}
	for _, n := range l.Plan.PopNodes(name) {
		if err := l.plug(name, port(n.Name), "lan", silent); err != nil {
			return err
		}
	}
	return nil
}

// plug takes a port of a bridge off it, or puts it back.
func (l *Lab) plug(router, port, bridge string, out bool) error {
	if out {
		return l.space(router).Batch(fmt.Sprintf("link set dev %s nomaster", port))
	}
	return l.space(router).Batch(fmt.Sprintf("link set dev %s master %s", port, bridge))
}

// linkTime bounds how long interfaces may take to have the addresses that
// they make up.
const linkTime = 5 * time.Second

// linked waits until every interface of a router that is to be up has its
// link-local address, which routers give one another as next hops: one that
// was started before that may never notice.
func (l *Lab) linked(ctx context.Context, r *Router) error {
	ctx, cancel := context.WithTimeout(ctx, linkTime)
	defer cancel()
	var want []string
	for _, k := range l.Plan.linksOf(r.Name) {
		if !k.Spare {
			want = append(want, k.other(r.Name))
		}
	}
	if r.LAN6.IsValid() {
		want = append(want, "lan")
	}
	poll := time.NewTicker(settlePoll)
	defer poll.Stop()
	for {
		out, err := ask(ctx, "ip", "-n", l.space(r.Name).Name, "-6", "-o", "address", "show", "scope", "link")
		if err == nil && !slices.ContainsFunc(want, func(name string) bool { return !strings.Contains(out, ": "+name+" ") }) {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("router %s has no link-local address on each of %v: %s", r.Name, want, out)
		}
	}
}
