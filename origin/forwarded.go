package origin

import (
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// pseudonym is our name in Via (RFC 9110, 7.6.3) and CDN-Loop (RFC 8586).
const pseudonym = "landfall"

// ours reports whether a request's field is replaced or rebuilt by
// introduce, so that a client's own must not pass: what we say about the
// client, and the fields by which some servers let a request name another
// URL than its own.
func ours(name string) bool { return rebuilt[name] || exchange.Introduced(name) }

var rebuilt = set(
	"host",
	// who the client is
	"cf-connecting-ip", "client-ip", "fastly-client-ip", "true-client-ip", "x-client-ip", "x-cluster-client-ip", "x-forwarded",
	// another URL, host or scheme than the request's
	"base-url", "front-end-https", "x-backend-host", "x-envoy-original-path", "x-host", "x-http-host-override",
	"x-original-host", "x-original-uri", "x-original-url", "x-override-url", "x-rewrite-url", "x-scheme", "x-url-scheme",
	// HTTP_PROXY to a program behind CGI (CVE-2016-5385)
	"proxy",
)

// override are the fields by which some servers let a request have another
// method than its own. A GET that is a DELETE behind us would be stored as
// the answer to the GET.
var override = set("x-http-method", "x-http-method-override", "x-method-override")

func set(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, name := range names {
		m[name] = true
	}
	return m
}

// introduce adds what we tell an endpoint about the client and about
// ourselves.
func (o *Origin) introduce(r *exchange.Request, set func(name, value string)) {
	client := "unknown" // the word of RFC 7239, 6.2
	if addr := r.Client.Addr(); addr.IsValid() {
		client = addr.Unmap().WithZone("").String()
	}
	set("X-Forwarded-For", appendTo(r.Header.Joined("x-forwarded-for"), client))
	set("X-Forwarded-Proto", r.Scheme)
	set("X-Forwarded-Host", r.Authority())
	set("X-Real-Ip", client)
	set("Via", appendTo(r.Header.Joined("via"), r.Proto.Via()+" "+o.via))
	set("Cdn-Loop", appendTo(r.Header.Joined("cdn-loop"), o.cdnLoop))
	if r.ID != "" {
		set("X-Request-Id", r.ID)
	}
	if o.conf.Forwarded {
		set("Forwarded", o.forwarded(r, client))
	}
}

// identify returns our names in Via and in CDN-Loop. The node is part of
// the pseudonym in Via and a parameter in CDN-Loop, where the identifier
// is compared.
func identify(node string) (via, cdnLoop string) {
	if node == "" {
		return pseudonym, pseudonym
	}
	return pseudonym + "-" + node, pseudonym + ";node=" + node
}

// forwarded returns the value of Forwarded: what came, and our element.
// What is not well-formed is dropped, or an open quote in it would
// swallow our element.
func (o *Origin) forwarded(r *exchange.Request, client string) string {
	if strings.Contains(client, ":") {
		client = "[" + client + "]"
	}
	element := "for=" + quote(client) + ";host=" + quote(r.Authority()) +
		";proto=" + r.Scheme + ";by=" + quote("_"+o.via)
	came := r.Header.Joined("forwarded")
	if !wellFormedForwarded(came) {
		return element
	}
	return appendTo(came, element)
}

func appendTo(list, member string) string {
	if list == "" {
		return member
	}
	return list + ", " + member
}

// quote returns v as a token if it is one, else as a quoted-string
// (RFC 7239, 4).
func quote(v string) string {
	if httpguts.ValidHeaderFieldName(v) {
		return v
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(v) {
		if v[i] == '"' || v[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(v[i])
	}
	b.WriteByte('"')
	return b.String()
}

// wellFormedForwarded reports whether v is a list as of RFC 7239, 4: its
// elements are pairs "name=value" with semicolons between them, and a
// value is a token or a quoted-string.
func wellFormedForwarded(v string) bool {
	for v != "" {
		name, rest, ok := strings.Cut(skipSpace(v), "=")
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		if rest, ok = cutValue(rest); !ok {
			return false
		}
		if v = skipSpace(rest); v == "" {
			return true
		}
		if v[0] != ';' && v[0] != ',' || len(v) == 1 {
			return false
		}
		v = v[1:]
	}
	return true
}

// cutValue splits a token or a quoted-string off the front of v.
func cutValue(v string) (rest string, ok bool) {
	if v == "" || v[0] != '"' {
		n := strings.IndexAny(v, ";, \t")
		if n < 0 {
			n = len(v)
		}
		return v[n:], httpguts.ValidHeaderFieldName(v[:n])
	}
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return v[i+1:], true
		}
	}
	return "", false
}

func skipSpace(v string) string { return strings.TrimLeft(v, " \t") }
