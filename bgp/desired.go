package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Desired is what the node wants the routers to know, whole. A Speaker
// brings its table to this state; it is never a list of changes.
type Desired struct {
	// Generation orders desired states. 0 is the state before the first:
	// nothing is announced.
	Generation uint64
	// Announce holds every prefix to announce; one that is missing is
	// withdrawn.
	Announce map[netip.Prefix]Attrs
	// Message is the shutdown communication (RFC 9003) that the routers
	// get should the sessions end in this state. It is cut to 128 bytes.
	Message string
}

// Attrs are the path attributes of one announcement beyond the mandatory
// ones.
type Attrs struct {
	// MED is the MULTI_EXIT_DISC (RFC 4271 section 5.1.4); 0 sends none,
	// which routers read as 0.
	MED uint32
	// Communities are the standard communities (RFC 1997).
	Communities []Community
}

// Equal tells whether both announce the same.
func (a Attrs) Equal(b Attrs) bool {
	return a.MED == b.MED && slices.Equal(a.Communities, b.Communities)
}

// Community is a standard community (RFC 1997): the AS in the upper, the
// value in the lower 16 bits.
type Community uint32

// ParseCommunity reads the usual form "64500:20".
func ParseCommunity(s string) (Community, error) {
	as, value, ok := strings.Cut(s, ":")
	hi, errHi := strconv.ParseUint(as, 10, 16)
	lo, errLo := strconv.ParseUint(value, 10, 16)
	if !ok || errHi != nil || errLo != nil {
		return 0, fmt.Errorf("community %q: want two numbers up to 65535 like 64500:20", s)
	}
	return Community(hi<<16 | lo), nil
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
