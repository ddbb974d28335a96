package members

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
)

// maxText bounds the name of a node, the name of a PoP and a version, in
// bytes. With it metadata stays under the 512 bytes that memberlist carries.
const maxText = 64

// metaFormat is the first byte of metadata. It changes only when what a
// field means does; a new field gets a new tag, which older versions skip.
const metaFormat = 1

// Tags of fields. Each is followed by a byte of length and the value.
const (
	tagID byte = iota + 1
	tagName
	tagPop
	tagL4
	tagL7
	tagWeight
	tagPeer
	tagVersion
	tagSites
	tagPurges
	tagInstance
	tagUptime
	tagAside
)

// meta is what a node says of itself.
type meta struct {
	affinity.Member
	pop     string
	version string
	sites   uint64
	purges  uint64

	// instance tells starts of a process apart: a random number.
	instance uint64

	// uptime is how long the process had run when it said this, in whole
	// milliseconds: durations can be compared where clocks cannot.
	uptime time.Duration

	// aside tells why the node is no member although it speaks, by its own
	// word; "" when it is one.
	aside reason
}

// encode returns the encoded form.
func (m *meta) encode() (b []byte) {
	text := func(tag byte, s string) { b = append(append(b, tag, byte(len(s))), s...) }
	small := func(tag, v byte) { b = append(b, tag, 1, v) }
	number := func(tag byte, v uint64) { b = binary.BigEndian.AppendUint64(append(b, tag, 8), v) }

	b = append(b, metaFormat)
	small(tagID, byte(m.ID))
	text(tagName, m.Name)
	text(tagPop, m.pop)
	small(tagL4, byte(m.L4))
	small(tagL7, byte(m.L7))
	small(tagWeight, byte(m.Weight))
	if m.Peer.IsValid() {
		peer, _ := m.Peer.MarshalBinary() // has no errors to return
		text(tagPeer, string(peer))
	}
	text(tagVersion, m.version)
	number(tagSites, m.sites)
	number(tagPurges, m.purges)
	number(tagInstance, m.instance)
	number(tagUptime, uint64(m.uptime/time.Millisecond))
	if m.aside != "" {
		text(tagAside, string(m.aside))
	}
	return b
}

// maxUptime is more than any process runs, and far from overflowing.
const maxUptime = 100 * 365 * 24 * time.Hour

// parseMeta reads what another node says of itself. What it does not know
// it skips; what it needs must be there and valid.
func parseMeta(b []byte) (meta, error) {
	if len(b) == 0 {
		return meta{}, errors.New("it is empty")
	}
	if b[0] != metaFormat {
		return meta{}, fmt.Errorf("it has format %d, and this version knows %d", b[0], metaFormat)
	}
	var m meta
	for b = b[1:]; len(b) > 0; {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return meta{}, errors.New("it is cut off")
		}
		tag, value := b[0], b[2:2+int(b[1])]
		b = b[2+len(value):]
		if err := m.set(tag, value); err != nil {
			return meta{}, fmt.Errorf("field %d: %w", tag, err)
		}
	}
	if m.instance == 0 || m.pop == "" {
		return meta{}, errors.New("instance or PoP is missing")
	}
	if err := (affinity.View{Members: []affinity.Member{m.Member}}).Validate(); err != nil {
		return meta{}, err
	}
	return m, nil
}

// set takes one field over.
func (m *meta) set(tag byte, value []byte) error {
	small := func(set func(byte)) error {
		if len(value) != 1 {
			return fmt.Errorf("%d bytes, want 1", len(value))
		}
		set(value[0])
		return nil
	}
	text := func(field *string) error {
		if len(value) > maxText {
			return fmt.Errorf("%d bytes, at most %d", len(value), maxText)
		}
		*field = string(value)
		return nil
	}
	number := func(field *uint64) error {
		if len(value) != 8 {
			return fmt.Errorf("%d bytes, want 8", len(value))
		}
		*field = binary.BigEndian.Uint64(value)
		return nil
	}
	switch tag {
	case tagID:
		return small(func(v byte) { m.ID = affinity.NodeID(v) })
	case tagName:
		return text(&m.Name)
	case tagPop:
		return text(&m.pop)
	case tagL4:
		return small(func(v byte) { m.L4 = affinity.State(v) })
	case tagL7:
		return small(func(v byte) { m.L7 = affinity.State(v) })
	case tagWeight:
		return small(func(v byte) { m.Weight = int(v) })
	case tagPeer:
		return m.setPeer(value)
	case tagVersion:
		return text(&m.version)
	case tagSites:
		return number(&m.sites)
	case tagPurges:
		return number(&m.purges)
	case tagInstance:
		return number(&m.instance)
	case tagUptime:
		var ms uint64
		if err := number(&ms); err != nil {
			return err
		}
		return m.setUptime(ms)
	case tagAside:
		return text((*string)(&m.aside))
	}
	return nil
}

func (m *meta) setPeer(value []byte) error {
	if err := m.Peer.UnmarshalBinary(value); err != nil {
		return err
	}
	if !m.Peer.IsValid() || m.Peer.Addr().Zone() != "" {
		return fmt.Errorf("%s is no address that others can use", m.Peer)
	}
	return nil
}

func (m *meta) setUptime(ms uint64) error {
	if ms > uint64(maxUptime/time.Millisecond) {
		return fmt.Errorf("%d ms is longer than any process runs", ms)
	}
	m.uptime = time.Duration(ms) * time.Millisecond
	return nil
}
