package http2

import (
	"strconv"

	"golang.org/x/net/http2/hpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// The representations of RFC 7541, 6, as first bytes, and the bits that are
// left for the number in it.
const (
	indexed      = 0x80
	tableSize    = 0x20
	neverIndexed = 0x10
	notIndexed   = 0x00
	huffman      = 0x80

	indexedBits = 7
	stringBits  = 7
	literalBits = 4
)

// emptyTable is the update that sets the dynamic table's size to 0 (RFC
// 7541, 6.3). A client that asked for a smaller table than the default one
// must hear of it, even if it was never used (RFC 7541, 4.2).
var emptyTable = []byte{tableSize}

// Entries of the static table (RFC 7541, appendix A).
const (
	indexStatus        = 8
	indexContentLength = 28
	indexDate          = 33
)

func appendInt(b []byte, first byte, bits uint, v int) []byte {
	most := 1<<bits - 1
	if v < most {
		return append(b, first|byte(v))
	}
	b = append(b, first|byte(most))
	for v -= most; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// appendText appends a string as it is.
func appendText(b []byte, s string) []byte {
	return append(appendInt(b, 0, stringBits, len(s)), s...)
}

// appendShort appends a string in the shorter encoding.
func appendShort(b []byte, s string) []byte {
	if n := int(hpack.HuffmanEncodeLength(s)); n < len(s) {
		return hpack.AppendHuffmanString(appendInt(b, huffman, stringBits, n), s)
	}
	return appendText(b, s)
}

func appendName(b []byte, name string) []byte {
	first := byte(notIndexed)
	if name == "set-cookie" {
		first = neverIndexed // RFC 7541, 7.1.3
	}
	if i := staticName(name); i != 0 {
		return appendInt(b, first, literalBits, i)
	}
	return appendText(append(b, first), name)
}

// appendField appends a field for one response: fast.
func appendField(b []byte, name, value string) []byte {
	return appendText(appendName(b, name), value)
}

func appendStatus(b []byte, status int) []byte {
	switch status {
	case 200:
		return append(b, indexed|8)
	case 204:
		return append(b, indexed|9)
	case 206:
		return append(b, indexed|10)
	case 304:
		return append(b, indexed|11)
	case 400:
		return append(b, indexed|12)
	case 404:
		return append(b, indexed|13)
	case 500:
		return append(b, indexed|14)
	}
	b = append(appendInt(b, notIndexed, literalBits, indexStatus), 3)
	return strconv.AppendInt(b, int64(status), 10)
}

// appendFields appends the fields that go out under h: not those that HTTP/2
// forbids (RFC 9113, 8.2.2), and not Content-Length, which is the writer's.
// dated tells whether Date was one of them.
func appendFields(b []byte, h exchange.Header) (block []byte, dated bool) {
	for _, f := range h {
		if exchange.HopByHop(f.Name) && f.Name != "trailer" && f.Name != "proxy-authenticate" {
			continue
		}
		dated = dated || f.Name == "date"
		b = appendShort(appendName(b, f.Name), f.Value)
	}
	return b, dated
}

func appendLength(b []byte, n int64) []byte {
	var digits [20]byte
	d := strconv.AppendInt(digits[:0], n, 10)
	b = appendInt(b, notIndexed, literalBits, indexContentLength)
	return append(appendInt(b, 0, stringBits, len(d)), d...)
}

func appendDate(b []byte, date string) []byte {
	return appendText(appendInt(b, notIndexed, literalBits, indexDate), date)
}

// bodiless reports whether responses of a status have no content (RFC 9110,
// 6.4.1).
func bodiless(status int) bool { return status < 200 || status == 204 || status == 304 }

// encodeHead makes what Head.Encoded keeps: a byte that tells whether there
// is a Date among the fields, then the header block.
func encodeHead(h *exchange.Head) []byte {
	b, dated := appendFields(appendStatus([]byte{0}, h.Status), h.Header)
	if h.Length >= 0 && !bodiless(h.Status) {
		b = appendLength(b, h.Length)
	}
	if dated {
		b[0] = 1
	}
	return b
}

// staticName returns a field name's index in the static table, 0 for none.
// Names that only requests have are left out.
func staticName(name string) int {
	switch name {
	case "accept-ranges":
		return 18
	case "access-control-allow-origin":
		return 20
	case "age":
		return 21
	case "allow":
		return 22
	case "cache-control":
		return 24
	case "content-disposition":
		return 25
	case "content-encoding":
		return 26
	case "content-language":
		return 27
	case "content-location":
		return 29
	case "content-range":
		return 30
	case "content-type":
		return 31
	case "date":
		return indexDate
	case "etag":
		return 34
	case "expires":
		return 36
	case "last-modified":
		return 44
	case "link":
		return 45
	case "location":
		return 46
	case "proxy-authenticate":
		return 48
	case "refresh":
		return 52
	case "retry-after":
		return 53
	case "server":
		return 54
	case "set-cookie":
		return 55
	case "strict-transport-security":
		return 56
	case "vary":
		return 59
	case "via":
		return 60
	case "www-authenticate":
		return 61
	}
	return 0
}
