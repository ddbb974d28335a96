package http3

import (
	"net/http"
	"strconv"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// appendFields appends the fields of a response, without those that
// HTTP/3 forbids (RFC 9114, 4.2) and the length, which is the writer's.
func appendFields(b []byte, h exchange.Header) []byte {
	for _, f := range h {
		if !exchange.HopByHop(f.Name) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	return b
}

func appendLength(b []byte, n int64) []byte {
	var digits [20]byte
	return appendPlain(b, "content-length", exchange.Borrowed(strconv.AppendInt(digits[:0], n, 10)))
}

// hasLength reports whether a response of this status may say how long its
// content is: 204 must not, and 304 would speak of another's (RFC 9110,
// 8.6).
func hasLength(status int) bool {
	return status >= http.StatusOK && status != http.StatusNoContent && status != http.StatusNotModified
}
