// Package netguard judges where an origin may live: which addresses a
// fetch must never reach unless the operator allows them, and which ways
// of writing a host are attempts to hide an address. It is asked when a
// configuration is read and again when a connection is made, because a
// name may resolve to something else later. It never resolves or dials.
package netguard

import (
	"net/netip"
	"slices"
	"strings"
)

// refused lists the ranges that are not public unicast, after the IANA
// special-purpose address registries (RFC 6890). The first match names
// the reason, so that narrow ranges stand before wide ones.
var refused = []struct {
	prefix netip.Prefix
	reason string
}{
	{netip.MustParsePrefix("0.0.0.0/32"), "unspecified"},
	{netip.MustParsePrefix("0.0.0.0/8"), "this network (RFC 791)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared by carrier-grade NAT (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.169.254/32"), "a cloud's metadata service (link-local)"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "an IETF protocol assignment (RFC 6890)"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay anycast (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private (RFC 1918)"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking (RFC 2544)"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved (RFC 1112)"},

	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::/96"), "IPv4-compatible IPv6 (RFC 4291)"},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64, which reaches IPv4 (RFC 6052)"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64, which reaches IPv4 (RFC 8215)"},
	{netip.MustParsePrefix("100::/64"), "discard-only (RFC 6666)"},
	{netip.MustParsePrefix("2001::/32"), "Teredo, which reaches IPv4 (RFC 4380)"},
	{netip.MustParsePrefix("2001::/23"), "an IETF protocol assignment (RFC 2928)"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation (RFC 3849)"},
	{netip.MustParsePrefix("2002::/16"), "6to4, which reaches IPv4 (RFC 3056)"},
	{netip.MustParsePrefix("3fff::/20"), "documentation (RFC 9637)"},
	{netip.MustParsePrefix("fc00::/7"), "unique local (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "link-local (RFC 4291)"},
	{netip.MustParsePrefix("fec0::/10"), "site-local (RFC 3879)"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// globalUnicast is all of IPv6 that has been given out as such
// (RFC 4291, 2.4). What lies outside is refused even when it has no line
// of its own above.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// Prohibited reports whether an origin may not live at addr, and why.
// A prefix of allow that contains addr permits it.
//
// An IPv4-mapped IPv6 address is prohibited whatever allow says: it is
// a second spelling of an IPv4 address, which would slip past a list of
// IPv4 prefixes. Addresses out of a net.IP are to be unmapped first. A
// zone does not change the verdict.
func Prohibited(addr netip.Addr, allow []netip.Prefix) (reason string, bad bool) {
	if !addr.IsValid() {
		return "not an address", true
	}
	// A prefix never contains an address with a zone.
	addr = addr.WithZone("")
	if addr.Is4In6() {
		return "IPv4-mapped IPv6; write it as " + addr.Unmap().String(), true
	}
	if slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return "", false
	}
	for _, r := range refused {
		if r.prefix.Contains(addr) {
			return r.reason, true
		}
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return "not global unicast (RFC 4291)", true
	}
	return "", false
}

// Loopback is whether a name means this machine by definition
// (RFC 6761, 6.3), so that no resolver need be asked. The name is in
// lower case.
func Loopback(name string) bool {
	name = strings.TrimSuffix(name, ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// Disguised reports whether host, which is not a well-formed address, is
// a number that some resolvers take for an IPv4 address: "127.1",
// "0x7f.1", "2130706433", "0177.0.0.1". As in the URL standard, the last
// label decides. The host is in lower case, without brackets.
func Disguised(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		last, digits = "0"+hex, "0123456789abcdef"
	}
	return last != "" && strings.Trim(last, digits) == ""
}
