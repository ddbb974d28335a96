package attack

// lengthCases are about the value of Content-Length. RFC 9110, 8.6, allows
// digits and nothing else.
var lengthCases = []h1case{
	lengthCase("plus sign", "CVE-2018-7159", "+5"),
	lengthCase("minus sign", "RFC 9110 8.6", "-5"),
	lengthCase("minus zero", "RFC 9110 8.6", "-0"),
	lengthCase("hexadecimal", "RFC 9110 8.6", "0x5"),
	lengthCase("letters", "RFC 9110 8.6", "5abc"),
	lengthCase("fraction", "RFC 9110 8.6", "5.0"),
	lengthCase("exponent", "RFC 9110 8.6", "5e0"),
	lengthCase("underscore", "Go's ParseInt with base 0", "0_5"),
	lengthCase("inner space", "RFC 9110 8.6", "5 5"),
	lengthCase("different numbers", "RFC 9110 8.6: MUST reject", "5, 6"),
	lengthCase("parameter", "RFC 9110 8.6", "5;a=b"),
	lengthCase("quotes", "RFC 9110 8.6", `"5"`),
	lengthCase("empty", "CVE-2023-40225: HAProxy passed it on", ""),
	lengthCase("NUL", "RFC 9110 5.5", "5\x00"),
	lengthCase("vertical tab", "RFC 9110 5.5", "\x0b5"),
	lengthCase("fullwidth digit", "RFC 9110 8.6", "\xef\xbc\x95"),
	lengthCase("over 63 bits", "RFC 9110 8.6: anticipate large numerals", "9223372036854775808"),
	lengthCase("over 64 bits, wraps to 5", "CVE-2021-40346: HAProxy integer overflow", "18446744073709551621"),
	lengthCase("forty digits", "RFC 9110 8.6", "1111111111111111111111111111111111111111"),
	{
		name: "two lines, different", source: "RFC 9112 6.3: MUST respond with 400",
		send: post("Content-Length: 5", "Content-Length: 0") + "hello" + hidden,
		want: refused(400),
	},
	{
		name: "two lines, different in case", source: "RFC 9110 5.1: names are case-insensitive",
		send: post("Content-Length: 5", "content-lengtH: 6") + "hello" + hidden,
		want: refused(400),
	},
	{
		name: "two lines, alike", source: "RFC 9110 8.6: may be read as one",
		send: post("Content-Length: 5", "Content-Length: 5") + "hello" + next, replies: 2,
		want: anyOf(refused(400), passed("POST /a hello", "GET /next")),
	},
	{
		name: "a list of equal numbers", source: "RFC 9110 8.6: may be read as one",
		send: post("Content-Length: 5, 5") + "hello" + next, replies: 2,
		want: anyOf(refused(400), passed("POST /a hello", "GET /next")),
	},
	{
		name: "leading zeros", source: "RFC 9110 8.6: digits, read by some as octal",
		send: post("Content-Length: 011") + "hello world" + next, replies: 2,
		want: anyOf(refused(400), passed("POST /a hello world", "GET /next")),
	},
	{
		name: "no colon", source: "RFC 9112 5",
		send: post("Content-Length 5") + "hello" + hidden,
		want: refused(400),
	},
	{
		name: "named in Connection", source: "RFC 9110 7.6.1; CVE-2022-31813",
		send: post("Connection: content-length", "Content-Length: "+length(hidden)) + hidden + next, replies: 2,
		want: anyOf(refused(400), passed("POST /a "+hidden, "GET /next")),
	},
	{
		name: "coding named in Connection", source: "RFC 9110 7.6.1; CVE-2022-31813",
		send: post("Connection: transfer-encoding", "Transfer-Encoding: chunked") + chunk(hidden) + "0\r\n\r\n" + next, replies: 2,
		want: anyOf(refused(400), passed("POST /a "+hidden, "GET /next")),
	},
	{
		name: "more content than came", source: "RFC 9112 6.2",
		send: post("Content-Length: 100") + "hello", replies: 1,
		// The node waits for the rest to its limit, and then it cannot be
		// told what comes next.
		want: brokenOffLate,
	},
}

// lengthCase is a POST whose length no two readers need agree on.
func lengthCase(name, source, value string) h1case {
	return h1case{name: name, source: source, send: post("Content-Length: "+value) + "hello" + hidden, want: refused(400)}
}
