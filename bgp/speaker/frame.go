package speaker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/landfall-cdn/landfall/bgp"
)

// maxFrame bounds a frame in bytes. A configuration at all of its bounds
// fits with room to spare.
const maxFrame = 1 << 20

const headerSize = 4 // the length of the body, big endian

// order is one beat of the lease. It carries everything, so that the
// first one is enough for a speaker that was just started, or it repeats
// the one before, which costs next to nothing.
type order struct {
	// Repeat says that nothing changed; the rest is empty.
	Repeat  bool        `json:",omitempty"`
	Config  bgp.Config  `json:",omitzero"`
	Desired bgp.Desired `json:",omitzero"`
	// Without are peers that no session is opened to for now. One that is
	// open stays.
	Without []netip.Addr `json:",omitempty"`
}

// report answers one order; one more is sent when the lease is lost.
type report struct {
	// Applied is the generation in force, 0 while nothing is announced.
	Applied   uint64
	Announced int
	Peers     []bgp.PeerStatus
	// LeasesLost counts since the speaker's start.
	LeasesLost uint64
	// Error says why Applied is not what was ordered; empty: it is.
	Error string
	// Refused says that Error will be the same for every speaker: there
	// is no use in starting another.
	Refused bool
}

var errFrameSize = errors.New("frame is over its limit")

// appendFrame appends v, framed, to dst.
func appendFrame(dst []byte, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("encode frame: %w", err)
	}
	if len(body) > maxFrame {
		return dst, fmt.Errorf("encode frame: %w: %d bytes, at most %d", errFrameSize, len(body), maxFrame)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...), nil
}

// readFrame reads one frame into v. It returns io.EOF at a clean end
// only, between two frames.
func readFrame(r io.Reader, v any) error {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(header[:])
	if size > maxFrame {
		return fmt.Errorf("read frame: %w: %d bytes, at most %d", errFrameSize, size, maxFrame)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read frame: %w", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read frame: %w", err)
	}
	return nil
}
