package attack

import (
	"errors"
	"fmt"
	"strings"
)

// targetCases are about what is asked for and of whom: forms of the
// target, paths that servers read in two ways, and Host.
var targetCases = []h1case{
	badTarget("dot segments", "RFC 3986 5.2.4; CVE-2021-41773", "/b/../a"),
	badTarget("dot segment at the end", "RFC 3986 5.2.4", "/b/.."),
	badTarget("single dot", "RFC 3986 5.2.4", "/./a"),
	badTarget("encoded dots", "CVE-2019-9901; CVE-2021-41773", "/b/%2e%2e/a"),
	badTarget("half encoded dots", "CVE-2021-41773", "/b/.%2E/a"),
	badTarget("encoded slash behind dots", "CVE-2021-42013; CVE-2021-29492", "/b/..%2fa"),
	badTarget("backslash", "CVE-2021-29492", `/b\a`),
	badTarget("backslash and dots", "CVE-2021-29492", `/b\..\a`),
	badTarget("encoded backslash and dots", "CVE-2021-29492", "/b/..%5ca"),
	badTarget("a cut escape", "RFC 3986 2.1", "/a%"),
	badTarget("half an escape", "RFC 3986 2.1", "/a%4"),
	badTarget("an escape that is none", "RFC 3986 2.1", "/a%zz"),
	badTarget("fragment", "RFC 9112 3.2: not part of a target", "/a#b"),
	badTarget("fragment in the query", "RFC 9112 3.2", "/a?b#c"),
	badTarget("bytes beyond ASCII", "RFC 9112 3.2; RFC 3986 2", "/\xc3\xa4"),
	badTarget("escape byte", "RFC 9112 3.2; CWE-117", "/a\x1b"),
	badTarget("DEL", "RFC 9112 3.2", "/a\x7f"),
	badTarget("no slash", "RFC 9112 3.2", "a"),
	badTarget("query alone", "RFC 9112 3.2.1", "?a"),
	badTarget("asterisk with GET", "RFC 9112 3.2.4", "*"),
	badTarget("asterisk and more", "RFC 9112 3.2.4", "*/a"),
	badTarget("authority-form with GET", "RFC 9112 3.2.3", "{host}:80"),
	badTarget("absolute-form without authority", "RFC 9110 4.2.1: MUST reject an empty host", "http:///a"),
	badTarget("absolute-form with one slash", "RFC 9112 3.2.2", "http:/{host}/a"),
	badTarget("absolute-form with userinfo", "RFC 9110 4.2.4", "http://evil@{host}/a"),
	badTarget("another scheme", "RFC 9110 7.4", "ftp://{host}/a"),
	badTarget("file scheme", "RFC 9110 7.4", "file:///etc/passwd"),
	{
		name: "encoded NUL", source: "CVE-2003-0245; stays encoded or is refused",
		send: head("GET /a%00b HTTP/1.1"),
		want: anyOf(denied(400), passed("GET /a%00b")),
	},
	{
		name: "encoded CRLF", source: "CVE-2023-25690: httpd decoded it into the request line",
		send: head("GET /a%0d%0aX:%20b HTTP/1.1"),
		want: anyOf(denied(400), passed("GET /a%0D%0AX:%20b")),
	},
	{
		name: "encoded space and version", source: "CVE-2023-25690",
		send: head("GET /a%20HTTP/1.1%0d%0aHost:%20b%0d%0a%0d%0aGET%20/b HTTP/1.1"),
		want: anyOf(denied(400), passed("GET /a%20HTTP/1.1%0D%0AHost:%20b%0D%0A%0D%0AGET%20/b")),
	},
	{
		name: "encoded slash", source: "RFC 3986 2.2: not the same as a slash",
		send: head("GET /a%2Fb HTTP/1.1"),
		want: anyOf(denied(400), passed("GET /a%2Fb")),
	},
	{
		name: "encoded twice", source: "CVE-2021-42013: decoded twice",
		send: head("GET /b/%252e%252e/a HTTP/1.1"),
		want: anyOf(denied(400), passed("GET /b/%252e%252e/a")),
	},
	{
		name: "overlong UTF-8", source: "CVE-2000-0884",
		send: head("GET /b/%c0%ae%c0%ae/a HTTP/1.1"),
		want: anyOf(denied(400), passed("GET /b/%C0%AE%C0%AE/a")),
	},
	{
		name: "two slashes first", source: "RFC 3986 4.2: no authority in origin-form",
		send: head("GET //evil.example/a HTTP/1.1"),
		want: anyOf(denied(400), passed("GET //evil.example/a"), all(answered(200), func(s *seen) error {
			return exactly("GET http://{host}//evil.example/a")(s)
		})),
	},
	{
		name: "a URL in the path", source: "SSRF by proxies that look for ://",
		send: head("GET /http://evil.example/a HTTP/1.1"),
		want: anyOf(denied(400), passed("GET /http://evil.example/a")),
	},
	{
		name: "an at sign in the path", source: "SSRF: CVE-2021-40438",
		send: head("GET /@evil.example/a HTTP/1.1"),
		want: anyOf(denied(400), passed("GET /@evil.example/a")),
	},
	{
		name: "absolute-form against Host", source: "RFC 9112 3.2.2: the target counts, Host is replaced",
		send: bare("GET http://{host}/a HTTP/1.1", "Host: other{host}"),
		want: anyOf(denied(400, 421), all(passed("GET /a"), hostAtOrigin("{host}"))),
	},
	{
		name: "absolute-form of a stranger", source: "RFC 9112 3.2.2; RFC 9110 7.4",
		send: bare("GET http://evil.example/{m} HTTP/1.1", "Host: {host}"),
		want: denied(400, 421),
	},
	{
		name: "absolute-form of another scheme's default", source: "RFC 9110 7.4",
		send: head("GET https://{host}/a HTTP/1.1"),
		want: anyOf(denied(400, 421), passed("GET /a")),
	},
	{
		name: "CONNECT", source: "RFC 9110 9.3.6; draft-ietf-httpbis-optimistic-upgrade: close, what follows was meant for a tunnel",
		send: bare("CONNECT {host}:443 HTTP/1.1", "Host: {host}:443") + hidden,
		want: refused(400, 405, 501),
	},
	{
		name: "CONNECT to a stranger", source: "RFC 9110 9.3.6",
		send: bare("CONNECT 127.0.0.1:22 HTTP/1.1", "Host: {host}"),
		want: denied(400, 405, 421, 501),
	},
	{
		name: "TRACE", source: "RFC 9110 9.3.8: shows cookies to scripts",
		send: head("TRACE /a HTTP/1.1", "Cookie: a=b"),
		want: all(denied(400, 405, 501), unsaid("a=b")),
	},
	{
		name: "PURGE", source: "anybody could empty the caches behind",
		send: head("PURGE /a HTTP/1.1"),
		want: denied(400, 403, 405, 501),
	},
	{
		name: "TRACE with a hidden request as content", source: "RFC 9110 9.3.8: no content",
		send: head("TRACE /a HTTP/1.1", "Content-Length: "+length(hidden)) + hidden,
		want: denied(400, 405, 501),
	},
}

// hostCases are about the authority of a request.
var hostCases = []h1case{
	badHost("none", "RFC 9112 3.2: MUST respond with 400"),
	badHost("two", "RFC 9112 3.2: MUST respond with 400", "Host: {host}", "Host: other.example"),
	badHost("two alike", "RFC 9112 3.2: more than one line", "Host: {host}", "Host: {host}"),
	badHost("two in other case", "RFC 9112 3.2", "Host: {host}", "hOST: evil.example"),
	badHost("empty", "RFC 9112 3.2: MUST respond with 400 to an invalid one", "Host:"),
	badHost("a list", "RFC 9112 3.2", "Host: {host}, evil.example"),
	badHost("a list with a space", "RFC 9112 3.2", "Host: {host} evil.example"),
	badHost("with a path", "RFC 9110 7.2", "Host: {host}/evil"),
	badHost("with a scheme", "RFC 9110 7.2", "Host: http://{host}"),
	badHost("with userinfo", "RFC 9110 7.2", "Host: evil@{host}"),
	badHost("userinfo before a stranger", "RFC 9110 7.2", "Host: {host}:80@evil.example"),
	badHost("port with letters", "RFC 3986 3.2.3", "Host: {host}:80x"),
	badHost("two ports", "RFC 3986 3.2.3", "Host: {host}:80:81"),
	badHost("negative port", "RFC 3986 3.2.3", "Host: {host}:-80"),
	badHost("tab inside", "RFC 9110 7.2", "Host: {host}\tx"),
	badHost("NUL inside", "RFC 9110 5.5", "Host: {host}\x00.evil.example"),
	badHost("bracket", "RFC 3986 3.2.2", "Host: [{host}"),
	badHost("backslash", "RFC 3986 3.2.2", `Host: {host}\evil`),
	badHost("query", "RFC 9110 7.2", "Host: {host}?evil"),
	badHost("fragment", "RFC 9110 7.2", "Host: {host}#evil"),
	badHost("two dots at the end", "RFC 1034 3.1", "Host: {host}.."),
	badHost("encoded dot", "RFC 3986 3.2.2", "Host: {host}%2eevil"),
	badHost("space before the colon", "RFC 9112 5.1", "Host : {host}"),
	badHost("folded", "RFC 9112 5.2", "Host:", " {host}"),
	badHost("a stranger", "RFC 9110 15.5.20", "Host: evil.example"),
	badHost("an address", "RFC 9110 15.5.20", "Host: 127.0.0.1"),
	badHost("localhost", "RFC 9110 15.5.20", "Host: localhost"),
	badHost("an address with a zone", "RFC 9110 7.2", "Host: [fe80::1%25lo]"),
	badHost("one label more", "a wildcard covers one label: RFC 6125 6.4.3", "Host: a.{host}"),
	{
		name: "of another site than the handshake's", source: "RFC 9110 7.4; CVE-2025-23419", secure: true,
		send: bare("GET /a HTTP/1.1", "Host: {other}"),
		want: denied(421),
	},
	{
		name: "of another site on a kept connection", source: "RFC 9110 7.4", secure: true,
		send: head("GET /a HTTP/1.1") + bare("GET /smuggled HTTP/1.1", "Host: {other}"), replies: 2,
		want: all(exactly("GET /a"), answered(200, 421)),
	},
	{
		name: "none in HTTP 1.0", source: "RFC 9110 7.2: no site without a host",
		send: bare("GET /a HTTP/1.0"),
		want: anyOf(refused(400, 421), dropped),
	},
	{
		name: "dot at the end", source: "RFC 3986 3.2.2: the same host",
		send: bare("GET /a HTTP/1.1", "Host: {host}."),
		want: anyOf(denied(400, 421), passed("GET /a")),
	},
	{
		name: "no digit after the colon", source: "RFC 3986 3.2.3: a port may be empty",
		send: bare("GET /a HTTP/1.1", "Host: {host}:"),
		want: anyOf(denied(400), passed("GET /a")),
	},
	{
		name: "a port beyond 65535", source: "RFC 3986 3.2.3",
		send: bare("GET /a HTTP/1.1", "Host: {host}:99999"),
		want: anyOf(denied(400), passed("GET /a")),
	},
	{
		name: "forwarded to a stranger", source: "CVE-2025-29927 and its like: X-Forwarded-Host",
		send: head("GET /a HTTP/1.1", "X-Forwarded-Host: evil.example", "X-Host: evil.example", "Forwarded: host=evil.example"),
		want: all(passed("GET /a"), hostAtOrigin("{host}"), func(s *seen) error {
			if got := s.requests[0].value("x-forwarded-host"); strings.Contains(got, "evil") {
				return fmt.Errorf("X-Forwarded-Host %q", got)
			}
			return nil
		}),
	},
}

// badTarget is a request that is refused for its target.
func badTarget(name, source, target string) h1case {
	return h1case{name: name, source: source, send: head("GET " + target + " HTTP/1.1"), want: anyOf(denied(400), dropped)}
}

// badHost is a request that is refused for its authority.
func badHost(name, source string, lines ...string) h1case {
	return h1case{
		name: name, source: source, send: bare("GET /{m} HTTP/1.1", lines...),
		want: anyOf(denied(400, 421), dropped),
	}
}

// hostAtOrigin checks Host of the one request.
func hostAtOrigin(host string) outcome {
	return func(s *seen) error {
		if len(s.requests) != 1 {
			return errors.New("not one request")
		}
		if got, want := s.requests[0].host, texts(s.host).Replace(host); got != want {
			return fmt.Errorf("the origin read Host %q, want %q", got, want)
		}
		return nil
	}
}
