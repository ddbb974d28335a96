package bgp

import (
	"fmt"
	"slices"
)

// Rung is a step of the ladder on which a node leaves and returns. Each
// attracts less than the one before.
type Rung uint8

// The rungs, from the top down.
const (
	// Normal announces as configured. It is the zero value.
	Normal Rung = iota
	// Deprefer makes others better: see Config.Deprefer.
	Deprefer
	// Gshut asks for every other path (RFC 8326): see Config.Gshut. The
	// node is still reachable where there is none.
	Gshut
	// Withdrawn announces nothing.
	Withdrawn
	numRungs
)

func rungNames() [numRungs]string {
	return [numRungs]string{"normal", "deprefer", "gshut", "withdrawn"}
}

// String returns the name as logs, metrics and commands spell it.
func (r Rung) String() string {
	if r >= numRungs {
		return fmt.Sprintf("rung-%d", uint8(r))
	}
	return rungNames()[r]
}

// MarshalText implements encoding.TextMarshaler.
func (r Rung) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rung) UnmarshalText(text []byte) error {
	names := rungNames()
	i := slices.Index(names[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is no rung of the ladder; want normal, deprefer, gshut or withdrawn", text)
	}
	*r = Rung(i)
	return nil
}
