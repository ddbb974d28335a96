package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Bounds of a Config. They keep what a speaker is sent with every beat
// of its lease small.
const (
	MaxVIPs   = 128
	MaxPeers  = 16
	MaxListen = 16
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
	// Prefixes are attributes of some of the VIPs, merged over Attrs.
	Prefixes map[netip.Prefix]Attrs
	// Deprefer is merged over these on the rung of that name; nil means
	// DefaultDeprefer.
	Deprefer *Attrs
	// Gshut is the same for its rung; nil means what Deprefer says.
	// GRACEFUL_SHUTDOWN (RFC 8326) goes with it always.
	Gshut *Attrs
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
	// ASN is the router's. With the node's own the session is internal.
	// Routers do not spread load over a mix of internal and external
	// paths, so all nodes of a PoP should be on the same side.
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
	// NoTTLSecurity does without that for a router on a network of this
	// node.
	NoTTLSecurity bool
	// Passive leaves opening the session to the router.
	Passive bool
	// AddPath offers the router to send it paths with identifiers
	// (RFC 7911); it has one path per prefix all the same.
	AddPath bool
	// Attrs are for this router, merged over those of the prefix.
	Attrs Attrs
	// Deprefer and Gshut are for this router on the rung of that name, in
	// addition to everything else: the communities by which a transit is
	// asked to prefer other ways, for example.
	Deprefer, Gshut Attrs
}

// DefaultDeprefer returns what the rung Deprefer adds unless configured:
// two prepends, and 100 to the MED. A MED that is not set becomes 100, so
// that routers told to take none for the worst want it set.
func DefaultDeprefer() Attrs { return Attrs{Prepend: 2, MEDAdd: 100} }

// Hold returns the hold time in force.
func (p PeerConfig) Hold() time.Duration {
	if p.HoldTime == 0 {
		return DefaultHoldTime
	}
	return p.HoldTime
}

// Rung returns what a rung adds to every announcement.
func (c *Config) Rung(rung Rung) Attrs {
	if rung != Deprefer && rung != Gshut {
		return Attrs{}
	}
	out := DefaultDeprefer()
	if c.Deprefer != nil {
		out = *c.Deprefer
	}
	if rung == Deprefer {
		return out
	}
	if c.Gshut != nil {
		out = *c.Gshut
	}
	return out.Merge(Attrs{Communities: []Community{GracefulShutdown}})
}

// Announcement returns what a node on this rung announces: every VIP with
// its attributes, the rung's and then extra, which is an operator's, merged
// over each other. It is empty on Withdrawn. What a router gets in the end
// ToPeer tells.
func (c *Config) Announcement(rung Rung, extra Attrs) map[netip.Prefix]Attrs {
	out := make(map[netip.Prefix]Attrs, len(c.VIPs))
	if rung >= Withdrawn {
		return out
	}
	more := c.Rung(rung).Merge(extra)
	for _, vip := range c.VIPs {
		out[vip] = c.Attrs.Merge(c.Prefixes[vip]).Merge(more)
	}
	return out
}

// AtPeer returns what the session to p adds on a rung to whatever is
// announced there. A MED or LocalPref of the rung goes before the one that
// p has always: the rung must be felt.
func (c *Config) AtPeer(p PeerConfig, rung Rung) Attrs {
	out, step := p.Attrs, c.Rung(rung)
	if step.MED != nil {
		out.MED = nil
	}
	if step.LocalPref != 0 {
		out.LocalPref = 0
	}
	switch rung {
	case Deprefer:
		out = out.Merge(p.Deprefer)
	case Gshut:
		out = out.Merge(p.Gshut)
	default:
	}
	if out.MED == nil {
		return out
	}
	// It replaces the announcement's, to which the rung had been added.
	med := addMED(*out.MED, addMED(out.MEDAdd, step.MEDAdd))
	out.MED, out.MEDAdd = &med, 0
	return out
}

// ToPeer returns what p gets of an announcement with attributes a, as they
// go over the wire: MEDAdd is in the MED, and neither an internal router
// gets prepends nor an external one a LOCAL_PREF.
func (c *Config) ToPeer(p PeerConfig, rung Rung, a Attrs) Attrs {
	if med, sent := a.FinalMED(); sent {
		a.MED, a.MEDAdd = &med, 0
	}
	own := c.AtPeer(p, rung)
	prepend := a.Prepend + own.Prepend
	a = a.Merge(own)
	a.Prepend = prepend
	if med, sent := a.FinalMED(); sent {
		a.MED, a.MEDAdd = &med, 0
	}
	if c.Internal(p) {
		a.Prepend = 0
	} else {
		a.LocalPref = 0
	}
	return a
}

// Internal tells whether the session to p is internal to the node's AS.
func (c *Config) Internal(p PeerConfig) bool { return p.ASN == c.ASN }

// Validate returns everything that is wrong with c, nil when nothing is.
// It looks at no interface: see CheckLinks.
func (c *Config) Validate() error {
	errs := []error{
		checkASN("asn", c.ASN),
		checkRouterID(c.RouterID),
		c.checkSizes(),
	}
	errs = append(errs, c.checkVIPs()...)
	errs = append(errs, c.checkAttrs()...)
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
// none of the VIPs, or attributes beyond the bounds, or announces something
// on Withdrawn.
func (c *Config) CheckDesired(d Desired) error {
	var errs []error
	if d.Rung >= numRungs || d.Rung == Withdrawn && len(d.Announce) > 0 {
		errs = append(errs, fmt.Errorf("%d prefixes on the rung %v, which announces none", len(d.Announce), d.Rung))
	}
	for prefix, attrs := range d.Announce {
		if !slices.Contains(c.VIPs, prefix) {
			errs = append(errs, fmt.Errorf("%s is not one of the node's VIPs; only those are announced", prefix))
		}
		if err := attrs.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", prefix, err))
		}
	}
	return errors.Join(errs...)
}
