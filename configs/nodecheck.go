package configs

import (
	"fmt"
	"net/netip"
	"time"
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

func (b *BGP) check(in scope) {
	checkASN(in, "asn", b.ASN)
	if b.RouterID.IsUnspecified() || b.RouterID.IsMulticast() {
		in.errorf("router_id", "%s is no node's address; expected one of this node's IPv4 addresses", b.RouterID)
	}
	b.checkVIPs(in)
	for i, a := range b.Listen {
		if a.IsValid() && !reachable(a) {
			in.errorf(fmt.Sprintf("listen[%d]", i), "%s is not an address that routers can reach; expected one of this node's", a)
		}
	}
	b.checkPeers(in)
}

func (b *BGP) checkVIPs(in scope) {
	first := make(map[netip.Prefix]int)
	for i, vip := range b.VIPs {
		key := fmt.Sprintf("vips[%d]", i)
		other, dup := first[vip]
		switch {
		case !vip.IsValid():
			// Refused already.
		case vip.Bits() == 0:
			in.errorf(key, "%s is the default route; expected the addresses that clients connect to", vip)
		case !reachable(vip.Addr()):
			in.errorf(key, "%s is not unicast; expected the addresses that clients connect to", vip)
		case dup:
			in.errorf(key, "%s is vips[%d] already; remove one", vip, other)
		case !b.hasPeer(vip.Addr().Is4()) && in.good("peers"):
			in.warnf(key, "%s is not announced: a session carries its own family only, and no peer is %s; add one", vip, family(vip.Addr()))
		}
		if !dup {
			first[vip] = i
		}
	}
}

func (b *BGP) checkPeers(in scope) {
	first := make(map[netip.Addr]int)
	for i, p := range b.Peers {
		key := fmt.Sprintf("peers[%d].", i)
		other, dup := first[p.Address]
		switch {
		case !p.Address.IsValid():
			continue
		case dup:
			in.errorf(key+"address", "%s is peers[%d] already; remove one", p.Address, other)
		case !reachable(p.Address):
			in.errorf(key+"address", "%s is not a router's address; expected its global or private one", p.Address)
		}
		if !dup {
			first[p.Address] = i
		}
		if p.ASN == b.ASN && p.ASN != 0 {
			in.errorf(key+"asn", "%d is this node's too; sessions are external, give the node another", p.ASN)
		}
		if p.Passive && !b.listensFor(p.Address.Is4()) && in.good("listen") {
			in.errorf(key+"passive", "the router can open no session; name an %s address of this node in bgp.listen", family(p.Address))
		}
	}
}

func (b *BGP) hasPeer(v4 bool) bool {
	for _, p := range b.Peers {
		if p.Address.IsValid() && p.Address.Is4() == v4 {
			return true
		}
	}
	return false
}

func (b *BGP) listensFor(v4 bool) bool {
	for _, a := range b.Listen {
		if a.IsValid() && a.Is4() == v4 {
			return true
		}
	}
	return false
}

func (p *Peer) check(in scope) {
	checkASN(in, "asn", p.ASN)
	if p.HoldTime%time.Second != 0 {
		in.errorf("hold_time", "%s is not a number of whole seconds (RFC 4271, 4.2)", FormatDuration(p.HoldTime))
	}
	if p.BFD != nil && p.Multihop > 0 {
		in.errorf("bfd", "works with a directly connected router only (RFC 5881); remove bfd or multihop")
	}
}

// checkASN refuses numbers that no speaker may use.
func checkASN(in scope, key string, asn uint32) {
	switch asn {
	case 23456:
		in.errorf(key, "23456 stands in for four-octet numbers (RFC 6793); expected your own, or a private one such as 64512")
	case 65535:
		in.errorf(key, "65535 is reserved (RFC 7300); expected your own, or a private one such as 64512")
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
