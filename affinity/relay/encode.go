package relay

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// appendText appends a text, its length in front.
func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendFields appends fields. They run to the end of the payload.
func appendFields(b []byte, h exchange.Header) []byte {
	for i := range h {
		b = appendText(appendText(b, h[i].Name), h[i].Value)
	}
	return b
}

// Kinds of addresses.
const (
	addrNone = 0
	addr4    = 4
	addr6    = 16
	addrZone = 17
)

func appendAddrPort(b []byte, ap netip.AddrPort) []byte {
	switch a := ap.Addr(); {
	case !a.IsValid():
		b = append(b, addrNone)
	case a.Is4():
		v := a.As4()
		b = append(append(b, addr4), v[:]...)
	case a.Zone() == "":
		v := a.As16()
		b = append(append(b, addr6), v[:]...)
	default:
		v := a.As16()
		b = appendText(append(append(b, addrZone), v[:]...), a.Zone())
	}
	return binary.BigEndian.AppendUint16(b, ap.Port())
}

// decoder reads a payload. What it returns after it has failed means nothing.
// The texts are views of the payload. It takes each value in one form only.
type decoder struct {
	b      []byte
	failed bool
}

// done reports whether all was read, and could be.
func (d *decoder) done() bool { return !d.failed && len(d.b) == 0 }

func (d *decoder) fail() { d.failed, d.b = true, nil }

// take returns the next n bytes.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) byte() byte {
	p := d.take(1)
	if d.failed {
		return 0
	}
	return p[0]
}

func (d *decoder) uint16() uint16 {
	p := d.take(2)
	if d.failed {
		return 0
	}
	return binary.BigEndian.Uint16(p)
}

func (d *decoder) uint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v := d.uint()
	return int64(v>>1) ^ -int64(v&1)
}

// size reads a number that fits an int32.
func (d *decoder) size() int {
	v := d.uint()
	if v > math.MaxInt32 {
		d.fail()
		return 0
	}
	return int(v)
}

// length reads the length of content: -1 when it is not known.
func (d *decoder) length() int64 {
	v := d.int()
	if v < -1 {
		d.fail()
	}
	return v
}

func (d *decoder) text() string { return exchange.Borrowed(d.take(d.uint())) }

// fields appends to h what is left of the payload, at most most fields.
func (d *decoder) fields(h exchange.Header, most int) exchange.Header {
	for len(d.b) > 0 {
		f := exchange.Field{Name: d.text(), Value: d.text()}
		if f.Name == "" || len(h) == most {
			d.fail()
		}
		h = append(h, f)
	}
	return h
}

func (d *decoder) addrPort() netip.AddrPort {
	var a netip.Addr
	switch d.byte() {
	case addrNone:
	case addr4:
		if p := d.take(4); !d.failed {
			a = netip.AddrFrom4([4]byte(p))
		}
	case addr6:
		if p := d.take(16); !d.failed {
			a = netip.AddrFrom16([16]byte(p))
		}
	case addrZone:
		p := d.take(16)
		zone := d.text()
		if zone == "" {
			d.fail()
			break
		}
		a = netip.AddrFrom16([16]byte(p)).WithZone(strings.Clone(zone))
	default:
		d.fail()
	}
	return netip.AddrPortFrom(a, d.uint16())
}
