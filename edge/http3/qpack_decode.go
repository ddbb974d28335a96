package http3

import (
	"golang.org/x/net/http2/hpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// decoder reads a field section (RFC 9204, 4.5) that refers to the static
// table only, which is all that a client may send us: we never allow it a
// dynamic one. It gives one field at a time, so that whoever takes them may
// stop, and its work and memory are bounded by the section's size.
type decoder struct {
	block []byte // what is not decoded yet
	text  []byte // decoded strings; those handed out lie in it
}

var errDecompression = fatal(codeDecompressionFailed, "malformed field section")

// begin starts on a section. Strings that were handed out stay as they are
// until the next begin, and as long as block does.
func (d *decoder) begin(block []byte) error {
	d.block, d.text = block, d.text[:0]
	// A Required Insert Count other than 0 refers to entries that cannot
	// exist, and so does a Base below it. Any other Base is allowed and says
	// nothing (RFC 9204, 4.5.1.2).
	if len(block) < 2 || block[0] != 0 || block[1]&0x80 != 0 {
		return errDecompression
	}
	d.block = block[1:]
	_, err := d.int(7)
	return err
}

// more reports whether a field is left.
func (d *decoder) more() bool { return len(d.block) > 0 }

// next returns the next field. Its strings are borrowed.
func (d *decoder) next() (name, value string, err error) {
	first := d.block[0]
	switch {
	case first&indexedStatic == indexedStatic:
		f, err := d.static(6)
		return f.Name, f.Value, err
	case first&0xd0 == nameRefStatic:
		f, err := d.static(4)
		if err != nil {
			return "", "", err
		}
		value, err = d.string(valueHuffman, 7)
		return f.Name, value, err
	case first&0xe0 == literalName:
		if name, err = d.string(nameHuffman, 3); err == nil {
			value, err = d.string(valueHuffman, 7)
		}
		return name, value, err
	}
	return "", "", errDecompression // refers to the dynamic table
}

// static reads an index into the static table.
func (d *decoder) static(prefix uint) (exchange.Field, error) {
	i, err := d.int(prefix)
	if err != nil || i >= uint64(len(staticTable)) {
		return exchange.Field{}, errDecompression
	}
	return staticTable[i], nil
}

// string reads a string literal (RFC 9204, 4.1.2) with the given Huffman
// bit and length prefix.
func (d *decoder) string(huffman byte, prefix uint) (string, error) {
	if len(d.block) == 0 {
		return "", errDecompression
	}
	coded := d.block[0]&huffman != 0
	n, err := d.int(prefix)
	if err != nil || n > uint64(len(d.block)) {
		return "", errDecompression
	}
	raw := d.block[:n]
	d.block = d.block[n:]
	if !coded {
		return exchange.Borrowed(raw), nil
	}
	from := len(d.text)
	if _, err := hpack.HuffmanDecode(d, raw); err != nil {
		return "", errDecompression
	}
	return exchange.Borrowed(d.text[from:]), nil
}

// Write implements io.Writer for hpack.HuffmanDecode.
func (d *decoder) Write(p []byte) (int, error) {
	d.text = append(d.text, p...)
	return len(p), nil
}

// intBits bounds the integers that are read: none that is larger than a
// field section makes sense.
const intBits = 32

// int reads an integer with a prefix of n bits (RFC 9204, 4.1.1).
func (d *decoder) int(n uint) (uint64, error) {
	v, rest, err := readInt(d.block, n)
	if err != nil {
		return 0, errDecompression
	}
	d.block = rest
	return v, nil
}

// readInt reads an integer with a prefix of n bits from b, of which at
// least a byte is there. errShort says that b ends within it.
func readInt(b []byte, n uint) (v uint64, rest []byte, err error) {
	limit := uint64(1)<<n - 1
	v, rest = uint64(b[0])&limit, b[1:]
	if v < limit {
		return v, rest, nil
	}
	for shift := uint(0); shift < intBits; shift += 7 {
		if len(rest) == 0 {
			return 0, nil, errShort
		}
		c := rest[0]
		rest = rest[1:]
		v += uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, rest, nil
		}
	}
	return 0, nil, errTooLong
}
