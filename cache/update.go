package cache

import (
	"slices"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// keepsOwn lists fields of a stored response that a 304 does not change
// (RFC 9111, 3.2): those that describe the bytes as they are stored, and
// age, which belongs to one message.
func keepsOwn(name string) bool {
	switch name {
	case "content-length", "content-encoding", "content-range", "age",
		"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// updatedHeader returns the stored fields with those of a 304 in their
// place.
func updatedHeader(stored, from304 exchange.Header, mode SetCookie) exchange.Header {
	replaced := func(name string) bool {
		return !keepsOwn(name) && (name != "set-cookie" || mode == SetCookieStore) && from304.Has(name)
	}
	out := make(exchange.Header, 0, len(stored)+len(from304))
	for _, f := range stored {
		if !replaced(f.Name) {
			out = append(out, f)
		}
	}
	for _, f := range from304 {
		if replaced(f.Name) {
			out = append(out, f)
		}
	}
	return out
}

// confirms reports whether a 304 speaks of the stored response
// (RFC 9111, 4.3.4). One that names another entity tag does not, although
// it was asked about this one.
func confirms(stored, from304 exchange.Header) bool {
	etag := from304.Get("etag")
	return etag == "" || weakly(etag) == weakly(stored.Get("etag"))
}

// weakly takes the mark of a weak tag away (RFC 9110, 8.8.3.2).
func weakly(etag string) string { return strings.TrimPrefix(etag, "W/") }

// storedHeader returns the fields of a response that go into the store:
// without those that are for one client.
func storedHeader(h exchange.Header, withheld []string, mode SetCookie) exchange.Header {
	out := make(exchange.Header, 0, len(h))
	for _, f := range h {
		if f.Name == "age" || f.Name == "set-cookie" && mode != SetCookieStore || slices.Contains(withheld, f.Name) {
			continue
		}
		out = append(out, f)
	}
	return out
}

// withheldFrom returns the fields of a response that only the client gets
// that the origin was asked for. The policy has a word of its own on
// set-cookie.
func withheldFrom(h exchange.Header, withheld []string, mode SetCookie) exchange.Header {
	var out exchange.Header
	for _, f := range h {
		if slices.Contains(withheld, f.Name) && (f.Name != "set-cookie" || mode == SetCookieStore) {
			out = append(out, f)
		}
	}
	return out
}
