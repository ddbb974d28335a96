package attack

import "strconv"

// post is a POST with these lines.
func post(lines ...string) string { return head("POST /a HTTP/1.1", lines...) }

// framingCases are about where the content of a request ends: the heart
// of request smuggling. hidden stands where one of two readers would see
// the next request.
var framingCases = []h1case{
	{
		name: "CL.TE", source: "RFC 9112 6.1; Kettle, HTTP Desync Attacks, 2019",
		send: post("Content-Length: "+length("0\r\n\r\n"+hidden), "Transfer-Encoding: chunked") + "0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "TE.CL", source: "RFC 9112 6.1; Kettle 2019",
		send: post("Transfer-Encoding: chunked", "Content-Length: 4") + chunk(hidden) + "0\r\n\r\n",
		want: refused(400),
	},
	{
		name: "both, agreeing", source: "RFC 9112 6.1: MUST close after; golang/go#65505",
		send: post("Content-Length: 11", "Transfer-Encoding: chunked") + "1\r\na\r\n0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "Content-Length 0 and chunked", source: "RFC 9112 6.1; Kettle 2019",
		send: post("Content-Length: 0", "Transfer-Encoding: chunked") + "1\r\na\r\n0\r\n\r\n",
		want: refused(400),
	},
	{
		name: "TE.TE, second coding unknown", source: "Kettle 2019",
		send: post("Transfer-Encoding: chunked", "Transfer-Encoding: x") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "TE.TE, first coding unknown", source: "RFC 9112 6.1",
		send: post("Transfer-Encoding: x", "Transfer-Encoding: chunked") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "TE.TE, chunked twice", source: "RFC 9112 6.1: MUST NOT apply chunked more than once",
		send: post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "chunked, chunked", source: "RFC 9112 6.1",
		send: post("Transfer-Encoding: chunked, chunked") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "chunked, identity", source: "RFC 9112 6.3: chunked must be last",
		send: post("Transfer-Encoding: chunked, identity") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "identity", source: "RFC 9112 7: identity is no coding",
		send: post("Transfer-Encoding: identity", "Content-Length: 5") + "hello" + hidden,
		want: refused(400, 501),
	},
	{
		name: "gzip, chunked", source: "RFC 9112 6.1",
		send: post("Transfer-Encoding: gzip, chunked") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "gzip alone", source: "RFC 9112 6.3: MUST respond with 400",
		send: post("Transfer-Encoding: gzip") + hidden,
		want: refused(400, 501),
	},
	{
		name: "xchunked", source: "Kettle 2019",
		send: post("Transfer-Encoding: xchunked") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "chunked with the Kelvin sign for a k", source: "Unicode folds U+212A to k; RFC 9110 5.6.2: a token is ASCII",
		send: post("Transfer-Encoding: chun\u212aed") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "chunked in quotes", source: "Kettle 2019",
		send: post(`Transfer-Encoding: "chunked"`) + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "chunked in apostrophes", source: "Kettle 2019",
		send: post(`Transfer-Encoding: 'chunked'`) + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "chunked with a parameter", source: "RFC 9112 7: none is defined",
		send: post("Transfer-Encoding: chunked;q=1") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "chunked after a comma", source: "Kettle 2019; RFC 9110 5.6.1",
		send: post("Transfer-Encoding: ,chunked") + "1\r\na\r\n0\r\n\r\n" + next, replies: 2,
		want: anyOf(refused(400, 501), passed("POST /a a", "GET /next")),
	},
	{
		name: "an empty coding", source: "Kettle 2019",
		send: post("Transfer-Encoding:", "Content-Length: 5") + "hello" + hidden,
		want: refused(400, 501),
	},
	{
		name: "vertical tab before chunked", source: "Kettle 2019",
		send: post("Transfer-Encoding: \x0bchunked") + "0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "form feed after chunked", source: "Kettle 2019",
		send: post("Transfer-Encoding: chunked\x0c") + "0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "NUL after chunked", source: "RFC 9110 5.5",
		send: post("Transfer-Encoding: chunked\x00") + "0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "a byte beyond ASCII after chunked", source: "Kettle 2019",
		send: post("Transfer-Encoding: chunked\xa0") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "space before the colon", source: "RFC 9112 5.1: MUST reject; Kettle 2019",
		send: post("Transfer-Encoding : chunked", "Content-Length: 5") + "0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "tab before the colon", source: "RFC 9112 5.1",
		send: post("Content-Length\t: "+length(hidden)) + hidden,
		want: refused(400),
	},
	{
		name: "space before the name", source: "RFC 9112 2.2",
		send: post("X-A: b", " Transfer-Encoding: chunked") + "0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "coding folded", source: "RFC 9112 5.2; Kettle 2019",
		send: post("Transfer-Encoding:\r\n chunked") + "0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "length folded", source: "RFC 9112 5.2",
		send: post("Content-Length:\r\n "+length(hidden)) + hidden,
		want: refused(400),
	},
	{
		name: "coding behind a bare LF", source: "RFC 9112 2.2; Kettle 2019",
		send: post("X-A: b\nTransfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "coding behind a bare CR", source: "RFC 9112 2.2",
		send: post("X-A: b\rTransfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n" + hidden,
		want: refused(400),
	},
	{
		name: "coding with an underscore", source: "servers behind CGI read a hyphen",
		send: post("Transfer_Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n" + next, replies: 2,
		want: anyOf(refused(400), all(passed("POST /a 0\r\n\r\n", "GET /next"), lacking("Transfer_Encoding"))),
	},
	{
		name: "length with an underscore", source: "servers behind CGI read a hyphen",
		send: post("Content_Length: 0", "Content-Length: 5") + "hello" + next, replies: 2,
		want: anyOf(refused(400), all(passed("POST /a hello", "GET /next"), lacking("Content_Length"))),
	},
	{
		name: "coding in HTTP 1.0", source: "RFC 9112 6.1: MUST treat as faulty; CVE-2026-2835",
		send: head("POST /a HTTP/1.0", "Transfer-Encoding: chunked") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "coding in HTTP 1.0 with keep-alive", source: "RFC 9112 6.1; CVE-2026-2835",
		send: head("POST /a HTTP/1.0", "Connection: keep-alive", "Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n" + hidden,
		want: refused(400, 501),
	},
	{
		name: "TE.0", source: "sw33tLie et al., TE.0, 2024",
		send: head("OPTIONS /a HTTP/1.1", "Transfer-Encoding: chunked") + chunk(hidden) + "0\r\n\r\n" + next, replies: 2,
		want: anyOf(refused(400), passed("OPTIONS /a "+hidden, "GET /next")),
	},
	{
		name: "CL.0 on GET", source: "Kettle, Browser-Powered Desync, 2022",
		send: head("GET /a HTTP/1.1", "Content-Length: "+length(hidden)) + hidden + next, replies: 2,
		want: anyOf(refused(400), passed("GET /a "+hidden, "GET /next"), passed("GET /a", "GET /next")),
	},
	{
		name: "CL.0 on HEAD", source: "Kettle 2022",
		send: head("HEAD /a HTTP/1.1", "Content-Length: "+length(hidden)) + hidden, head: true,
		want: anyOf(refused(400), answered(200)),
	},
	{
		name: "0.CL", source: "Kettle, HTTP/1.1 must die, 2025",
		send: head("GET /a HTTP/1.1", "Content-Length:", " "+length(hidden)) + hidden,
		want: refused(400),
	},
}

// length is the Content-Length of a text of which {host} and {m} are still
// to be filled in.
func length(text string) string { return strconv.Itoa(len(expanded(text))) }

// expanded fills a text in with a host of the usual length.
func expanded(text string) string { return texts(hostOf(0, false)).Replace(text) }

// chunk is a text as one chunk.
func chunk(text string) string {
	return strconv.FormatInt(int64(len(expanded(text))), 16) + "\r\n" + text + "\r\n"
}
