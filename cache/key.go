package cache

import (
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

const upperHex = "0123456789ABCDEF"

// Key returns the cache key of a request: the site, and the target URI, as
// in
//
//	shop https://shop.example.com/list?page=2
//
// The request has path and query in normal form already: two spellings
// with one key could get different answers. The key keeps the order of
// parameters, and tells "/p?" from "/p", which are two URIs that an origin
// may answer differently. A default port is dropped; any other is kept,
// because it reaches the origin in Host and so may show in the response.
func Key(req *exchange.Request, p *Policy) string {
	return targetOf(req, p).key(p.Site)
}

// target is a target URI as it is keyed and asked for: without a default
// port and excluded parameters.
type target struct {
	scheme, host, port, path, query string
}

func targetOf(req *exchange.Request, p *Policy) target {
	t := target{
		scheme: req.Scheme,
		host:   req.Host,
		port:   req.Port,
		path:   req.Path,
		query:  without(req.Query, p.QueryExclude),
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
	return string(t.append(room[:0], site))
}

func (t target) append(b []byte, site string) []byte {
	b = append(b, site...)
	b = append(b, ' ')
	b = append(b, t.scheme...)
	b = append(b, "://"...)
	b = append(b, t.host...)
	if t.port != "" {
		b = append(b, ':')
		b = append(b, t.port...)
	}
	b = append(b, t.path...)
	return append(b, t.query...)
}

// without returns the query, "?" included, without the parameters that
// match a pattern. A query of which nothing is left is "".
func without(s string, exclude []string) string {
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
