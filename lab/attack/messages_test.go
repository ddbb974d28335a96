package attack

import (
	"fmt"
	"strings"
)

// messageCase is a request in the field sections that HTTP/2 and HTTP/3
// share (RFC 9113, 8; RFC 9114, 4).
type messageCase struct {
	name, source string
	fields       []string // in pairs
	body         string
	trailer      []string // in pairs
	// answer is the origin's script; nil is the echo.
	answer func(*request) answer
	want   outcome
}

// request2 are the fields of an ordinary request, and more.
func request2(method, path string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "https", ":authority", "{host}", ":path", path}, more...)
}

// changed is an ordinary request with one field's value changed; with
// none, the field is left out.
func changed(name string, value ...string) []string {
	var out []string
	fields := request2("GET", "/a")
	for i := 0; i < len(fields); i += 2 {
		switch {
		case fields[i] != name:
			out = append(out, fields[i], fields[i+1])
		case len(value) > 0:
			out = append(out, name, value[0])
		}
	}
	return out
}

// malformed is a request that must not be answered but with 400, or a
// reset (RFC 9113, 8.1.1).
func malformed(name, source string, fields []string) messageCase {
	return messageCase{name: name, source: source, fields: fields, want: refusedOrReset(400)}
}

// get2 is an ordinary request with more fields.
func get2(more ...string) []string { return request2("GET", "/a", more...) }

var messageCases = []messageCase{
	{name: "ordinary get", source: "RFC 9113 8.3.1", fields: get2("accept", "*/*"), want: all(passed("GET /a"), open)},
	{name: "ordinary head", source: "RFC 9110 9.3.2", fields: request2("HEAD", "/a"), want: all(answered(200), open)},
	{name: "ordinary post", source: "RFC 9113 8.1", fields: request2("POST", "/a", "content-length", "5"), body: "hello", want: all(passed("POST /a hello"), open)},
	{name: "post without a length", source: "RFC 9113 8.1", fields: request2("POST", "/a"), body: "hello", want: all(passed("POST /a hello"), open)},
	{name: "post with a trailer", source: "RFC 9113 8.1", fields: request2("POST", "/a", "trailer", "content-digest"), body: "hello", trailer: []string{"content-digest", "sha-256=:x:"}, want: all(passed("POST /a hello"), open)},
	{name: "host without authority", source: "RFC 9113 8.3.1", fields: append(changed(":authority"), "host", "{host}"), want: passed("GET /a")},
	{name: "host and authority alike", source: "RFC 9113 8.3.1", fields: get2("host", "{host}"), want: passed("GET /a")},
	{name: "cookie in crumbs", source: "RFC 9113 8.2.3", fields: get2("cookie", "a=b", "cookie", "c=d"), want: all(passed("GET /a"), atOrigin("cookie", "a=b; c=d"))},
	{name: "te trailers", source: "RFC 9113 8.2.2", fields: get2("te", "trailers"), want: passed("GET /a")},
	{name: "options of all", source: "RFC 9113 8.3.1", fields: request2("OPTIONS", "*"), want: passed("OPTIONS *")},
	{name: "authority with a port", source: "RFC 9113 8.3.1", fields: changed(":authority", "{host}:8443"), want: passed("GET /a")},

	malformed("H2.TE", "Kettle, HTTP/2: the sequel is always worse, 2021; RFC 9113 8.2.2", get2("transfer-encoding", "chunked")),
	{name: "H2.TE with content", source: "Kettle 2021", fields: request2("POST", "/a", "transfer-encoding", "chunked"), body: "0\r\n\r\n" + hidden, want: refusedOrReset(400)},
	// A length of nothing is a whole request before its content comes.
	{name: "H2.CL, content longer", source: "Kettle 2021; RFC 9113 8.1.1", fields: request2("POST", "/a", "content-length", "0"), body: hidden, want: anyOf(cutOff, exactly("POST /a"))},
	{name: "H2.CL, content shorter", source: "RFC 9113 8.1.1", fields: request2("POST", "/a", "content-length", "500"), body: "hello", want: cutOff},
	{name: "H2.CL, no content", source: "RFC 9113 8.1.1", fields: request2("POST", "/a", "content-length", "5"), want: cutOff},
	{name: "length on GET without content", source: "RFC 9113 8.1.1", fields: get2("content-length", "5"), want: cutOff},
	malformed("two lengths", "RFC 9110 8.6", request2("POST", "/a", "content-length", "0", "content-length", "5")),
	malformed("length with a sign", "RFC 9110 8.6", request2("POST", "/a", "content-length", "+0")),
	malformed("length that wraps", "CVE-2021-40346", request2("POST", "/a", "content-length", "18446744073709551616")),
	malformed("length with a space", "RFC 9113 8.2.1", request2("POST", "/a", "content-length", "0 ")),

	malformed("connection", "RFC 9113 8.2.2: MUST be malformed", get2("connection", "close")),
	malformed("connection names a field", "RFC 9113 8.2.2", get2("connection", "x-forwarded-for")),
	malformed("keep-alive", "RFC 9113 8.2.2", get2("keep-alive", "timeout=5")),
	malformed("proxy-connection", "RFC 9113 8.2.2", get2("proxy-connection", "keep-alive")),
	malformed("upgrade", "RFC 9113 8.2.2; h2c smuggling", get2("upgrade", "h2c")),
	malformed("te gzip", "RFC 9113 8.2.2", get2("te", "gzip")),
	malformed("te chunked", "RFC 9113 8.2.2", get2("te", "chunked")),

	malformed("upper case in a name", "RFC 9113 8.2.1", get2("X-A", "b")),
	malformed("CRLF in a name", "Kettle 2021", get2("x\r\nx-injected", "b")),
	malformed("LF in a name", "CVE-2026-42926", get2("x\nx-injected", "b")),
	malformed("NUL in a name", "RFC 9113 8.2.1", get2("x\x00a", "b")),
	malformed("space in a name", "RFC 9113 8.2.1", get2("x a", "b")),
	malformed("colon in a name", "Kettle 2021: transfer-encoding:chunked as a name", get2("transfer-encoding: chunked\r\nx", "b")),
	malformed("colon within a name", "RFC 9113 8.2.1", get2("x:a", "b")),
	malformed("bytes beyond ASCII in a name", "RFC 9113 8.2.1", get2("x\xe4", "b")),
	malformed("empty name", "RFC 9110 5.1; CVE-2019-9516", get2("", "b")),
	malformed("CRLF in a value", "Kettle 2021; RFC 9113 8.2.1", get2("x", "b\r\nx-injected: c")),
	malformed("a whole request in a value", "Kettle 2021: request splitting", get2("x", "b\r\n\r\n"+hidden)),
	malformed("LF in a value", "RFC 9113 8.2.1", get2("x", "b\nc")),
	malformed("CR in a value", "RFC 9113 8.2.1", get2("x", "b\rc")),
	malformed("NUL in a value", "RFC 9113 8.2.1", get2("x", "b\x00c")),
	malformed("space before a value", "RFC 9113 8.2.1: MUST NOT start with", get2("x", " b")),
	malformed("tab behind a value", "RFC 9113 8.2.1: MUST NOT end with", get2("x", "b\t")),
	malformed("escape in a value", "RFC 9110 5.5", get2("x", "\x1b[31m")),

	malformed("no method", "RFC 9113 8.3.1", changed(":method")),
	malformed("no scheme", "RFC 9113 8.3.1", changed(":scheme")),
	malformed("no path", "RFC 9113 8.3.1", changed(":path")),
	malformed("no authority and no host", "RFC 9113 8.3.1; RFC 9110 7.2", changed(":authority")),
	malformed("two methods", "RFC 9113 8.3.1", append([]string{":method", "POST"}, get2()...)),
	malformed("two paths", "RFC 9113 8.3.1; Kettle 2021: ambiguous path", append([]string{":path", "/smuggled"}, get2()...)),
	malformed("two schemes", "RFC 9113 8.3.1", append([]string{":scheme", "http"}, get2()...)),
	malformed("two authorities", "RFC 9113 8.3.1", append([]string{":authority", "evil.example"}, get2()...)),
	malformed("empty method", "RFC 9110 9.1", changed(":method", "")),
	malformed("empty path", "RFC 9113 8.3.1: MUST NOT be empty", changed(":path", "")),
	malformed("unknown pseudo-header", "RFC 9113 8.3", append([]string{":evil", "b"}, get2()...)),
	malformed("pseudo-header of a response", "RFC 9113 8.3", append([]string{":status", "200"}, get2()...)),
	malformed("pseudo-header behind a field", "RFC 9113 8.3", append(append([]string{"x", "b"}, changed(":path")...), ":path", "/a")),
	malformed("protocol without CONNECT", "RFC 8441 4", get2(":protocol", "websocket")),
	malformed("pseudo-header in upper case", "RFC 9113 8.3", append(changed(":path"), ":Path", "/a")),
	malformed("a request line in the method", "Kettle 2021: request line injection", changed(":method", "GET /smuggled HTTP/1.1\r\nx: y\r\n\r\nGET")),
	{name: "space in the method", source: "RFC 9110 9.1", fields: changed(":method", "GET /smuggled"), want: refusedOrReset(400, 405)},
	malformed("CRLF in the path", "Kettle 2021; CVE-2026-42926", changed(":path", "/a HTTP/1.1\r\nx-injected: b\r\n\r\n"+hidden)),
	malformed("space in the path", "Kettle 2021", changed(":path", "/a b")),
	malformed("tab in the path", "RFC 9112 3.2", changed(":path", "/a\tb")),
	malformed("NUL in the path", "RFC 9113 8.2.1", changed(":path", "/a\x00")),
	malformed("path without a slash", "CVE-2026-33186: grpc-go", changed(":path", "a")),
	malformed("path with an at sign first", "SSRF by concatenation: Kettle 2021", changed(":path", "@evil.example/a")),
	malformed("absolute path with scheme", "RFC 9113 8.3.1", changed(":path", "https://evil.example/a")),
	malformed("fragment in the path", "RFC 9113 8.3.1", changed(":path", "/a#b")),
	malformed("asterisk with GET", "RFC 9113 8.3.1", changed(":path", "*")),
	malformed("dot segments", "RFC 3986 5.2.4", changed(":path", "/b/../a")),
	malformed("encoded dot segments", "CVE-2019-9901", changed(":path", "/b/%2e%2E/a")),
	malformed("backslash in the path", "CVE-2021-29492", changed(":path", `/b\..\a`)),
	malformed("a cut escape in the path", "RFC 3986 2.1", changed(":path", "/a%2")),
	malformed("bytes beyond ASCII in the path", "RFC 9112 3.2", changed(":path", "/\xc3\xa4")),
	malformed("CRLF in the scheme", "Kettle 2021: scheme smuggling", changed(":scheme", "https\r\nx-injected: b")),
	malformed("a URL in the scheme", "Kettle 2021: https://evil.example/a?", changed(":scheme", "https://evil.example/a?")),
	malformed("empty scheme", "RFC 9113 8.3.1", changed(":scheme", "")),
	malformed("CRLF in the authority", "Kettle 2021", changed(":authority", "{host}\r\nx-injected: b")),
	malformed("userinfo in the authority", "RFC 9113 8.3.1: MUST NOT", changed(":authority", "evil@{host}")),
	malformed("path in the authority", "RFC 9113 8.3.1", changed(":authority", "{host}/evil")),
	malformed("space in the authority", "RFC 9113 8.3.1", changed(":authority", "{host} evil")),
	malformed("empty authority", "RFC 9114 4.3.1: MUST NOT be empty", changed(":authority", "")),
	malformed("letters in the port", "RFC 3986 3.2.3", changed(":authority", "{host}:x")),
	malformed("host against authority", "RFC 9113 8.3.1", get2("host", "evil.example")),
	malformed("two hosts", "RFC 9112 3.2", append(changed(":authority"), "host", "{host}", "host", "{host}")),
	malformed("a host with CRLF", "Kettle 2021", append(changed(":authority"), "host", "{host}\r\nx: y")),
	{name: "authority of a stranger", source: "RFC 9110 7.4, 15.5.20", fields: append(changed(":authority", "evil.example"), "x-m", "{m}"), want: denied(421)},
	{name: "authority of another site", source: "RFC 9113 9.1.2: not the one of the handshake", fields: changed(":authority", "{other}"), want: denied(421)},
	{name: "authority of the site without its first label", source: "RFC 6125 6.4.3", fields: append(changed(":authority", "cached.example"), "x-m", "{m}"), want: denied(421)},
	{name: "scheme http over TLS", source: "RFC 9113 8.3.1", fields: changed(":scheme", "http"), want: anyOf(refusedOrReset(400, 421), all(passed("GET /a"), atOrigin("x-forwarded-proto", "https")))},

	{name: "CONNECT", source: "RFC 9113 8.5", fields: []string{":method", "CONNECT", ":authority", "{host}:443"}, want: refusedOrReset(400, 405, 501)},
	{name: "CONNECT to a stranger", source: "RFC 9110 9.3.6", fields: []string{":method", "CONNECT", ":authority", "127.0.0.1:22"}, want: refusedOrReset(400, 405, 421, 501)},
	{name: "CONNECT with a path", source: "RFC 9113 8.5", fields: changed(":method", "CONNECT"), want: refusedOrReset(400, 405, 501)},
	{name: "CONNECT for an unknown protocol", source: "RFC 8441 4; RFC 9220: 501", fields: append(changed(":method", "CONNECT"), ":protocol", "evil"), want: all(noTunnel, refusedOrReset(400, 405, 501, 502))},
	{name: "websocket", source: "RFC 8441; RFC 9220: ordinary", fields: webSocket, body: "through {m}", answer: switched, want: all(exactly("GET /a"), answered(200), tunnelled("through {m}"))},
	{name: "a request in a websocket", source: "RFC 8441 5: bytes of a tunnel", fields: webSocket, body: hidden, answer: switched, want: all(exactly("GET /a"), answered(200), tunnelled(hidden))},
	{name: "websocket that is not granted", source: "CVE-2026-2833: nothing passes before the 101", fields: webSocket, body: hidden, want: all(noTunnel, exactly("GET /a"))},
	{name: "TRACE", source: "RFC 9110 9.3.8", fields: request2("TRACE", "/a", "cookie", "a=b"), want: all(refusedOrReset(400, 405, 501), unsaid("a=b"))},
	{name: "PURGE", source: "anybody could empty the caches behind", fields: request2("PURGE", "/a"), want: refusedOrReset(400, 403, 405, 501)},
	{name: "a loop", source: "RFC 8586", fields: get2("cdn-loop", "landfall"), want: denied(508)},
	{name: "a field with an underscore", source: "servers behind CGI read a hyphen", fields: get2("x_forwarded_for", "6.6.6.6"), want: anyOf(refusedOrReset(400), all(passed("GET /a"), lacking("6.6.6.6")))},
	{name: "a length with an underscore", source: "servers behind CGI read a hyphen", fields: get2("content_length", "50"), want: anyOf(refusedOrReset(400), all(passed("GET /a"), lacking("content_length")))},
	{name: "expect", source: "RFC 9110 10.1.1", fields: request2("POST", "/a", "expect", "100-continue", "content-length", "5"), body: "hello", want: anyOf(refusedOrReset(417), passed("POST /a hello"))},
	{name: "http2-settings", source: "Bishop Fox 2020", fields: get2("http2-settings", "AAMAAABk"), want: anyOf(refusedOrReset(400), all(passed("GET /a"), lacking("http2-settings")))},
	{name: "content with GET", source: "Kettle 2020: fat GET", fields: get2("content-length", "5"), body: "hello", want: anyOf(refusedOrReset(400), passed("GET /a hello"), passed("GET /a"))},

	{name: "ninety-five fields", source: "RFC 9110 5.4: ordinary", fields: get2(repeated(95, "x", "y")...), want: passed("GET /a")},
	{name: "a field of 30 KiB", source: "RFC 9110 5.4: ordinary", fields: get2("x", strings.Repeat("y", 30<<10)), want: passed("GET /a")},
	{name: "a hundred and ten fields", source: "CVE-2026-49975", fields: get2(repeated(110, "x", "y")...), want: refusedOrReset(431)},
	{name: "fields of 50 KiB together", source: "RFC 6585 5", fields: get2(repeated(50, "x", strings.Repeat("y", 1024))...), want: refusedOrReset(431)},
	{name: "two hundred fields", source: "CVE-2026-49975: count, not only bytes", fields: get2(repeated(200, "x", "y")...), want: refusedOrReset(431)},
	{name: "two hundred crumbs", source: "CVE-2026-47774: cookie crumbs", fields: get2(repeated(200, "cookie", "a=b")...), want: refusedOrReset(431)},
	{name: "twenty thousand crumbs", source: "CVE-2026-47774", fields: get2(repeated(20000, "cookie", "a")...), want: refusedOrReset(431)},
	{name: "empty values", source: "CVE-2019-9516: 0-length headers leak", fields: get2(repeated(5000, "x", "")...), want: refusedOrReset(431)},
	{name: "a field of 64 KiB", source: "RFC 6585 5", fields: get2("x", strings.Repeat("y", 64<<10)), want: refusedOrReset(431)},
	{name: "a name of 64 KiB", source: "RFC 6585 5", fields: get2(strings.Repeat("x", 64<<10), "y"), want: refusedOrReset(431)},
	{name: "a path of 20 KiB", source: "RFC 9110 15.5.15", fields: changed(":path", "/"+strings.Repeat("a", 20<<10)), want: refusedOrReset(414, 431)},
	{name: "a method of 20 KiB", source: "RFC 9110 9.1", fields: changed(":method", strings.Repeat("A", 20<<10)), want: anyOf(refusedOrReset(400, 405, 431, 501), answered(200))},

	trailers("content-length", "5"), trailers("transfer-encoding", "chunked"), trailers("host", "evil.example"), trailers(":path", "/smuggled"),
	trailers("connection", "close"), trailers("x-forwarded-for", "6.6.6.6"), trailers("authorization", "evil"), trailers("X-Upper", "evil"),
	trailers("x", "b\r\nx-injected: c"), trailers("x", strings.Repeat("evil", 10<<10)), trailers("expect", "100-continue"), trailers("cookie", "a=evil"),
}

// trailers is a request with a trailer field that must not pass as one.
func trailers(name, value string) messageCase {
	return messageCase{
		name: fmt.Sprintf("trailer %.20q with %.10q", name, value), source: "RFC 9113 8.1; RFC 9110 6.5.1",
		fields: request2("POST", "/a", "trailer", strings.Trim(name, ":")), body: "hello", trailer: []string{name, value},
		want: anyOf(cutOff, all(passed("POST /a hello"), func(s *seen) error {
			if got := s.requests[0].trailer; len(got) > 0 {
				return fmt.Errorf("the origin read the trailer %v", got)
			}
			return nil
		})),
	}
}

// cutOff: the request was refused, or cut off while it was passed on.
func cutOff(s *seen) error {
	for _, r := range s.requests {
		if !r.cut {
			return fmt.Errorf("the origin was given a whole request: %s", r.line())
		}
	}
	for _, r := range s.replies {
		if !r.reset && r.status < 400 && !(r.status == 0 && s.ended) {
			return fmt.Errorf("stream %d was answered %d", r.stream, r.status)
		}
	}
	return nil
}

// webSocket asks for a tunnel (RFC 8441, 5).
var webSocket = append(changed(":method", "CONNECT"), ":protocol", "websocket", "sec-websocket-version", "13")

// tunnelled: this went through the tunnel and back.
func tunnelled(text string) outcome {
	return func(s *seen) error {
		want := texts(s.host).Replace(text)
		if got := string(s.replies[0].body); got != want || s.requests[0].tunnel != want {
			return fmt.Errorf("the client read %.100q, the origin %.100q", got, s.requests[0].tunnel)
		}
		return nil
	}
}

// repeated is a field n times.
func repeated(n int, name, value string) []string {
	out := make([]string, 0, 2*n)
	for range n {
		out = append(out, name, value)
	}
	return out
}

// messageAttacks sends each case in both versions, and over HTTP/2 byte by
// byte as well when it is short.
func messageAttacks(cases []messageCase) (out []attack) {
	for i, c := range cases {
		for _, way := range []string{"h2", "h2 bytes", "h3"} {
			if way == "h2 bytes" && len(strings.Join(c.fields, ""))+len(c.body) > dripMost {
				continue
			}
			out = append(out, attack{
				name: "messages/" + c.name + "/" + way, source: c.source, cached: i%2 == 0, answer: c.answer, want: c.want,
				send: func(n *node, host string) (*seen, error) { return sendMessage(n, host, way, &c) },
			})
		}
	}
	return out
}

// sendMessage sends one request on a connection of its own.
func sendMessage(n *node, host, way string, c *messageCase) (*seen, error) {
	if way == "h3" {
		h, err := dialH3(n, host)
		if err != nil {
			return nil, err
		}
		h.message(c)
		return h.finish(), nil
	}
	h, err := dialH2(n, host)
	if err != nil {
		return nil, err
	}
	if way == "h2 bytes" {
		h.drip()
	}
	h.message(c)
	return h.finish(), nil
}

func (h *h2client) message(c *messageCase) {
	h.headers(1, c.body == "" && c.trailer == nil, c.fields...)
	if c.body != "" {
		h.data(1, c.trailer == nil, c.body)
	}
	if c.trailer != nil {
		h.headers(1, true, c.trailer...)
	}
}

func (h *h3client) message(c *messageCase) {
	text := h3frame(h3Headers, h.section(c.fields...))
	if c.body != "" {
		text += h3frame(h3Data, h.texts.Replace(c.body))
	}
	if c.trailer != nil {
		text += h3frame(h3Headers, h.section(c.trailer...))
	}
	h.stream(text, true)
}
