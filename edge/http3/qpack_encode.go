package http3

import (
	"strconv"

	"golang.org/x/net/http2/hpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// The representations of RFC 9204, 4.5, as the bits that tell them apart
// and the length of the prefix that is left.
const (
	indexedStatic = 0xc0 // 1T, 6 bits
	nameRefStatic = 0x50 // 01NT, 4 bits
	literalName   = 0x20 // 001NH, 3 bits
	nameHuffman   = 0x08
	valueHuffman  = 0x80 // H, 7 bits
)

// appendSectionPrefix begins a field section that refers to no dynamic
// table: Required Insert Count and Base are 0 (RFC 9204, 4.5.1).
func appendSectionPrefix(dst []byte) []byte { return append(dst, 0, 0) }

// appendInt appends an integer with a prefix of n bits (RFC 9204, 4.1.1)
// to the bits in first.
func appendInt(dst []byte, first byte, n uint, v uint64) []byte {
	limit := uint64(1)<<n - 1
	if v < limit {
		return append(dst, first|byte(v))
	}
	dst = append(dst, first|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

// appendField appends a field as short as the static table and Huffman's
// code make it: for what is encoded once and sent often.
func appendField(dst []byte, name, value string) []byte {
	if i, ok := staticFields[exchange.Field{Name: name, Value: value}]; ok {
		return appendInt(dst, indexedStatic, 6, uint64(i))
	}
	if i, ok := staticNames[name]; ok {
		dst = appendInt(dst, nameRefStatic, 4, uint64(i))
	} else {
		dst = appendShort(dst, literalName, nameHuffman, 3, name)
	}
	return appendShort(dst, 0, valueHuffman, 7, value)
}

// appendShort appends a string in Huffman's code, or as it is when that is
// no shorter.
func appendShort(dst []byte, first, huffman byte, n uint, s string) []byte {
	if coded := hpack.HuffmanEncodeLength(s); coded < uint64(len(s)) {
		return hpack.AppendHuffmanString(appendInt(dst, first|huffman, n, coded), s)
	}
	return append(appendInt(dst, first, n, uint64(len(s))), s...)
}

// appendPlain appends a field as it is, which takes the least time: for
// what is sent once.
func appendPlain(dst []byte, name, value string) []byte {
	if i, ok := staticNames[name]; ok {
		dst = appendInt(dst, nameRefStatic, 4, uint64(i))
	} else {
		dst = append(appendInt(dst, literalName, 3, uint64(len(name))), name...)
	}
	return append(appendInt(dst, 0, 7, uint64(len(value))), value...)
}

func appendStatus(dst []byte, status int) []byte {
	return appendField(dst, ":status", strconv.Itoa(status))
}
