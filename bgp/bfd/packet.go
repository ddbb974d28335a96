package bfd

import (
	"encoding/binary"
	"fmt"
	"time"
)

// packetSize is the length of a control packet without authentication
// (RFC 5880 section 4.1).
const packetSize = 24

// version is that of RFC 5880.
const version = 1

// Bits of the second byte, behind the state. The one between final and
// authentication says that BFD outlives the control plane; it is for
// graceful restart, which a node has none of.
const (
	flagPoll           = 0x20
	flagFinal          = 0x10
	flagAuthentication = 0x04
	flagDemand         = 0x02
	flagMultipoint     = 0x01
)

// State is the state of a session (RFC 5880 section 6.2), with its number
// on the wire.
type State uint8

// The states.
const (
	AdminDown State = iota // held down on purpose
	Down                   // nothing is heard from the peer
	Init                   // the peer is heard, and does not know yet
	Up                     // each end hears the other
	numStates
)

// String returns the name as logs and status output spell it.
func (s State) String() string {
	names := [numStates]string{"admin-down", "down", "init", "up"}
	if s >= numStates {
		return fmt.Sprintf("state-%d", uint8(s))
	}
	return names[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Diagnostic says why a session last left Up, with its number on the wire
// (RFC 5880 section 4.1).
type Diagnostic uint8

// The diagnostics that a session without echo sends. A peer may send
// others.
const (
	NoDiagnostic   Diagnostic = 0
	Expired        Diagnostic = 1 // nothing was heard for the detection time
	NeighborDown   Diagnostic = 3 // the peer said that it is down
	HeldDown       Diagnostic = 7 // administratively down
	numDiagnostics            = 9
)

// String returns the name as logs and status output spell it.
func (d Diagnostic) String() string {
	names := [numDiagnostics]string{
		"none", "expired", "echo-failed", "neighbor-down", "forwarding-reset",
		"path-down", "concatenated-path-down", "admin-down", "reverse-path-down",
	}
	if d >= numDiagnostics {
		return fmt.Sprintf("diagnostic-%d", uint8(d))
	}
	return names[d]
}

// MarshalText implements encoding.TextMarshaler.
func (d Diagnostic) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Discard says why a packet was discarded (RFC 5880 section 6.8.6).
type Discard uint8

// The reasons, in the order they are looked for.
const (
	kept                 Discard = iota
	BadLength                    // too short, or it says that it is longer than what came
	BadVersion                   // not version 1
	BadMultiplier                // 0
	Multipoint                   // for many; this is between two
	Authenticated                // no session here uses authentication
	BadMyDiscriminator           // 0
	BadYourDiscriminator         // 0 from a peer that should know it, or not this session's
	numDiscards
)

// String returns the name as metrics and status output spell it.
func (d Discard) String() string {
	names := [numDiscards]string{
		"kept", "length", "version", "multiplier", "multipoint", "authentication",
		"my_discriminator", "your_discriminator",
	}
	if d >= numDiscards {
		return fmt.Sprintf("discard-%d", uint8(d))
	}
	return names[d]
}

// MarshalText implements encoding.TextMarshaler.
func (d Discard) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// packet is a control packet (RFC 5880 section 4.1). Intervals are whole
// microseconds below 2^32.
type packet struct {
	state               State
	diag                Diagnostic
	poll, final, demand bool
	multiplier          uint8
	mine, yours         uint32 // discriminators, seen from the sender
	minTx, minRx        time.Duration
}

// appendTo appends the packet as it goes on the wire.
func (p packet) appendTo(dst []byte) []byte {
	flags := byte(p.state) << 6
	if p.poll {
		flags |= flagPoll
	}
	if p.final {
		flags |= flagFinal
	}
	if p.demand {
		flags |= flagDemand
	}
	dst = append(dst, version<<5|byte(p.diag)&0x1f, flags, p.multiplier, packetSize)
	dst = binary.BigEndian.AppendUint32(dst, p.mine)
	dst = binary.BigEndian.AppendUint32(dst, p.yours)
	dst = binary.BigEndian.AppendUint32(dst, micros(p.minTx))
	dst = binary.BigEndian.AppendUint32(dst, micros(p.minRx))
	return binary.BigEndian.AppendUint32(dst, 0) // echo: none is answered
}

// parse reads a packet and keeps nothing of b. It checks what can be
// checked without knowing the session; bytes behind the length that the
// packet gives are not looked at.
func parse(b []byte) (packet, Discard) {
	switch {
	case len(b) < packetSize || b[3] < packetSize || int(b[3]) > len(b):
		return packet{}, BadLength
	case b[0]>>5 != version:
		return packet{}, BadVersion
	case b[2] == 0:
		return packet{}, BadMultiplier
	case b[1]&flagMultipoint != 0:
		return packet{}, Multipoint
	case b[1]&flagAuthentication != 0:
		return packet{}, Authenticated
	}
	p := packet{
		state: State(b[1] >> 6), diag: Diagnostic(b[0] & 0x1f),
		poll: b[1]&flagPoll != 0, final: b[1]&flagFinal != 0, demand: b[1]&flagDemand != 0,
		multiplier: b[2],
		mine:       binary.BigEndian.Uint32(b[4:]), yours: binary.BigEndian.Uint32(b[8:]),
		minTx: duration(b[12:]), minRx: duration(b[16:]),
	}
	switch {
	case p.mine == 0:
		return packet{}, BadMyDiscriminator
	case p.yours == 0 && p.state != Down && p.state != AdminDown:
		return packet{}, BadYourDiscriminator
	}
	return p, kept
}

func micros(d time.Duration) uint32 { return uint32(d / time.Microsecond) }

func duration(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}
