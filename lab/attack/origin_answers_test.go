package attack

import (
	"fmt"
	"strings"
	"sync"
)

// injected is a response that no client asked for.
const injected = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nCache-Control: max-age=60\r\n\r\ninjected"

// answerCase is a case of what an origin answers. /a is asked for, then /a
// again, then /b: the origin answers the first time as it is told, and
// orderly from then on.
type answerCase struct {
	name, source string
	// answer is what the origin sends; end closes the connection after it.
	answer string
	end    bool
	method string // GET unless given
	first  outcome
	// again judges the second answer for /a; it must be the echo unless
	// the first was whole.
	again outcome
}

// answerCases are about responses: an origin is not trusted with other
// clients' responses.
var answerCases = []answerCase{
	badAnswer("length and coding", "RFC 9112 6.3; response smuggling", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+injected),
	badAnswer("two lengths", "RFC 9112 6.3: MUST discard", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello"+injected),
	badAnswer("length with a sign", "RFC 9110 8.6", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"+injected),
	badAnswer("negative length", "RFC 9110 8.6", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"+injected),
	badAnswer("unknown coding", "RFC 9112 6.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"+injected),
	badAnswer("gzip before chunked", "RFC 9112 6.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
	badAnswer("bare CR in a value", "RFC 9112 2.2", "HTTP/1.1 200 OK\r\nX-A: b\rX-Injected: injected\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("NUL in a value", "RFC 9110 5.5", "HTTP/1.1 200 OK\r\nX-A: inj\x00ected\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("no colon", "RFC 9112 5", "HTTP/1.1 200 OK\r\nX-A injected\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("space in a name", "RFC 9110 5.1", "HTTP/1.1 200 OK\r\nX A: injected\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("status of two digits", "RFC 9112 4", "HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("status of four digits", "RFC 9112 4", "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("status with a sign", "RFC 9112 4", "HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("status 99", "RFC 9110 15", "HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("another protocol", "RFC 9112 4", "ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("no head", "RFC 1945: HTTP/0.9", "injected\r\n\r\ninjected"),
	badAnswer("HTTP/2's first frame", "RFC 9113 3.4", "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80"),
	badAnswer("101 that nobody asked for", "RFC 9110 15.2.2", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\ninjected"),
	badAnswer("a head of 100 KiB", "CVE-2023-24534", "HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("b", 100<<10)+"\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("fifty thousand fields", "CVE-2023-24534", "HTTP/1.1 200 OK\r\n"+strings.Repeat("a:b\r\n", 50000)+"Content-Length: 5\r\n\r\nhello"),
	badAnswer("a head that does not end", "CVE-2023-24534", "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-A: b\r\n", 20000)),
	badAnswer("a thousand early hints", "measured on Go's ReverseProxy: 13 MB passed", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 1000)+"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
	badAnswer("early hints without an end", "measured on Go's ReverseProxy", strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-A: "+strings.Repeat("b", 1000)+"\r\n\r\n", 500)),
	badAnswer("nothing", "RFC 9110 15.6.3", " "),
	badAnswer("half a head", "RFC 9112 8", "HTTP/1.1 200 OK\r\nContent-Le"),

	cutAnswer("content shorter than its length", "RFC 9111 3.3: incomplete", "Content-Length: 100\r\n\r\nhello"),
	cutAnswer("chunks without an end", "RFC 9111 3.3", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
	cutAnswer("half a chunk", "RFC 9111 3.3", "Transfer-Encoding: chunked\r\n\r\n50\r\nhello"),
	cutAnswer("a chunk size with a sign", "RFC 9112 7.1", "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"),
	cutAnswer("a chunk size of letters", "RFC 9112 7.1", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n"),
	cutAnswer("no CRLF after a chunk", "RFC 9112 7.1", "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"),
	cutAnswer("a chunk size over 64 bits", "RFC 9112 7.1", "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"),

	wholeAnswer("more than its length", "response queue poisoning: Kettle 2021", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello"+injected, "", 200, "hello"),
	wholeAnswer("space before the colon of a length", "RFC 9112 5.1: MUST remove it", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"+injected, "", 200, "hello"),
	wholeAnswer("more than its chunks", "Kettle 2021", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"+injected, "", 200, "hello"),
	wholeAnswer("content with 204", "RFC 9110 15.3.5", "HTTP/1.1 204 No Content\r\n\r\n"+injected, "", 204, ""),
	wholeAnswer("length with 204", "RFC 9110 8.6", "HTTP/1.1 204 No Content\r\nContent-Length: "+fmt.Sprint(len(injected))+"\r\n\r\n"+injected, "", 204, ""),
	wholeAnswer("content with HEAD", "RFC 9110 9.3.2", "HTTP/1.1 200 OK\r\nContent-Length: "+fmt.Sprint(len(injected))+"\r\n\r\n"+injected, "HEAD", 200, ""),
	wholeAnswer("an error of its own", "RFC 9110 15.5", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "", 404, "no"),
	{
		name: "content with an unasked 304", source: "RFC 9110 15.4.5",
		answer: "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n" + injected,
		first:  anyOf(answered(502), answered(304), answered(200)),
	},
	{
		name: "a coding in 204", source: "RFC 9112 6.1: MUST NOT",
		answer: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" + injected,
		first:  anyOf(answered(502), answered(204)),
	},
	{
		name: "a folded field", source: "RFC 9112 5.2: MUST discard or replace",
		answer: "HTTP/1.1 200 OK\r\nX-A: b\r\n\tX-Injected: c\r\nContent-Length: 5\r\n\r\nhello",
		first: anyOf(answered(502), all(served(200, "hello"), func(s *seen) error {
			if got := s.replies[0].value("x-injected"); got != "" {
				return fmt.Errorf("a field out of a fold: %q", got)
			}
			return nil
		})),
		again: any200,
	},
	{
		name: "hop-by-hop fields", source: "RFC 9110 7.6.1; measured on Go's ReverseProxy",
		answer: "HTTP/1.1 200 OK\r\nConnection: close, X-Internal\r\nX-Internal: injected\r\nKeep-Alive: injected\r\nProxy-Authenticate: injected\r\n" +
			"Upgrade: injected\r\nTrailer: injected\r\nProxy-Connection: injected\r\nContent-Length: 5\r\n\r\nhello",
		first: served(200, "hello"), again: any200,
	},
	{
		name: "trailers", source: "RFC 9110 6.5.1",
		answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie, Content-Length, Location\r\n\r\n5\r\nhello\r\n0\r\n" +
			"Set-Cookie: a=injected\r\nContent-Length: 50\r\nLocation: /injected\r\nTransfer-Encoding: injected\r\n\r\n",
		first: anyOf(served(200, "hello"), cut), again: any200,
	},
	{
		name: "until the end of the connection", source: "RFC 9112 6.3: ordinary, of old servers",
		answer: "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", end: true,
		first: served(200, "hello"), again: any200,
	},
	{
		name: "no reason phrase", source: "RFC 9112 4: ordinary",
		answer: "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello",
		first:  served(200, "hello"), again: any200,
	},
	{
		name: "early hints", source: "RFC 8297: ordinary",
		answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		first:  served(200, "hello"), again: any200,
	},
	{
		name: "a continue that nobody waits for", source: "RFC 9110 15.2.1: MAY discard",
		answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		first:  served(200, "hello"), again: any200,
	},
}

// any200 is for what may have been stored.
var any200 = answered(200)

// badAnswer cannot be read in one way: the client gets an error of the
// edge, and nothing of it.
func badAnswer(name, source, text string) answerCase {
	return answerCase{name: name, source: source, answer: text, end: true, first: all(answered(502), func(s *seen) error {
		if len(s.interim) > 16 {
			return fmt.Errorf("%d interim responses", len(s.interim))
		}
		return nil
	})}
}

// cutAnswer ends before its end: the client can tell, and it is not kept.
func cutAnswer(name, source, rest string) answerCase {
	return answerCase{
		name: name, source: source, answer: "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" + rest, end: true,
		first: anyOf(cut, answered(502)),
	}
}

// wholeAnswer has an end that all see, and something behind it.
func wholeAnswer(name, source, text, method string, status int, body string) answerCase {
	return answerCase{name: name, source: source, answer: text, method: method, first: anyOf(served(status, body), answered(502)), again: anyOf(served(status, body), any200)}
}

// script answers the first request for /a as the case says. What it sends
// in the end goes out with the connection still open, so that a node that
// keeps it meets the rest.
func (c *answerCase) script() func(*request) answer {
	var asked sync.Map // by host: each run has one
	return func(r *request) answer {
		if _, again := asked.LoadOrStore(r.host, true); r.target == "/a" && !again {
			return answer{bytes: c.answer, end: c.end}
		}
		return answer{}
	}
}

// answerAttacks sends each case in every version.
func answerAttacks(cases []answerCase) (out []attack) {
	for _, c := range cases {
		for _, proto := range protocols {
			out = append(out, attack{
				name: "answers/" + c.name + "/" + proto, source: c.source, cached: true, answer: c.script(),
				send: func(n *node, host string) (*seen, error) { return c.run(n, host, proto) },
				want: func(s *seen) error { return c.judge(s) },
			})
		}
	}
	return out
}

// run asks three times, each on a connection of its own.
func (c *answerCase) run(n *node, host, proto string) (*seen, error) {
	var total *seen
	for _, path := range []string{"/a", "/a", "/b"} {
		method := "GET"
		if c.method != "" && path == "/a" {
			method = c.method
		}
		s, err := ask(n, host, proto, method, path)
		if err != nil {
			return nil, err
		}
		if total == nil {
			total = s
			continue
		}
		total.later = append(total.later, s)
	}
	return total, nil
}

func (c *answerCase) judge(s *seen) error {
	for _, later := range s.later {
		later.host = s.host
		if err := all(safe, unsaid("injected"))(later); err != nil {
			return fmt.Errorf("later: %w%v", err, later)
		}
	}
	again := c.again
	if again == nil {
		again = echoed
	}
	if err := all(unsaid("injected"), c.first)(s); err != nil {
		return err
	}
	if err := again(s.later[0]); err != nil {
		return fmt.Errorf("again: %w%v", err, s.later[0])
	}
	if err := echoed(s.later[1]); err != nil {
		return fmt.Errorf("then: %w%v", err, s.later[1])
	}
	return nil
}

// echoed: one whole answer, the origin's ordinary one.
func echoed(s *seen) error {
	if err := answered(200)(s); err != nil {
		return err
	}
	if body := string(s.replies[0].body); body != "" && !strings.HasPrefix(body, "saw GET ") {
		return fmt.Errorf("content %.100q", body)
	}
	return nil
}

// ask sends one request in a version of HTTP.
func ask(n *node, host, proto, method, path string) (*seen, error) {
	if proto == "h1" {
		c := h1case{send: head(method + " " + path + " HTTP/1.1"), head: method == "HEAD"}
		h, err := dialH1(n, host, true)
		if err != nil {
			return nil, err
		}
		return c.run(h), nil
	}
	return sendMessage(n, host, proto, &messageCase{fields: request2(method, path)})
}
