package attack

import "strings"

// ordinaryCases are what an edge is for: one that refuses everything is
// safe and of no use.
var ordinaryCases = []h1case{
	{
		name: "get", source: "RFC 9112 3",
		send: head("GET /a HTTP/1.1"),
		want: all(passed("GET /a"), open),
	},
	{
		name: "query", source: "RFC 3986 3.4",
		send: head("GET /a?b=c&d=%20e HTTP/1.1"),
		want: all(passed("GET /a?b=c&d=%20e"), open),
	},
	{
		name: "empty query", source: "RFC 3986 3.4",
		send: head("GET /a? HTTP/1.1"),
		want: passed("GET /a?"),
	},
	{
		name: "two slashes", source: "RFC 9112 3.2.1",
		send: head("GET /a//b HTTP/1.1"),
		want: passed("GET /a//b"),
	},
	{
		name: "escapes", source: "RFC 3986 6.2.2",
		send: head("GET /%e2%82%ac/%41 HTTP/1.1"),
		want: passed("GET /%E2%82%AC/A"),
	},
	{
		name: "head", source: "RFC 9110 9.3.2",
		send: head("HEAD /a HTTP/1.1"), head: true,
		want: all(answered(200), open, func(s *seen) error { return exactly(s.requests[0].method + " /a")(s) }),
	},
	{
		name: "post", source: "RFC 9112 6.2",
		send: head("POST /a HTTP/1.1", "Content-Length: 5") + "hello",
		want: all(passed("POST /a hello"), open),
	},
	{
		name: "post of nothing", source: "RFC 9110 8.6",
		send: head("POST /a HTTP/1.1", "Content-Length: 0"),
		want: all(passed("POST /a"), open),
	},
	{
		name: "post without a length", source: "RFC 9112 6.3",
		send: head("POST /a HTTP/1.1"),
		want: all(passed("POST /a"), open),
	},
	{
		name: "put", source: "RFC 9110 9.3.4",
		send: head("PUT /a HTTP/1.1", "Content-Length: 3") + "abc",
		want: passed("PUT /a abc"),
	},
	{
		name: "patch", source: "RFC 5789",
		send: head("PATCH /a HTTP/1.1", "Content-Length: 3") + "abc",
		want: passed("PATCH /a abc"),
	},
	{
		name: "delete", source: "RFC 9110 9.3.5",
		send: head("DELETE /a HTTP/1.1"),
		want: passed("DELETE /a"),
	},
	{
		name: "options of all", source: "RFC 9112 3.2.4",
		send: head("OPTIONS * HTTP/1.1"),
		want: passed("OPTIONS *"),
	},
	{
		name: "a method of WebDAV", source: "RFC 4918",
		send: head("PROPFIND /a HTTP/1.1", "Content-Length: 2") + "{}",
		want: passed("PROPFIND /a {}"),
	},
	{
		name: "chunks", source: "RFC 9112 7.1",
		send: head("POST /a HTTP/1.1", "Transfer-Encoding: chunked") + "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
		want: all(passed("POST /a hello"), open),
	},
	{
		name: "chunk size in either case, with zeros", source: "RFC 9112 7.1",
		send: head("POST /a HTTP/1.1", "Transfer-Encoding: chunked") + "0a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
		want: passed("POST /a 01234567890123456789"),
	},
	{
		name: "chunked in capitals", source: "RFC 9112 7: names of codings are case-insensitive",
		send: head("POST /a HTTP/1.1", "Transfer-Encoding: CHUNKED") + "1\r\na\r\n0\r\n\r\n",
		want: anyOf(passed("POST /a a"), refused(400)),
	},
	{
		name: "keep-alive", source: "RFC 9112 9.3",
		send: head("GET /a HTTP/1.1") + head("GET /b HTTP/1.1") + head("GET /c HTTP/1.1"), replies: 3,
		want: all(passed("GET /a", "GET /b", "GET /c"), open),
	},
	{
		name: "a request after content", source: "RFC 9112 9.3.2",
		send: head("POST /a HTTP/1.1", "Content-Length: 5") + "hello" + next, replies: 2,
		want: all(passed("POST /a hello", "GET /next"), open),
	},
	{
		name: "a request after chunks", source: "RFC 9112 9.3.2",
		send: head("POST /a HTTP/1.1", "Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n" + next, replies: 2,
		want: all(passed("POST /a hello", "GET /next"), open),
	},
	{
		name: "close", source: "RFC 9112 9.6",
		send: head("GET /a HTTP/1.1", "Connection: close"),
		want: all(passed("GET /a"), closed),
	},
	{
		name: "HTTP 1.0", source: "RFC 9112 9.3",
		send: head("GET /a HTTP/1.0"),
		want: all(passed("GET /a"), closed),
	},
	{
		name: "an empty line before", source: "RFC 9112 2.2: SHOULD ignore at least one",
		send: "\r\n" + head("GET /a HTTP/1.1"),
		want: passed("GET /a"),
	},
	{
		name: "white space around a value", source: "RFC 9112 5.1",
		send: head("GET /a HTTP/1.1", "X-A: \t b c \t", "X-B:d", "X-C:"),
		want: all(passed("GET /a"), atOrigin("x-a", "b c"), atOrigin("x-b", "d"), atOrigin("x-c", "")),
	},
	{
		name: "bytes beyond ASCII in a value", source: "RFC 9110 5.5: obs-text",
		send: head("GET /a HTTP/1.1", "X-A: caf\xc3\xa9"),
		want: all(passed("GET /a"), atOrigin("x-a", "caf\xc3\xa9")),
	},
	{
		name: "many fields and a long cookie", source: "RFC 6265",
		send: head("GET /a HTTP/1.1", strings.Repeat("X-Field: value\r\n", 95)+"Cookie: a="+strings.Repeat("b", 8000)),
		want: passed("GET /a"),
	},
	{
		name: "a head of 30 KiB", source: "RFC 9110 5.4: no limit is given; the node's is 32 KiB",
		send: head("GET /a HTTP/1.1", "X-A: "+strings.Repeat("b", 30<<10)),
		want: passed("GET /a"),
	},
	{
		name: "half-closed", source: "RFC 9112 9.6: the client has no more to ask",
		send:  head("GET /a HTTP/1.1"),
		steps: []func(*h1client){func(h *h1client) { h.closeWrite() }},
		want:  anyOf(passed("GET /a"), dropped, all(closed, onlyWhole("GET /a"))),
	},
	{
		name: "a long target", source: "RFC 9110 4.1: at least 8000 octets",
		send: head("GET /a?" + strings.Repeat("b", 8000) + " HTTP/1.1"),
		want: passed("GET /a?" + strings.Repeat("b", 8000)),
	},
	{
		name: "expect", source: "RFC 9110 10.1.1",
		send:  head("POST /a HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"),
		steps: []func(*h1client){func(h *h1client) { h.awaitStatus(100); h.send("hello") }},
		want:  all(passed("POST /a hello"), open),
	},
	{
		name: "expect without waiting", source: "RFC 9110 10.1.1",
		send: head("POST /a HTTP/1.1", "Content-Length: 5", "Expect: 100-continue") + "hello" + next, replies: 2,
		want: passed("POST /a hello", "GET /next"),
	},
	{
		name: "host with a port", source: "RFC 9110 7.2",
		send: bare("GET /a HTTP/1.1", "Host: {host}:8443"),
		want: passed("GET /a"),
	},
	{
		name: "host in capitals", source: "RFC 3986 3.2.2",
		send: bare("GET /a{m} HTTP/1.1", "HOST: {host}"),
		want: answered(200),
	},
	{
		name: "absolute-form", source: "RFC 9112 3.2.2",
		send: head("GET http://{host}/a HTTP/1.1"),
		want: anyOf(passed("GET /a"), denied(400)),
	},
	{
		name: "a trailer field that may pass", source: "RFC 9110 6.5.1",
		send: head("POST /a HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: Content-Digest") + "1\r\na\r\n0\r\nContent-Digest: sha-256=:x:\r\n\r\n" + next, replies: 2,
		want: passed("POST /a a", "GET /next"),
	},
	{
		name: "authorization", source: "RFC 9110 11.6.2",
		send: head("GET /a HTTP/1.1", "Authorization: Basic eDp5"),
		want: all(passed("GET /a"), atOrigin("authorization", "Basic eDp5")),
	},
}
