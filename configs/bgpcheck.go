package configs

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

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
	b.checkPrefixes(in)
	b.checkSides(in)
}

func (b *BGP) checkPrefixes(in scope) {
	first := make(map[netip.Prefix]int)
	for i, p := range b.Prefixes {
		key := fmt.Sprintf("prefixes[%d].prefix", i)
		other, dup := first[p.Prefix]
		switch {
		case !p.Prefix.IsValid():
			continue
		case dup:
			in.errorf(key, "%s is prefixes[%d] already; remove one", p.Prefix, other)
		case !slices.Contains(b.VIPs, p.Prefix) && in.good("vips"):
			in.errorf(key, "%s is none of the vips; expected one of them", p.Prefix)
		}
		if !dup {
			first[p.Prefix] = i
		}
	}
}

// checkSides warns about what does nothing, and about a mix that routers
// do not spread load over: of an internal and an external path to the same
// place, an external router's is taken.
func (b *BGP) checkSides(in scope) {
	if !in.good("asn", "peers") {
		return
	}
	internal, external := map[string]bool{}, map[string]bool{} // by family
	for i, p := range b.Peers {
		if p.ASN != b.ASN {
			external[family(p.Address)] = true
			if p.LocalPref != 0 {
				in.warnf(fmt.Sprintf("peers[%d].local_pref", i), "has no effect: the router is of another autonomous system, which gets no LOCAL_PREF")
			}
			continue
		}
		internal[family(p.Address)] = true
		if p.Prepend != 0 {
			in.warnf(fmt.Sprintf("peers[%d].prepend", i), "has no effect: a router of the own autonomous system would take it for a loop")
		}
	}
	for _, name := range []string{"IPv4", "IPv6"} {
		if internal[name] && external[name] {
			in.warnf("peers", "of those for %s some are of the own autonomous system and some are not; routers do not spread load over a mix of internal and external paths", name)
		}
	}
	if len(internal) == 0 && b.LocalPref != 0 {
		in.warnf("local_pref", "has no effect: no router is of the own autonomous system")
	}
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
