package bfd

import (
	"net/netip"
	"time"
)

// Status is what is known of a session at one moment. Counters start at 0
// with the Server.
type Status struct {
	Peer  netip.Addr
	State State
	// Since is when the session entered the state.
	Since time.Time
	// Diagnostic says why the session last left Up; none while it is up.
	Diagnostic Diagnostic
	// RemoteState and RemoteDiagnostic are what the peer says of its end;
	// Down and none while it is not heard.
	RemoteState      State
	RemoteDiagnostic Diagnostic
	// Detection is how long the peer may be silent before this end gives
	// it up (RFC 5880 section 6.8.4); 0 while it is not heard.
	Detection time.Duration
	// Interval is the time between two packets to the peer, at most.
	Interval time.Duration
	// LargestGap is the longest time between two packets of the peer
	// while the session was up.
	LargestGap time.Duration
	// Flaps counts how often the session left Up.
	Flaps uint64
	// Received counts the packets that were taken, Sent those that were
	// given to the kernel, Failed those that it refused.
	Received, Sent, Failed uint64
	// Discarded counts packets from the peer's address that were not
	// taken, by reason; reasons that did not occur are absent.
	Discarded map[Discard]uint64
}

// Drops counts packets that came to no session.
type Drops struct {
	// Kernel counts those that the kernel dropped: their TTL was not 255
	// (RFC 5881 section 5), they were from no peer, or they came faster
	// than they are read.
	Kernel uint64
	// Unknown counts those from no peer that got past the kernel.
	Unknown uint64
	// Merged counts changes of state that Config.Changed was not told of,
	// as a newer one of the same session was waiting.
	Merged uint64
}
