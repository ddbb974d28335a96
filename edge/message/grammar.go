// Package message is the grammar that all HTTP versions share (RFC 9110):
// tokens, field values, authorities, lengths, and how the fields of an
// HTTP/2 or HTTP/3 field section make a request. It owns what is well
// formed; it never reads from a connection, and never says what a request
// may do.
package message

import (
	"math"
	"strings"

	"github.com/landfall-cdn/landfall/internal/swar"
)

// Token reports whether s is a token (RFC 9110, 5.6.2).
func Token(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// TokenByte reports whether c may stand in a token.
func TokenByte(c byte) bool { return tokenBytes[c] }

var tokenBytes = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	}
	return t
}()

// FieldValue reports whether s is a field value (RFC 9110, 5.5): no
// control bytes but tabs, and no white space at either end.
func FieldValue(s string) bool {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if v := swar.Load(s, i); swar.Below(v, ' ') || swar.Has(v, 0x7f) {
			break // look closer: it may be a tab
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || !space(s[0]) && !space(s[len(s)-1])
}

func space(c byte) bool { return c == ' ' || c == '\t' }

// Length reads the value of Content-Length (RFC 9110, 8.6): 1*DIGIT. A
// list of equal numbers, which a recipient may accept, is refused, as is
// what does not fit.
func Length(s string) (int64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		d := int64(s[i]) - '0'
		if d < 0 || d > 9 || n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// Authority splits host and port of a Host or :authority (RFC 9110, 7.2).
// An IPv6 literal keeps its brackets. It is false for userinfo, for a
// second colon outside of brackets, and for a port that is no number; the
// host itself is for hostname.Wire to judge.
func Authority(s string) (host, port string, ok bool) {
	end := len(s)
	for end > 0 && '0' <= s[end-1] && s[end-1] <= '9' {
		end--
	}
	host = s
	if end > 0 && s[end-1] == ':' {
		host, port = s[:end-1], s[end:]
		if port == "" {
			return "", "", false
		}
	}
	if n := len(host); n > 0 && host[0] == '[' {
		return host, port, host[n-1] == ']' && strings.Count(host, "]") == 1
	}
	return host, port, host != "" && !strings.ContainsAny(host, ":@/[]")
}

// Target splits an origin-form into path and query, the "?" included in
// the latter.
func Target(s string) (path, query string) {
	if i := strings.IndexByte(s, '?'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// ConnectionSpecific reports whether HTTP/2 and HTTP/3 forbid a field
// (RFC 9113, 8.2.2; RFC 9114, 4.2). "te" is for TE.
func ConnectionSpecific(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// Lower reports whether a token is one that HTTP/2 and HTTP/3 allow as a
// field name: without upper case (RFC 9113, 8.2.1).
func Lower(name string) bool {
	for i := range len(name) {
		if c := name[i]; !tokenBytes[c] || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return name != ""
}
