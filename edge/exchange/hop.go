package exchange

import "strings"

// HopByHop reports whether a field is about one connection only
// (RFC 9110, 7.6.1; Keep-Alive and Proxy-Connection by custom).
// Proxy-Authenticate and Proxy-Authorization are about the next proxy,
// and we are none. Content-Length frames; Length carries its value.
func HopByHop(name string) bool {
	switch name {
	case "connection", "content-length", "http2-settings", "keep-alive", "proxy-authenticate",
		"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// Introduced reports whether a request's field is written by us on the way
// to an origin: what the origin sees in it is not what the client sent.
func Introduced(name string) bool {
	switch name {
	case "cdn-loop", "forwarded", "via", "x-real-ip", "x-request-id":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded-")
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

// Nominated returns the fields that Connection makes hop-by-hop beside
// those that always are.
func (h Header) Nominated() []string {
	var out []string
	for option := range h.Members("connection") {
		if option = strings.ToLower(option); !protected(option) && !HopByHop(option) {
			out = append(out, option)
		}
	}
	return out
}

// EndToEnd returns a copy of h without its hop-by-hop fields. Its cost
// grows with the number of fields and options, not with their product:
// both are the other side's to choose.
func (h Header) EndToEnd() Header {
	var drop map[string]bool
	for _, name := range h.Nominated() {
		if drop == nil {
			drop = make(map[string]bool)
		}
		drop[name] = true
	}
	out := make(Header, 0, len(h))
	for _, f := range h {
		if !HopByHop(f.Name) && !drop[f.Name] {
			out = append(out, f)
		}
	}
	return out
}

// Trailable reports whether a trailer field goes on. Trailers come
// after every decision was made, and some servers merge them into the
// fields that decide; so only fields with a meaning in a trailer pass
// (RFC 9110, 6.5.1): digests, signatures, timing, and the status of gRPC.
func Trailable(name string) bool {
	switch name {
	case "content-digest", "content-md5", "digest", "repr-digest",
		"server-timing", "signature", "signature-input", "x-amz-trailer-signature":
		return true
	}
	return strings.HasPrefix(name, "grpc-") ||
		strings.HasPrefix(name, "x-amz-checksum-") ||
		strings.HasPrefix(name, "x-checksum-")
}
