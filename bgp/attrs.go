package bgp

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Bounds of Attrs.
const (
	// MaxPrepend is the most that an AS path is made longer. No network is
	// known where more changes anything, and some drop long paths.
	MaxPrepend = 10
	// MaxCommunities bounds each kind of community.
	MaxCommunities = 16
)

// GracefulShutdown is GRACEFUL_SHUTDOWN (RFC 8326): a router that honours
// it gives the path LOCAL_PREF 0.
const GracefulShutdown Community = 65535 << 16

// ReservedAS is nobody's AS (RFC 7300), so that its large communities are
// a Speaker's to mark paths with. They never leave it.
const ReservedAS = asLast32

// Attrs are the path attributes of one announcement beyond the mandatory
// ones. The zero value adds none. What MED and the slices refer to is
// never changed, so that Attrs may be copied.
type Attrs struct {
	// Prepend is how often the node's own AS number stands in the path
	// beside the one time that it must; 0 to MaxPrepend. Only external
	// routers get it: one of the node's own AS would take its own number
	// in a path for a loop (RFC 4271 section 9.1.2).
	Prepend int `json:",omitempty"`
	// MED is the MULTI_EXIT_DISC (RFC 4271 section 5.1.4); nil sends none,
	// which routers read as 0 unless told otherwise.
	MED *uint32 `json:",omitempty"`
	// MEDAdd is added to the MED in the end, to 0 where none is set, and
	// the sum stays within 32 bits. 0 adds nothing.
	MEDAdd uint32 `json:",omitempty"`
	// LocalPref is the LOCAL_PREF (RFC 4271 section 5.1.5) for routers of
	// the node's own AS; others never get one. 0 says none, and routers of
	// the own AS get 100.
	LocalPref uint32 `json:",omitempty"`
	// Communities are the standard communities (RFC 1997), at most
	// MaxCommunities.
	Communities []Community `json:",omitempty"`
	// Large are the large communities (RFC 8092), at most MaxCommunities.
	Large []LargeCommunity `json:",omitempty"`
}

// Equal tells whether both announce the same.
func (a Attrs) Equal(b Attrs) bool {
	return a.Prepend == b.Prepend && equalMED(a.MED, b.MED) && a.MEDAdd == b.MEDAdd && a.LocalPref == b.LocalPref &&
		slices.Equal(a.Communities, b.Communities) && slices.Equal(a.Large, b.Large)
}

// Merge returns a with what the more special b says as well: prepends and
// MEDAdd are added up, a MED or LocalPref that b sets takes the place of
// a's, communities are joined, each once. Prepends stop at MaxPrepend: an
// operator who asks for one more of a node that has them all is not
// refused.
func (a Attrs) Merge(b Attrs) Attrs {
	a.Prepend = min(a.Prepend+b.Prepend, MaxPrepend)
	if b.MED != nil {
		a.MED = b.MED
	}
	a.MEDAdd = addMED(a.MEDAdd, b.MEDAdd)
	if b.LocalPref != 0 {
		a.LocalPref = b.LocalPref
	}
	a.Communities = join(a.Communities, b.Communities)
	a.Large = join(a.Large, b.Large)
	return a
}

// String returns what a adds in words for people, "" for nothing.
func (a Attrs) String() string {
	var out []string
	if a.Prepend > 0 {
		out = append(out, fmt.Sprintf("prepend %d", a.Prepend))
	}
	if med, sent := a.FinalMED(); sent {
		out = append(out, fmt.Sprintf("med %d", med))
	}
	if a.LocalPref != 0 {
		out = append(out, fmt.Sprintf("local-pref %d", a.LocalPref))
	}
	for _, c := range a.Communities {
		out = append(out, c.String())
	}
	for _, c := range a.Large {
		out = append(out, c.String())
	}
	return strings.Join(out, " ")
}

// FinalMED returns the MED to send, MEDAdd included, and whether one is
// sent.
func (a Attrs) FinalMED() (med uint32, sent bool) {
	if a.MED == nil {
		return a.MEDAdd, a.MEDAdd != 0
	}
	return addMED(*a.MED, a.MEDAdd), true
}

// Validate tells what is out of bounds.
func (a Attrs) Validate() error {
	switch {
	case a.Prepend < 0 || a.Prepend > MaxPrepend:
		return fmt.Errorf("prepend: %d; want 0 to %d", a.Prepend, MaxPrepend)
	case len(a.Communities) > MaxCommunities:
		return fmt.Errorf("communities: %d, at most %d", len(a.Communities), MaxCommunities)
	case len(a.Large) > MaxCommunities:
		return fmt.Errorf("large_communities: %d, at most %d", len(a.Large), MaxCommunities)
	}
	for _, c := range a.Large {
		if c.Global == ReservedAS {
			return fmt.Errorf("large_communities: %s: %d is reserved (RFC 7300)", c, c.Global)
		}
	}
	return nil
}

func equalMED(a, b *uint32) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func addMED(a, b uint32) uint32 {
	return uint32(min(uint64(a)+uint64(b), math.MaxUint32))
}

// join returns a with what only b has; it writes to neither.
func join[T comparable](a, b []T) []T {
	out := slices.Clip(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// Community is a standard community (RFC 1997): the AS in the upper, the
// value in the lower 16 bits.
type Community uint32

// ParseCommunity reads the usual form "64500:20".
func ParseCommunity(s string) (Community, error) {
	parts, ok := numbers(s, 2, 16)
	if !ok {
		return 0, fmt.Errorf("community %q: want two numbers up to 65535 like 64500:20", s)
	}
	return Community(parts[0]<<16 | parts[1]), nil
}

// String returns the usual form, "64500:20".
func (c Community) String() string {
	return fmt.Sprintf("%d:%d", uint32(c)>>16, uint32(c)&0xffff)
}

// MarshalText implements encoding.TextMarshaler.
func (c Community) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Community) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCommunity(string(text))
	return err
}

// LargeCommunity is a large community (RFC 8092): the AS that defines it,
// and two numbers of that AS's own meaning.
type LargeCommunity struct{ Global, Local1, Local2 uint32 }

// ParseLargeCommunity reads the usual form "64500:1:20".
func ParseLargeCommunity(s string) (LargeCommunity, error) {
	parts, ok := numbers(s, 3, 32)
	if !ok {
		return LargeCommunity{}, fmt.Errorf("large community %q: want three numbers up to 4294967295 like 64500:1:20", s)
	}
	return LargeCommunity{parts[0], parts[1], parts[2]}, nil
}

// String returns the usual form, "64500:1:20".
func (c LargeCommunity) String() string {
	return fmt.Sprintf("%d:%d:%d", c.Global, c.Local1, c.Local2)
}

// MarshalText implements encoding.TextMarshaler.
func (c LargeCommunity) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *LargeCommunity) UnmarshalText(text []byte) (err error) {
	*c, err = ParseLargeCommunity(string(text))
	return err
}

// numbers splits s at its colons into n numbers of some bits.
func numbers(s string, n, bits int) ([]uint32, bool) {
	parts := strings.Split(s, ":")
	out := make([]uint32, n)
	if len(parts) != n {
		return nil, false
	}
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, bits)
		if err != nil {
			return nil, false
		}
		out[i] = uint32(v)
	}
	return out, true
}
