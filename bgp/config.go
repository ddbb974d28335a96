package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Bounds of a Config. They keep what a speaker is sent with every beat
// of its lease small.
const (
	MaxVIPs        = 128
	MaxPeers       = 16
	MaxListen      = 16
	MaxCommunities = 16
	// MaxPassword is the longest key of TCP MD5 (RFC 2385) that Linux takes.
	MaxPassword = 80
)

// DefaultHoldTime is the hold time of a session that names none. It is
// the backstop behind BFD; a keepalive is sent every third of it.
const DefaultHoldTime = 9 * time.Second

// Config is what an operator says about a node's BGP.
type Config struct {
	// ASN is the node's own AS number; private ones are welcome.
	ASN uint32
	// RouterID identifies the node to its routers (RFC 4271 section
	// 4.2): any IPv4 address that no other speaker uses.
	RouterID netip.Addr
	// VIPs are the prefixes the node may announce, host routes or
	// networks, at most MaxVIPs. Each needs a peer of its family.
	VIPs []netip.Prefix
	// Attrs go with every VIP.
	Attrs Attrs
	// Peers are the routers, one session each, at most MaxPeers.
	Peers []PeerConfig
	// Listen are the local addresses at which routers may open the
	// session, port 179. The unspecified address stands for all of its
	// family, VIPs included. None, the default: the node opens all
	// sessions.
	Listen []netip.Addr
}

// PeerConfig is one router. A session carries the address family it
// runs over and no other.
type PeerConfig struct {
	Address netip.Addr
	// ASN is the router's; it differs from the node's, as routers do not
	// spread load over a mix of internal and external paths.
	ASN uint32
	// Password is the TCP MD5 key (RFC 2385), printable ASCII, at most
	// MaxPassword bytes; empty: none.
	Password string
	// HoldTime is offered to the router (RFC 4271 section 4.2): whole
	// seconds, at least 3; 0 means DefaultHoldTime.
	HoldTime time.Duration
	// Multihop is how many hops away the router may be. 0, the default:
	// it is on a network of this node, and both ends use TTL security
	// (RFC 5082), which the router must be told. 1 to 255: no TTL security.
	Multihop int
	// Passive leaves opening the session to the router.
	Passive bool
}

// Hold returns the hold time in force.
func (p PeerConfig) Hold() time.Duration {
	if p.HoldTime == 0 {
		return DefaultHoldTime
	}
	return p.HoldTime
}

// Announcement returns the desired announcements of a node in service:
// every VIP.
func (c *Config) Announcement() map[netip.Prefix]Attrs {
	out := make(map[netip.Prefix]Attrs, len(c.VIPs))
	for _, vip := range c.VIPs {
		out[vip] = c.Attrs
	}
	return out
}

// Validate returns everything that is wrong with c, nil when nothing is.
// It looks at no interface: see CheckLinks.
func (c *Config) Validate() error {
	errs := []error{
		checkASN("asn", c.ASN),
		checkRouterID(c.RouterID),
		c.checkSizes(),
	}
	errs = append(errs, c.checkVIPs()...)
	errs = append(errs, c.checkListen()...)
	errs = append(errs, c.checkPeers()...)
	return errors.Join(errs...)
}

// CheckLinks returns an error for each peer that is said to be directly
// connected but is in none of the networks of this machine.
func (c *Config) CheckLinks(local []netip.Prefix) error {
	var errs []error
	for i, p := range c.Peers {
		if p.Multihop == 0 && !onLink(p.Address, local) {
			errs = append(errs, fmt.Errorf("peers[%d]: %s is on no network of this machine; configure an address next to it, or say multihop", i, p.Address))
		}
	}
	return errors.Join(errs...)
}

// CheckDesired tells why d must not be applied: it names a prefix that is
// none of the VIPs, or attributes beyond the bounds.
func (c *Config) CheckDesired(d Desired) error {
	var errs []error
	vips := c.Announcement()
	for prefix, attrs := range d.Announce {
		if _, ok := vips[prefix]; !ok {
			errs = append(errs, fmt.Errorf("%s is not one of the node's VIPs; only those are announced", prefix))
		}
		if len(attrs.Communities) > MaxCommunities {
			errs = append(errs, fmt.Errorf("%s: %d communities, at most %d", prefix, len(attrs.Communities), MaxCommunities))
		}
	}
	return errors.Join(errs...)
}
