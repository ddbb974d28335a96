package origin

import (
	"slices"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

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
