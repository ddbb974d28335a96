package cache

import (
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

const upperHex = "0123456789ABCDEF"

// Key returns the cache key of a request: the site, and the target URI in
// normal form, as in
//
//	shop https://shop.example.com/list?page=2
//
// The normal form decodes percent-encoded unreserved characters and writes
// the hex digits of others in upper case (RFC 3986, 6.2.2). It resolves no
// dot segments, keeps the order of parameters, and tells "/p?" from "/p",
// which are two URIs that an origin may answer differently. A default
// port is dropped; any other is kept, because it reaches the origin in
// Host and so may show in the response.
//
// A fill asks the origin for the normal form, not for what the client
// wrote: two spellings with one key can then not get different answers.
func Key(req *exchange.Request, p *Policy) string {
	return targetOf(req, p).key(p.Site)
}

// target is a target URI in normal form.
type target struct {
	scheme, host, port, path, query string
}

func targetOf(req *exchange.Request, p *Policy) target {
	t := target{
		scheme: req.Scheme,
		host:   req.Host,
		port:   req.Port,
		path:   normalPath(req.Path),
		query:  normalQuery(req.Query, p.QueryExclude),
	}
	if t.port == "443" && t.scheme == "https" || t.port == "80" && t.scheme == "http" {
		t.port = ""
	}
	return t
}

// key joins the parts so that they can be told apart again: a site has no
// space, a scheme no colon, a host no slash, a path begins with one, and
// a query begins with the first question mark.
func (t target) key(site string) string {
	var room [256]byte
	b := append(room[:0], site...)
	b = append(b, ' ')
	b = append(b, t.scheme...)
	b = append(b, "://"...)
	b = append(b, t.host...)
	if t.port != "" {
		b = append(b, ':')
		b = append(b, t.port...)
	}
	b = append(b, t.path...)
	b = append(b, t.query...)
	return string(b)
}

// normalPath leaves an encoded dot encoded: decoding could form a dot
// segment where the sender wrote none, in front of rules that have
// already looked at the path.
func normalPath(s string) string {
	return normalEscapes(s, func(c byte) bool { return unreserved(c) && c != '.' })
}

// normalQuery returns the query, "?" included, without the parameters
// that match a pattern. A query of which nothing is left is "".
func normalQuery(s string, exclude []string) string {
	s = normalEscapes(s, unreserved)
	if len(exclude) == 0 || len(s) < 2 {
		return s
	}
	var b strings.Builder
	sep, dropped := byte('?'), false
	for param := range strings.SplitSeq(s[1:], "&") {
		name, _, _ := strings.Cut(param, "=")
		if matchesAny(exclude, name) {
			dropped = true
			continue
		}
		b.WriteByte(sep)
		b.WriteString(param)
		sep = '&'
	}
	if !dropped {
		return s
	}
	return b.String()
}

// normalEscapes decodes the escapes of characters that decode accepts. A
// string with a malformed escape is left as it is: in "%%411", decoding
// the inner escape would make up the new one "%A1".
func normalEscapes(s string, decode func(byte) bool) string {
	first := strings.IndexByte(s, '%')
	if first < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	b = append(b, s[:first]...)
	for i := first; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return s
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return s
		}
		if c := byte(hi<<4 | lo); decode(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[hi], upperHex[lo])
		}
		i += 2
	}
	if string(b) == s {
		return s
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unreserved is the set of RFC 3986, 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}

// matches reports whether name fits pattern, in which "*" stands for any
// run of characters.
func matches(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], more
	}
}
