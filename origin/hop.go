package origin

import (
	"slices"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// hopByHop are the fields that are about one connection only
// (RFC 9110, 7.6.1; Keep-Alive and Proxy-Connection by custom).
// Proxy-Authenticate and Proxy-Authorization are about the next proxy,
// and we are none. Content-Length frames, and is kept as a Length.
var hopByHop = map[string]bool{
	"connection":          true,
	"content-length":      true,
	"http2-settings":      true,
	"keep-alive":          true,
	"proxy-authenticate":  true,
	"proxy-authorization": true,
	"proxy-connection":    true,
	"te":                  true,
	"trailer":             true,
	"transfer-encoding":   true,
	"upgrade":             true,
}

// protected reports whether a field reaches the other side even when
// Connection names it. Without this a client could take away what the
// server behind us decides by (CVE-2022-31813), and RFC 9110, 7.6.1, and
// RFC 8470, 5.1, forbid naming such fields.
func protected(name string) bool {
	switch name {
	case "cache-control", "cdn-loop", "early-data", "forwarded", "host", "via", "x-real-ip", "x-request-id":
		return true
	}
	return strings.HasPrefix(name, "content-") || strings.HasPrefix(name, "x-forwarded-")
}

// named returns the fields that Connection names and that it may name.
func named(h exchange.Header) []string {
	var out []string
	for option := range h.Members("connection") {
		if option = strings.ToLower(option); !protected(option) && !hopByHop[option] {
			out = append(out, option)
		}
	}
	return out
}

// endToEnd returns a copy of h without its hop-by-hop fields.
func endToEnd(h exchange.Header) exchange.Header {
	drop := named(h)
	out := make(exchange.Header, 0, len(h))
	for _, f := range h {
		if !hopByHop[f.Name] && !slices.Contains(drop, f.Name) {
			out = append(out, f)
		}
	}
	return out
}

// passableTrailer reports whether a trailer field goes on. Trailers come
// after every decision was made, and some servers merge them into the
// fields that decide; so only fields with a meaning in a trailer pass
// (RFC 9110, 6.5.1): digests, signatures, timing, and the status of gRPC.
func passableTrailer(name string) bool {
	switch name {
	case "content-digest", "content-md5", "digest", "repr-digest",
		"server-timing", "signature", "signature-input", "x-amz-trailer-signature":
		return true
	}
	return strings.HasPrefix(name, "grpc-") ||
		strings.HasPrefix(name, "x-amz-checksum-") ||
		strings.HasPrefix(name, "x-checksum-")
}

func passableTrailers(h exchange.Header) exchange.Header {
	return slices.DeleteFunc(h, func(f exchange.Field) bool { return !passableTrailer(f.Name) })
}
