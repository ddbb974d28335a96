package bgp

import "net/netip"

// Desired is what the node wants the routers to know, whole. A Speaker
// brings its table to this state; it is never a list of changes.
type Desired struct {
	// Generation orders desired states. 0 is the state before the first:
	// nothing is announced.
	Generation uint64
	// Rung decides which of a peer's own attributes go with the
	// announcements, see PeerConfig. Nothing is announced on Withdrawn.
	Rung Rung
	// Announce holds every prefix to announce, as Config.Announcement
	// returns it for Rung; one that is missing is withdrawn.
	Announce map[netip.Prefix]Attrs
	// Message is the shutdown communication (RFC 9003) that the routers
	// get should the sessions end in this state. It is cut to 128 bytes.
	Message string
}
