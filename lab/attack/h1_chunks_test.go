package attack

import (
	"fmt"
	"strings"
)

// chunkCases are about the grammar of chunks (RFC 9112, 7.1) and of
// trailers (RFC 9110, 6.5).
var chunkCases = []h1case{
	chunkCase("minus", "RFC 9112 7.1", "-5\r\nhello\r\n0\r\n\r\n"),
	chunkCase("plus", "RFC 9112 7.1", "+5\r\nhello\r\n0\r\n\r\n"),
	chunkCase("0x", "RFC 9112 7.1: hexadecimal without prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
	chunkCase("underscore", "RFC 9112 7.1", "0_5\r\nhello\r\n0\r\n\r\n"),
	chunkCase("no digit", "RFC 9112 7.1", "\r\nhello\r\n0\r\n\r\n"),
	chunkCase("letter beyond f", "RFC 9112 7.1", "g\r\nhello\r\n0\r\n\r\n"),
	chunkCase("space before the size", "RFC 9112 7.1", " 5\r\nhello\r\n0\r\n\r\n"),
	chunkCase("vertical tab after the size", "RFC 9112 7.1", "5\x0b\r\nhello\r\n0\r\n\r\n"),
	chunkCase("NUL after the size", "RFC 9112 7.1", "5\x00\r\nhello\r\n0\r\n\r\n"),
	chunkCase("space within the size", "RFC 9112 7.1", "0 5\r\nhello\r\n0\r\n\r\n"),
	chunkCase("size over 64 bits, wraps to 5", "RFC 9112 7.1: anticipate large numerals", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
	chunkCase("size over 63 bits", "RFC 9112 7.1", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
	chunkCase("size over 32 bits, wraps to 5 there", "CVE-2013-2028", "100000005\r\nhello\r\n0\r\n\r\n"),
	chunkCase("forty zeros", "RFC 9112 7.1", strings.Repeat("0", 40)+"5\r\nhello\r\n0\r\n\r\n"),
	chunkCase("no CRLF after the data", "RFC 9112 7.1", "5\r\nhello0\r\n\r\n"),
	chunkCase("two other bytes after the data", "Funky chunks, 2025: two-byte terminators", "5\r\nhelloAB0\r\n\r\n"),
	chunkCase("more data than said", "Funky chunks, 2025: spill", "5\r\nhello world\r\n0\r\n\r\n"),
	chunkCase("bare LF after the size", "Funky chunks, 2025; CVE-2025-22871", "5\nhello\r\n0\r\n\r\n"),
	chunkCase("bare CR after the size", "Funky chunks, 2025", "5\rhello\r\n0\r\n\r\n"),
	chunkCase("bare LF after the data", "Funky chunks, 2025", "5\r\nhello\n0\r\n\r\n"),
	chunkCase("CR and no LF after the data", "Funky chunks, 2025", "5\r\nhello\rX0\r\n\r\n"),
	chunkCase("bare LF in an extension", "Funky chunks, 2025; CVE-2025-55315", "5;a\nhello\r\n0\r\n\r\n"),
	chunkCase("bare CR in an extension", "Funky chunks, 2025; CVE-2025-55315", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
	chunkCase("LF in a quoted extension", "Funky chunks, 2025", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
	chunkCase("NUL in an extension", "RFC 9112 7.1.1", "5;a=\x00\r\nhello\r\n0\r\n\r\n"),
	chunkCase("bare LF after the last size", "CVE-2025-22871", "5\r\nhello\r\n0\n\r\n"),
	chunkCase("bare LF at the very end", "Funky chunks, 2025", "5\r\nhello\r\n0\r\n\n"),
	chunkCase("bare CR at the very end", "Funky chunks, 2025", "5\r\nhello\r\n0\r\n\rX"),
	chunkCase("an extension of 40 KiB", "CVE-2023-39326", "5;"+strings.Repeat("a", 40<<10)+"\r\nhello\r\n0\r\n\r\n"),
	chunkCase("small chunks, large extensions", "CVE-2023-39326", strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 60)+"0\r\n\r\n"),
	chunkCase("a trailer line without a colon", "RFC 9112 7.1.2", "0\r\nsmuggled\r\n\r\n"),
	chunkCase("a trailer with a space before the colon", "RFC 9112 5.1", "0\r\nX-A : b\r\n\r\n"),
	chunkCase("a folded trailer", "RFC 9112 5.2", "0\r\nX-A: b\r\n c\r\n\r\n"),
	chunkCase("a bare LF in a trailer", "RFC 9112 2.2", "0\r\nX-A: b\nX-C: d\r\n\r\n"),
	chunkCase("NUL in a trailer", "RFC 9110 5.5", "0\r\nX-A: \x00\r\n\r\n"),
	chunkCase("trailers of 20 KiB", "RFC 9110 6.5.1", "0\r\nX-A: "+strings.Repeat("b", 20<<10)+"\r\n\r\n"),
	chunkCase("500 trailer lines", "RFC 9110 6.5.1", "0\r\n"+strings.Repeat("X-Aaaaaaaaaaaaaa: b\r\n", 500)+"\r\n"),
	{
		name: "extensions that are well formed", source: "RFC 9112 7.1.1: MUST ignore those not understood",
		send: post("Transfer-Encoding: chunked") + "5;a;b=c;d=\"e f\"\r\nhello\r\n0;z\r\n\r\n" + next, replies: 2,
		want: anyOf(brokenOff, all(passed("POST /a hello", "GET /next"), lacking("b=c"))),
	},
	{
		name: "white space around an extension", source: "RFC 9112 7.1.1: BWS",
		send: post("Transfer-Encoding: chunked") + "5 ; a\r\nhello\r\n0\r\n\r\n" + next, replies: 2,
		want: anyOf(brokenOff, passed("POST /a hello", "GET /next")),
	},
	{
		name: "space after the size", source: "RFC 9112 7.1; old senders pad with spaces",
		send: post("Transfer-Encoding: chunked") + "5  \r\nhello\r\n0\r\n\r\n" + next, replies: 2,
		want: anyOf(brokenOff, passed("POST /a hello", "GET /next")),
	},
	{
		name: "no end", source: "RFC 9112 7.1: incomplete when the zero-sized chunk is missing",
		send: post("Transfer-Encoding: chunked") + "5\r\nhello\r\n",
		want: brokenOffLate,
	},
	trailerCase("Content-Length", "0"),
	trailerCase("Transfer-Encoding", "chunked"),
	trailerCase("Host", "evil.example"),
	trailerCase("Authorization", "Basic evil"),
	trailerCase("Cookie", "a=evil"),
	trailerCase("X-Forwarded-For", "6.6.6.6"),
	trailerCase("X-Real-Ip", "6.6.6.6"),
	trailerCase("Connection", "evil"),
	trailerCase("Expect", "100-continue"),
	trailerCase("Content-Type", "text/evil"),
	trailerCase("Cdn-Loop", "evil"),
	trailerCase("X-Http-Method-Override", "evil"),
}

// chunkCase is content that two readers could end in two places.
func chunkCase(name, source, content string) h1case {
	return h1case{
		name: name, source: source, send: post("Transfer-Encoding: chunked") + content + hidden,
		want: brokenOff,
	}
}

// brokenOff: the fault is met while the request is on its way. A part of
// its content may have reached the origin; whole it must not be.
func brokenOff(s *seen) error {
	for _, r := range s.requests {
		if !r.cut {
			return fmt.Errorf("the origin was given a whole request: %s", r.line())
		}
	}
	if got := statuses(s); len(got) > 1 || len(got) == 1 && got[0] != 400 {
		return fmt.Errorf("answers %v, want 400 or none", got)
	}
	return closed(s)
}

// trailerCase puts a field into the trailer that means something in a
// head (RFC 9110, 6.5.1).
func trailerCase(name, value string) h1case {
	return h1case{
		name: name + " in the trailer", source: "RFC 9110 6.5.1",
		send: post("Transfer-Encoding: chunked", "Trailer: "+name) + "5\r\nhello\r\n0\r\n" + name + ": " + value + "\r\n\r\n" + next, replies: 2,
		want: anyOf(brokenOff, all(passed("POST /a hello", "GET /next"), func(s *seen) error {
			if got := s.requests[0].trailer; len(got) > 0 {
				return fmt.Errorf("the origin read the trailer %v", got)
			}
			return nil
		})),
	}
}

// brokenOffLate is brokenOff by a limit of time, whose status is another.
func brokenOffLate(s *seen) error {
	for _, r := range s.requests {
		if !r.cut {
			return fmt.Errorf("the origin was given a whole request: %s", r.line())
		}
	}
	if got := statuses(s); len(got) > 1 || len(got) == 1 && got[0] < 400 {
		return fmt.Errorf("answers %v, want an error or none", got)
	}
	return closed(s)
}
