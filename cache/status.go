package cache

import (
	"strconv"
	"time"
)

// Fwd is the reason why a request went forward (RFC 9211, 2.2).
type Fwd uint8

// The reasons. FwdNone stands for a request that did not go forward.
const (
	FwdNone Fwd = iota
	FwdBypass
	FwdMethod
	FwdURIMiss
	FwdVaryMiss
	FwdMiss
	FwdRequest
	FwdStale
	FwdPartial
	numFwd
)

var fwds = [numFwd]string{
	"", "bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial",
}

// String returns the token of RFC 9211.
func (f Fwd) String() string { return fwds[f] }

// Status is what the cache did, as one member of Cache-Status says it
// (RFC 9211).
type Status struct {
	Hit bool
	Fwd Fwd
	// FwdStatus is the status code of the response that the forwarded
	// request got; 0 when there was none.
	FwdStatus int
	// TTL is the freshness left, negative for a stale response. It means
	// something only with HasTTL.
	TTL       time.Duration
	HasTTL    bool
	Stored    bool
	Collapsed bool
	// Relayed says that the answer came from another node, if only to the
	// request whose fill this one joined.
	Relayed bool
	Key     string
	// Detail is one of a few words of ours, "" for none.
	Detail string
}

// Append appends the list member to dst. The key, which tells a client
// what it shares with others, is left out unless withKey is set.
func (s Status) Append(dst []byte, name string, withKey bool) []byte {
	dst = append(dst, name...)
	if s.Hit {
		dst = append(dst, "; hit"...)
	} else if s.Fwd != FwdNone {
		dst = append(dst, "; fwd="...)
		dst = append(dst, s.Fwd.String()...)
	}
	if s.FwdStatus != 0 {
		dst = append(dst, "; fwd-status="...)
		dst = strconv.AppendInt(dst, int64(s.FwdStatus), 10)
	}
	if s.HasTTL {
		dst = append(dst, "; ttl="...)
		dst = strconv.AppendInt(dst, int64(s.TTL/time.Second), 10)
	}
	if s.Stored {
		dst = append(dst, "; stored"...)
	}
	if s.Collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if withKey && s.Key != "" {
		dst = append(dst, "; key="...)
		dst = appendString(dst, s.Key)
	}
	if s.Detail != "" {
		dst = append(dst, "; detail="...)
		dst = append(dst, s.Detail...)
	}
	return dst
}

// appendString appends s as a String of RFC 9651, 3.3.3. What a String
// cannot hold is percent-encoded.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20 || c > 0x7e:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
