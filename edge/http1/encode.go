package http1

import (
	"net/http"
	"strconv"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/message"
)

const (
	crlf       = "\r\n"
	closeField = "Connection: close\r\n"
)

// encodeHit makes the head of a stored response once for all its clients.
// The first byte is not part of it: it says whether Date is missing.
func encodeHit(h *exchange.Head) []byte {
	b := make([]byte, 1, 1024)
	b[0] = dated
	if !h.Header.Has("date") {
		b[0] = dateless
	}
	b = appendStatus(b, exchange.HTTP11, h.Status)
	b = appendFields(b, h.Header)
	if h.Length >= 0 && mayHaveContent(h.Status) {
		b = appendLength(b, h.Length)
	}
	return b
}

// The first byte of encodeHit's result.
const (
	dated    = '+'
	dateless = '-'
)

// mayHaveContent reports whether a response may have content, and so a
// Content-Length (RFC 9112, 6.3). 304 might have one, that of another
// response: what is not said cannot be misread.
func mayHaveContent(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// appendStatus appends a status line, in the version of the request.
func appendStatus(dst []byte, proto exchange.Proto, status int) []byte {
	dst = append(dst, proto.String()...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	return append(dst, crlf...)
}

// appendFields appends field lines, but those that are the writer's own.
func appendFields(dst []byte, h exchange.Header) []byte {
	for i := range h {
		if f := &h[i]; f.Name != "content-length" && !message.ConnectionSpecific(f.Name) {
			dst = appendField(dst, f.Name, f.Value)
		}
	}
	return dst
}

// appendField appends a field line. One that would be read as another, or
// as more than one, is left out.
func appendField(dst []byte, name, value string) []byte {
	if !message.Token(name) || !message.FieldValue(value) {
		return dst
	}
	return appendLine(dst, name, value)
}

// appendLine appends a field line of ours.
func appendLine(dst []byte, name, value string) []byte {
	dst = appendName(dst, name)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, crlf...)
}

// appendName appends a lower-case name as people write it: some clients do
// not know that names have no case.
func appendName(dst []byte, name string) []byte {
	first := true
	for i := range len(name) {
		c := name[i]
		if first && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		first = c == '-'
		dst = append(dst, c)
	}
	return dst
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, crlf...)
}

func appendDate(dst []byte, date string) []byte {
	dst = append(dst, "Date: "...)
	dst = append(dst, date...)
	return append(dst, crlf...)
}
