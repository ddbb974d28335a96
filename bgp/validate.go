package bgp

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// AS numbers that no speaker may use.
const (
	asTrans   = 23456      // RFC 6793 section 9
	asLast16  = 65535      // RFC 7300
	asLast32  = 4294967295 // RFC 7300
	holdMin   = 3 * time.Second
	holdMax   = 65535 * time.Second
	multihops = 255
)

func checkASN(where string, asn uint32) error {
	switch asn {
	case 0:
		return fmt.Errorf("%s: missing (0 is no AS number, RFC 7607); private ones are 64512-65534 and 4200000000-4294967294", where)
	case asTrans:
		return fmt.Errorf("%s: 23456 stands in for four-octet AS numbers (RFC 6793) and is nobody's own", where)
	case asLast16, asLast32:
		return fmt.Errorf("%s: %d is reserved (RFC 7300)", where, asn)
	}
	return nil
}

func checkRouterID(id netip.Addr) error {
	switch {
	case !id.IsValid():
		return fmt.Errorf("router_id: missing; give an IPv4 address of this node")
	case !id.Is4() || id.IsUnspecified() || id.IsMulticast():
		return fmt.Errorf("router_id: %s is not an IPv4 address of a node", id)
	}
	return nil
}

func (c *Config) checkSizes() error {
	switch {
	case len(c.VIPs) == 0:
		return fmt.Errorf("vips: missing; name the prefixes to announce")
	case len(c.VIPs) > MaxVIPs:
		return fmt.Errorf("vips: %d, at most %d", len(c.VIPs), MaxVIPs)
	case len(c.Peers) == 0:
		return fmt.Errorf("peers: missing; name at least one router")
	case len(c.Peers) > MaxPeers:
		return fmt.Errorf("peers: %d, at most %d", len(c.Peers), MaxPeers)
	case len(c.Listen) > MaxListen:
		return fmt.Errorf("listen: %d addresses, at most %d", len(c.Listen), MaxListen)
	}
	return nil
}

func (c *Config) checkVIPs() (errs []error) {
	seen := make(map[netip.Prefix]int, len(c.VIPs))
	for i, vip := range c.VIPs {
		err := checkVIP(vip)
		first, dup := seen[vip]
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("vips[%d]: %w", i, err))
		case dup:
			errs = append(errs, fmt.Errorf("vips[%d]: %s is vips[%d] again", i, vip, first))
		case !c.hasPeer(vip.Addr().Is4()):
			errs = append(errs, fmt.Errorf("vips[%d]: %s has no %s peer to be announced to; a session carries its own family only, add one", i, vip, family(vip.Addr())))
		}
		if !dup {
			seen[vip] = i
		}
	}
	return errs
}

func checkVIP(vip netip.Prefix) error {
	switch {
	case !vip.IsValid():
		return fmt.Errorf("not a prefix; write 198.51.100.10/32 or 2001:db8::10/128")
	case vip.Addr().Is4In6():
		return fmt.Errorf("%s is an IPv4 prefix in IPv6 form; write it as IPv4", vip)
	case vip.Bits() == 0:
		return fmt.Errorf("%s is the default route; a node must not attract it", vip)
	case vip != vip.Masked():
		return fmt.Errorf("%s is neither a host route nor a network: bits are set behind the mask; write %s or %s",
			vip, vip.Masked(), netip.PrefixFrom(vip.Addr(), vip.Addr().BitLen()))
	case !isUnicast(vip.Addr()):
		return fmt.Errorf("%s is not unicast", vip)
	}
	return nil
}

// checkAttrs looks at what is configured, and at what it comes to on each
// rung. All faults of one place are one error, that of the first rung.
func (c *Config) checkAttrs() (errs []error) {
	check := func(where string, a Attrs) {
		if err := a.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s%w", where, err))
		}
	}
	check("", c.Attrs)
	for _, prefix := range slices.SortedFunc(maps.Keys(c.Prefixes), netip.Prefix.Compare) {
		if !slices.Contains(c.VIPs, prefix) {
			errs = append(errs, fmt.Errorf("prefixes: %s is not one of the VIPs", prefix))
		}
		check(fmt.Sprintf("prefixes: %s: ", prefix), c.Prefixes[prefix])
	}
	if c.Deprefer != nil {
		check("deprefer: ", *c.Deprefer)
	}
	if c.Gshut != nil {
		check("gshut: ", *c.Gshut)
	}
	for i, p := range c.Peers {
		check(fmt.Sprintf("peers[%d]: ", i), p.Attrs)
		check(fmt.Sprintf("peers[%d]: deprefer: ", i), p.Deprefer)
		check(fmt.Sprintf("peers[%d]: gshut: ", i), p.Gshut)
	}
	if len(errs) > 0 || len(c.VIPs) > MaxVIPs || len(c.Peers) > MaxPeers {
		return errs
	}
	for _, vip := range c.VIPs {
		for _, rung := range []Rung{Normal, Deprefer, Gshut} {
			sum := c.Attrs.Merge(c.Prefixes[vip]).Merge(c.Rung(rung))
			if err := sum.Validate(); err != nil {
				return append(errs, fmt.Errorf("%s on the rung %v, all merged: %w", vip, rung, err))
			}
		}
	}
	return errs
}

func (c *Config) checkListen() (errs []error) {
	seen := make(map[netip.Addr]bool, len(c.Listen))
	for i, a := range c.Listen {
		switch {
		case !a.IsValid() || a.Is4In6() || a.Zone() != "" || !isUnicast(a) && !a.IsUnspecified():
			errs = append(errs, fmt.Errorf("listen[%d]: %s is not an address routers can reach", i, a))
		case seen[a]:
			errs = append(errs, fmt.Errorf("listen[%d]: %s is there twice", i, a))
		}
		seen[a] = true
	}
	return errs
}

func (c *Config) checkPeers() (errs []error) {
	seen := make(map[netip.Addr]int, len(c.Peers))
	for i, p := range c.Peers {
		for _, err := range c.checkPeer(p) {
			errs = append(errs, fmt.Errorf("peers[%d]: %w", i, err))
		}
		if first, dup := seen[p.Address]; dup {
			errs = append(errs, fmt.Errorf("peers[%d]: %s is peers[%d] again", i, p.Address, first))
		} else {
			seen[p.Address] = i
		}
	}
	return errs
}

func (c *Config) checkPeer(p PeerConfig) (errs []error) {
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch a := p.Address; {
	case !a.IsValid():
		refuse("address: missing; give the router's address")
	case a.Is4In6():
		refuse("address: %s is IPv4 in IPv6 form; write it as IPv4", a)
	case a.IsLinkLocalUnicast() || a.Zone() != "":
		refuse("address: %s is link-local; use the router's global or private address", a)
	case !isUnicast(a):
		refuse("address: %s is not the address of a router", a)
	}
	if err := checkASN("asn", p.ASN); err != nil {
		errs = append(errs, err)
	}
	if len(p.Password) > MaxPassword || !isPrintable(p.Password) {
		refuse("password: want at most %d printable ASCII characters", MaxPassword)
	}
	if h := p.Hold(); h < holdMin || h > holdMax || h%time.Second != 0 {
		refuse("hold_time: %v; want whole seconds from 3s to 65535s (RFC 4271 section 4.2)", h)
	}
	if p.Multihop < 0 || p.Multihop > multihops {
		refuse("multihop: %d; want 0 (on a network of this node) to 255", p.Multihop)
	}
	if p.Passive && !c.listensFor(p.Address) {
		refuse("passive: %s can open no session; name an %s address of this node under listen", p.Address, family(p.Address))
	}
	return errs
}

func (c *Config) hasPeer(v4 bool) bool {
	for _, p := range c.Peers {
		if p.Address.IsValid() && p.Address.Is4() == v4 {
			return true
		}
	}
	return false
}

func (c *Config) listensFor(peer netip.Addr) bool {
	for _, a := range c.Listen {
		if a.Is4() == peer.Is4() {
			return true
		}
	}
	return false
}

func onLink(a netip.Addr, local []netip.Prefix) bool {
	for _, p := range local {
		if p.Contains(a) && p.Addr() != a && !p.IsSingleIP() {
			return true
		}
	}
	return false
}

func isUnicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.IsLinkLocalUnicast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
