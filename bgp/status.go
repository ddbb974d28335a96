package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Status is what is known of the speaker at one moment.
type Status struct {
	// WantedGeneration is the newest that was applied for;
	// AppliedGeneration is the one in force, 0 while nothing is announced
	// because the speaker is starting, gone or without a lease.
	WantedGeneration, AppliedGeneration uint64
	// Announced counts the prefixes in the speaker's table. Nothing
	// learnt is ever among them.
	Announced int
	// Peers has one entry for each configured peer, in that order.
	Peers []PeerStatus
	// PID is the speaker's process, 0 while there is none.
	PID int
	// Restarts counts how often the speaker was started again.
	Restarts uint64
	// LeasesLost counts how often a speaker withdrew everything because
	// this process fell silent.
	LeasesLost uint64
	// Beat is when the lease was last renewed; zero: never.
	Beat time.Time
	// Down says why the speaker stays down until this process is
	// started anew; empty: it does not.
	Down string
}

// PeerStatus is one session.
type PeerStatus struct {
	Address netip.Addr
	ASN     uint32
	State   SessionState
	// Since is when the session was established; zero unless it is.
	Since time.Time
	// Received counts the routes that the router sends now. They are
	// ignored, but cost memory: the router should send none. More than
	// MaxReceived are a problem.
	Received uint64
	// Updates counts the UPDATE messages that came since the speaker was
	// started, malformed ones included.
	Updates uint64
	// Alarms counts how often Received rose above MaxReceived.
	Alarms uint64
	// Quarantine is until when there is no session with this router, as
	// speakers ended when there was one; zero: it is in none. Its sessions
	// come back by themselves, one router after the other.
	Quarantine time.Time
	// Quarantines counts how often that was.
	Quarantines uint64
}

// MaxReceived is how many routes a router may send before it is a problem.
const MaxReceived = 64

// Problems returns what an operator has to look at, each in one sentence;
// none is good.
func (s Status) Problems() []string {
	var out []string
	if s.Down != "" {
		out = append(out, "the speaker stays down: "+s.Down)
	}
	for _, p := range s.Peers {
		for _, problem := range p.Problems() {
			out = append(out, "peer "+p.Address.String()+" "+problem)
		}
	}
	return out
}

// Problems returns what is wrong with a peer, without its name.
func (p PeerStatus) Problems() []string {
	var out []string
	if p.Received > MaxReceived {
		out = append(out, fmt.Sprintf("sends %d routes, which cost memory; have it export none", p.Received))
	}
	if !p.Quarantine.IsZero() {
		out = append(out, fmt.Sprintf("is in quarantine until %s: the speaker crashed when it had a session", p.Quarantine.UTC().Format(time.RFC3339)))
	}
	return out
}

// SessionState is the state of a session (RFC 4271 section 8.2.2).
type SessionState uint8

// The states, in the order a session goes through them.
const (
	Idle SessionState = iota
	Connect
	Active
	OpenSent
	OpenConfirm
	Established
	numStates
)

func stateNames() [numStates]string {
	return [numStates]string{"idle", "connect", "active", "open-sent", "open-confirm", "established"}
}

// String returns the name as logs and status output spell it.
func (s SessionState) String() string {
	if s >= numStates {
		return fmt.Sprintf("state-%d", uint8(s))
	}
	return stateNames()[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s SessionState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *SessionState) UnmarshalText(text []byte) error {
	names := stateNames()
	i := slices.Index(names[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is no state of a BGP session", text)
	}
	*s = SessionState(i)
	return nil
}
