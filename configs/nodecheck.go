package configs

import (
	"fmt"
	"net/netip"
)

// The rules that span keys of the node file.

func (n *Node) check(in scope) {
	if in.has("control") && !in.has("sites.dir") {
		in.errorf("control", "is not in force in this version, so that sites would come from nowhere; add sites: { dir: ./sites }")
	}
	n.checkListeners(in)
	n.checkPop(in)
}

// checkListeners refuses an address that is listened on twice, and an
// admin listener on a VIP: it would be open to the Internet.
func (n *Node) checkListeners(in scope) {
	type listener struct {
		path string
		addr netip.AddrPort
	}
	var all []listener
	for i, a := range n.Listen.HTTPS {
		all = append(all, listener{fmt.Sprintf("listen.https[%d]", i), a})
	}
	for i, a := range n.Listen.HTTP {
		all = append(all, listener{fmt.Sprintf("listen.http[%d]", i), a})
	}
	all = append(all, listener{"listen.peer", n.Listen.Peer}, listener{"admin.listen", n.Admin.Listen})
	if n.Pop != nil {
		all = append(all, listener{"pop.listen", n.Pop.Listen})
	}
	first := make(map[netip.AddrPort]string)
	for _, l := range all {
		if !l.addr.IsValid() || l.addr.Port() == 0 {
			continue // absent, refused, or any free port
		}
		if other, dup := first[l.addr]; dup {
			in.errorf(l.path, "%s is %s already; give each listener an address of its own", l.addr, other)
			continue
		}
		first[l.addr] = l.path
	}
	n.checkVIPs(in)
}

// checkVIPs refuses listeners on a VIP that clients must not reach: traffic
// for a VIP goes to any node, and comes from anywhere.
func (n *Node) checkVIPs(in scope) {
	if n.BGP == nil {
		return
	}
	on := func(a netip.Addr) (netip.Prefix, bool) {
		for _, vip := range n.BGP.VIPs {
			if a.IsValid() && vip.IsValid() && (vip.Contains(a) || a.IsUnspecified()) {
				return vip, true
			}
		}
		return netip.Prefix{}, false
	}
	if vip, bad := on(n.Admin.Listen.Addr()); bad {
		in.errorf("admin.listen", "%s is reachable at the VIP %s; the operator's side must not be, listen on 127.0.0.1 or a management address", n.Admin.Listen, vip)
	}
	if vip, bad := on(n.Listen.Peer.Addr()); bad && unicast(n.Listen.Peer.Addr()) {
		in.errorf("listen.peer", "%s is on the VIP %s, which leads to any node; expected an address of this node alone", n.Listen.Peer, vip)
	}
	if n.Pop == nil {
		return
	}
	if vip, bad := on(n.Pop.Listen.Addr()); bad && unicast(n.Pop.Listen.Addr()) {
		in.errorf("pop.listen", "%s is on the VIP %s, which leads to any node; expected an address of this node alone", n.Pop.Listen, vip)
	}
	for i, s := range n.Pop.Siblings {
		if vip, bad := on(s.Peer.Addr()); bad && unicast(s.Peer.Addr()) {
			in.errorf(fmt.Sprintf("pop.siblings[%d].peer", i), "%s is on the VIP %s, which leads to any node; expected the sibling's own address", s.Peer, vip)
		}
	}
}

func (i *Identity) check(scope) {
	if i.Name == "" {
		i.Name = fmt.Sprintf("node-%d", i.ID)
	}
}

func (l *Listen) check(in scope) {
	if len(l.HTTPS)+len(l.HTTP) == 0 && in.good("https", "http") {
		in.errorf("", `has neither https nor http; expected at least one address such as https: ["127.0.0.1:8443"]`)
	}
}

func (st *Steer) check(in scope) {
	if (st.Mode == SteerXDP || st.Mode == SteerGeneric) && !in.has("interface") {
		in.errorf("interface", "missing; mode %s needs the name of the interface that clients' packets arrive on", st.Mode)
	}
}

// reachable reports whether a may be the address of another machine.
func reachable(a netip.Addr) bool {
	return unicast(a) && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
