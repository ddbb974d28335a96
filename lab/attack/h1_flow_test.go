package attack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// flowCases are about requests that follow each other on a connection,
// about waiting for permission, and about sizes.
var flowCases = []h1case{
	{
		name: "fifty at once", source: "RFC 9112 9.3.2: in order",
		send: numbered(50), replies: 50,
		want: func(s *seen) error {
			if len(s.replies) != 50 {
				return fmt.Errorf("%d answers", len(s.replies))
			}
			for i, r := range s.replies {
				if want := fmt.Sprintf("saw GET /n%d ", i); !strings.HasPrefix(string(r.body), want) {
					return fmt.Errorf("answer %d is %.40q", i, r.body)
				}
			}
			return open(s)
		},
	},
	{
		name: "a bad one in the middle", source: "RFC 9112 2.2",
		send: head("GET /a HTTP/1.1") + head("GET /b HTTP/1.1", "X : y") + hidden, replies: 2,
		want: all(exactly("GET /a"), answered(200, 400), closed),
	},
	{
		name: "a stranger in the middle", source: "RFC 9110 15.5.20",
		send: head("GET /a HTTP/1.1") + bare("GET /{m} HTTP/1.1", "Host: evil.example") + next, replies: 3,
		want: anyOf(all(exactly("GET /a", "GET /next"), answered(200, 421, 200)), all(exactly("GET /a"), answered(200, 421), closed)),
	},
	{
		name: "behind a close", source: "RFC 9112 9.6: MUST NOT process further requests",
		send: head("GET /a HTTP/1.1", "Connection: close") + hidden,
		want: all(passed("GET /a"), closed),
	},
	{
		name: "behind HTTP 1.0", source: "RFC 9112 9.3",
		send: head("GET /a HTTP/1.0") + hidden,
		want: all(passed("GET /a"), closed),
	},
	{
		name: "content of a request that is refused", source: "CVE-2025-4366: content left unread",
		send: head("TRACE /a HTTP/1.1", "Content-Length: "+length(hidden)) + hidden + next, replies: 2,
		want: anyOf(refused(400, 405, 501), all(exactly("GET /next"), answered(405, 200))),
	},
	{
		name: "content for a stranger", source: "CVE-2025-4366",
		send: bare("POST /{m} HTTP/1.1", "Host: evil.example", "Content-Length: "+length(hidden)) + hidden,
		want: denied(400, 421),
	},
	{
		name: "much content for a stranger", source: "RFC 9112 9.6; CVE-2025-4366",
		send: bare("POST /{m} HTTP/1.1", "Host: evil.example", "Content-Length: 1000000") + strings.Repeat(hidden, 4000),
		want: refused(400, 421),
	},
	{
		name: "another expectation", source: "RFC 9110 10.1.1: MAY respond with 417",
		send: post("Content-Length: "+length(hidden), "Expect: 200-ok") + hidden + next, replies: 2,
		want: anyOf(refused(400, 417), all(exactly("GET /next"), answered(417, 200)), passed("POST /a "+hidden, "GET /next")),
	},
	{
		name: "an expectation on GET", source: "Kettle 2025, Expect desync",
		send: head("GET /a HTTP/1.1", "Expect: 100-continue") + next, replies: 2,
		want: anyOf(refused(400, 417), passed("GET /a", "GET /next")),
	},
	{
		name: "an obfuscated expectation", source: "Kettle 2025: Expect: y 100-continue",
		send: post("Content-Length: "+length(hidden), "Expect: y 100-continue") + hidden + next, replies: 2,
		want: anyOf(refused(400, 417), all(exactly("GET /next"), answered(417, 200)), all(passed("POST /a "+hidden, "GET /next"), atOrigin("expect", ""))),
	},
	{
		name: "two expectations", source: "Kettle 2025",
		send: post("Content-Length: "+length(hidden), "Expect: 100-continue", "Expect: 100-continue") + hidden + next, replies: 2,
		want: anyOf(refused(400, 417), all(exactly("GET /next"), answered(417, 200)), passed("POST /a "+hidden, "GET /next")),
	},
	{
		name: "an expectation in HTTP 1.0", source: "RFC 9110 10.1.1: MUST ignore",
		send: head("POST /a HTTP/1.0", "Content-Length: 5", "Expect: 100-continue") + "hello",
		want: all(passed("POST /a hello"), func(s *seen) error {
			if len(s.interim) > 0 {
				return fmt.Errorf("interim %v to HTTP/1.0", s.interim)
			}
			return nil
		}),
	},
	{
		name: "HEAD with an expectation and content", source: "Kettle 2025",
		send: head("HEAD /a HTTP/1.1", "Content-Length: "+length(hidden), "Expect: 100-continue") + hidden, head: true,
		want: anyOf(refused(400, 417), answered(200), denied(417)),
	},
	tooLarge("target of 20 KiB", "RFC 9112 3: 414", head("GET /"+strings.Repeat("a", 20<<10)+" HTTP/1.1"), 414),
	tooLarge("target of 1 MiB", "RFC 9112 3: 414", head("GET /"+strings.Repeat("a", 1<<20)+" HTTP/1.1"), 414, 431),
	tooLarge("method of 20 KiB", "RFC 9112 3", head(strings.Repeat("A", 20<<10)+" /a HTTP/1.1"), 400, 405, 414, 431, 501),
	tooLarge("a field of 64 KiB", "RFC 6585 5; CPDoS by oversize header", head("GET /a HTTP/1.1", "X-A: "+strings.Repeat("b", 64<<10)), 431),
	tooLarge("a name of 64 KiB", "RFC 6585 5", head("GET /a HTTP/1.1", strings.Repeat("X", 64<<10)+": b"), 431, 400),
	tooLarge("fields of 64 KiB together", "RFC 6585 5", head("GET /a HTTP/1.1", strings.TrimSuffix(strings.Repeat("X-A: "+strings.Repeat("b", 1000)+"\r\n", 64), "\r\n")), 431),
	tooLarge("two hundred fields", "HTTP/2 Bomb, 2026: count, not only bytes", head("GET /a HTTP/1.1", strings.TrimSuffix(strings.Repeat("X: y\r\n", 200), "\r\n")), 431),
	tooLarge("five thousand fields", "CVE-2026-49975", head("GET /a HTTP/1.1", strings.TrimSuffix(strings.Repeat("X: y\r\n", 5000), "\r\n")), 431),
	tooLarge("a line that does not end", "RFC 9112 3", "GET /"+strings.Repeat("a", 2<<20), 400, 414, 431),
	tooLarge("a head that does not end", "RFC 6585 5", bare("GET /a HTTP/1.1", "Host: {host}", strings.Repeat("X: y\r\n", 100000)+"X"), 431),
	{
		name: "a head that stops", source: "CVE-2007-6750",
		send: "GET /a HTTP/1.1\r\nHost: {host}\r\nX-A: ",
		want: anyOf(refused(408, 400), dropped),
	},
}

// tooLarge is a head over a limit. Who has read it to its end may go on
// behind it.
func tooLarge(name, source, text string, codes ...int) h1case {
	return h1case{
		name: name, source: source, send: text + next,
		want: anyOf(refused(codes...), dropped, func(s *seen) error {
			if len(s.replies) == 0 {
				return errors.New("no answer")
			}
			return all(exactly("GET /next"), answered(s.replies[0].status, 200), oneOf(codes...))(s)
		}),
	}
}

// oneOf: the first answer has one of these codes.
func oneOf(codes ...int) outcome {
	return func(s *seen) error {
		if !slices.Contains(codes, s.replies[0].status) {
			return fmt.Errorf("answers %v, want one of %v first", statuses(s), codes)
		}
		return nil
	}
}

// numbered is n requests in a row.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(head(fmt.Sprintf("GET /n%d HTTP/1.1", i)))
	}
	return b.String()
}
