package attack

import "strings"

// lineCases are about the request line and the lines of fields: where a
// line ends, and what may stand in it.
var lineCases = []h1case{
	badHead("two spaces after the method", "RFC 9112 3", head("GET  /a HTTP/1.1")),
	badHead("two spaces before the version", "RFC 9112 3", head("GET /a  HTTP/1.1")),
	badHead("tabs for spaces", "RFC 9112 3", head("GET\t/a\tHTTP/1.1")),
	badHead("space before the method", "RFC 9112 3", head(" GET /a HTTP/1.1")),
	badHead("space after the version", "RFC 9112 3", head("GET /a HTTP/1.1 ")),
	badHead("a word after the version", "RFC 9112 3", head("GET /a HTTP/1.1 x")),
	badHead("space in the target", "RFC 9112 3.2: SHOULD respond with 400", head("GET /a b HTTP/1.1")),
	badHead("a request in the target", "RFC 9112 3.2", head("GET /a HTTP/1.1 /smuggled HTTP/1.1")),
	badHead("form feed for a space", "RFC 9112 3", head("GET\x0c/a HTTP/1.1")),
	badHead("bare CR in the request line", "RFC 9112 2.2", head("GET /a\r HTTP/1.1")),
	badHead("NUL in the target", "RFC 9112 3.2", head("GET /a\x00b HTTP/1.1")),
	badHead("NUL in the method", "RFC 9110 9.1", head("G\x00ET /a HTTP/1.1")),
	badHead("no method", "RFC 9112 3", head(" /a HTTP/1.1")),
	badHead("method with a bracket", "RFC 9110 5.6.2", head("G(T /a HTTP/1.1")),
	badHead("method with a colon", "RFC 9110 5.6.2", head("GET: /a HTTP/1.1")),
	badHead("bytes beyond ASCII in the method", "RFC 9110 5.6.2", head("G\xcbT /a HTTP/1.1")),
	badHead("lower-case version", "RFC 9112 2.3: case-sensitive", head("GET /a http/1.1")),
	badHead("version 2.0", "RFC 9110 2.5", head("GET /a HTTP/2.0")),
	badHead("version 1.1.1", "RFC 9112 2.3", head("GET /a HTTP/1.1.1")),
	badHead("version 1", "RFC 9112 2.3", head("GET /a HTTP/1")),
	badHead("version 01.1", "RFC 9112 2.3: one digit", head("GET /a HTTP/01.1")),
	badHead("version 1.10", "RFC 9112 2.3: one digit", head("GET /a HTTP/1.10")),
	badHead("version +1.1", "RFC 9112 2.3", head("GET /a HTTP/+1.1")),
	badHead("version with a comma", "RFC 9112 2.3", head("GET /a HTTP/1,1")),
	badHead("version 0.9", "RFC 9112 A", head("GET /a HTTP/0.9")),
	badHead("another protocol", "RFC 9112 2.3", head("GET /a ICAP/1.0")),
	badHead("no version", "RFC 1945 3.1: HTTP/0.9", "GET /a\r\n\r\n"),
	badHead("no version, with fields", "RFC 1945 3.1", head("GET /a")),
	{
		name: "version 1.2", source: "RFC 9110 2.5: as the highest minor version that is known",
		send: head("GET /a HTTP/1.2"),
		want: anyOf(refused(400, 505), passed("GET /a")),
	},
	{
		name: "method in lower case", source: "RFC 9110 9.1: another method",
		send: head("get /a HTTP/1.1"),
		want: anyOf(denied(400, 405, 501), passed("get /a")),
	},
	badHead("garbage", "RFC 9112 2.2", "\x01\x02\x03\x04\x05\x06\x07\x08\r\n\r\n"),
	badHead("another protocol's greeting", "RFC 4253 4.2", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
	badHead("a PROXY line nobody asked for", "HAProxy, PROXY protocol 2.1", "PROXY TCP4 6.6.6.6 127.0.0.1 1 2\r\n"+hidden),
	badHead("HTTP/2's preface", "RFC 9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
	badHead("a TLS ClientHello in clear", "RFC 8446 4.1.2", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n"),

	badHead("bare LF ends the request line", "RFC 9112 2.2; smuggling before proxies that do not take it", "GET /a HTTP/1.1\nHost: {host}\r\n\r\n"),
	badHead("bare LF ends a field", "RFC 9112 2.2", "GET /a HTTP/1.1\r\nHost: {host}\nX-A: b\r\n\r\n"),
	badHead("bare LF everywhere", "RFC 9112 2.2", "GET /a HTTP/1.1\nHost: {host}\n\n"),
	badHead("bare LF for the empty line", "RFC 9112 2.2", "GET /a HTTP/1.1\r\nHost: {host}\r\n\n"),
	badHead("bare CR within a value", "RFC 9112 2.2: invalid, or SP", head("GET /a HTTP/1.1", "X-A: b\rc")),
	badHead("CR CR LF", "RFC 9112 2.2", head("GET /a HTTP/1.1", "X-A: b\r")),
	badHead("a folded line", "RFC 9112 5.2: MUST reject or replace; refused here", head("GET /a HTTP/1.1", "X-A: b", " c")),
	badHead("a line folded with a tab", "RFC 9112 5.2", head("GET /a HTTP/1.1", "X-A: b", "\tc")),
	badHead("white space before the first field", "RFC 9112 2.2: MUST reject or skip", bare("GET /a HTTP/1.1", " X-A: b", "Host: {host}")),
	badHead("an empty folded line", "RFC 9112 5.2", head("GET /a HTTP/1.1", "X-A: b", " ")),
	badHead("space before the colon", "RFC 9112 5.1: MUST reject", head("GET /a HTTP/1.1", "X-A : b")),
	badHead("tab before the colon", "RFC 9112 5.1", head("GET /a HTTP/1.1", "X-A\t: b")),
	badHead("no colon", "RFC 9112 5", head("GET /a HTTP/1.1", "X-A b")),
	badHead("no name", "RFC 9112 5; CVE-2023-25725: HAProxy dropped what followed", head("GET /a HTTP/1.1", ": b", "X-C: d")),
	badHead("space in a name", "RFC 9110 5.1", head("GET /a HTTP/1.1", "X A: b")),
	badHead("quote in a name", "RFC 9110 5.1", head("GET /a HTTP/1.1", `X"A: b`)),
	badHead("slash in a name", "RFC 9110 5.1", head("GET /a HTTP/1.1", "X/A: b")),
	badHead("NUL in a name", "RFC 9110 5.1", head("GET /a HTTP/1.1", "X\x00A: b")),
	badHead("bytes beyond ASCII in a name", "RFC 9110 5.1", head("GET /a HTTP/1.1", "X\xe4A: b")),
	badHead("NUL in a value", "RFC 9110 5.5: invalid and dangerous", head("GET /a HTTP/1.1", "X-A: b\x00c")),
	badHead("escape in a value", "RFC 9110 5.5; CWE-117", head("GET /a HTTP/1.1", "X-A: \x1b[31m")),
	badHead("DEL in a value", "RFC 9110 5.5", head("GET /a HTTP/1.1", "X-A: b\x7f")),
	badHead("backspace in a value", "RFC 9110 5.5; CPDoS by metacharacter", head("GET /a HTTP/1.1", "X-A: b\x08")),
	{
		name: "a thousand empty lines before", source: "RFC 9112 2.2: at least one",
		send: strings.Repeat("\r\n", 1000) + head("GET /a HTTP/1.1"),
		want: anyOf(refused(400), dropped, passed("GET /a")),
	},
	{
		name: "a lone LF before", source: "RFC 9112 2.2",
		send: "\n" + head("GET /a HTTP/1.1"),
		want: anyOf(refused(400), dropped, passed("GET /a")),
	},
	{
		name: "an empty line after content", source: "RFC 9112 2.2: old clients send one",
		send: post("Content-Length: 5") + "hello\r\n" + next, replies: 2,
		want: anyOf(passed("POST /a hello", "GET /next"), all(exactly("POST /a hello"), answered(200, 400), closed)),
	},
}

// badHead is a head that is refused, and with it all that follows.
func badHead(name, source, text string) h1case {
	return h1case{name: name, source: source, send: text + hidden, want: anyOf(refused(400, 405, 501, 505), dropped)}
}
