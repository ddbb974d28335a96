package attack

import (
	"fmt"
	"strings"
)

// noMore is an origin that has its answer before the content.
func noMore(r *request) answer {
	if r.method != "POST" {
		return answer{}
	}
	return answer{bytes: "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"}
}

// hangUp is one that ends the connection besides, with content unread.
func hangUp(r *request) answer {
	a := noMore(r)
	a.end = a.bytes != ""
	if a.end {
		a.bytes = strings.Replace(a.bytes, "\r\n", "\r\nConnection: close\r\n", 1)
	}
	return a
}

// earlyCases are about an answer that comes before the content was sent
// (CVE-2024-24791; Kettle 2022 and 2025): whoever keeps a connection on
// which content is still owed gives the next request's beginning away.
var earlyCases = []h1case{
	{
		name: "small content", source: "RFC 9112 9.5; CVE-2025-4366",
		send: post("Content-Length: "+length(hidden)) + hidden + next, replies: 2,
	},
	{
		name: "large content", source: "RFC 9112 9.5: MAY stop sending, then close",
		send: post("Content-Length: 400000") + strings.Repeat("a", 400000) + next, replies: 2,
	},
	{
		name: "content that never comes", source: "RFC 9112 9.6",
		send: post("Content-Length: 400000") + "aaa",
	},
	{
		name: "content that waits for permission", source: "CVE-2024-24791: Expect",
		send: post("Content-Length: "+length(hidden), "Expect: 100-continue"),
	},
	{
		name: "content after a refused permission", source: "CVE-2024-24791; RFC 9110 10.1.1",
		send:  post("Content-Length: "+length(hidden), "Expect: 100-continue"),
		steps: []func(*h1client){func(h *h1client) { h.awaitStatus(413); h.send(hidden + next) }}, replies: 2,
	},
	{
		name: "chunks", source: "RFC 9112 7.1",
		send: post("Transfer-Encoding: chunked") + strings.Repeat("1000\r\n"+strings.Repeat("a", 4096)+"\r\n", 100) + "0\r\n\r\n" + next, replies: 2,
	},
}

// earlyAttacks sends each case to an origin that keeps the connection, and
// to one that ends it, in clear and with TLS.
func earlyAttacks() (out []attack) {
	for _, origin := range []struct {
		name   string
		answer func(*request) answer
	}{{"kept", noMore}, {"ended", hangUp}} {
		cases := make([]h1case, len(earlyCases))
		for i, c := range earlyCases {
			c.want = refusedEarly
			cases[i] = c
		}
		for _, a := range h1Attacks("early/"+origin.name, cases, nil) {
			a.early = origin.answer
			out = append(out, a)
		}
	}
	return out
}

// refusedEarly: the first answer is the origin's, or the edge's that it
// got none; each request that reached the origin is itself, whole or cut;
// and what follows is the next request or the end.
func refusedEarly(s *seen) error {
	codes := statuses(s)
	if len(codes) > 0 && codes[0] != 413 && codes[0] != 502 && codes[0] != 408 {
		return fmt.Errorf("answers %v", codes)
	}
	if len(codes) < 2 && !s.ended {
		// A client may still be waited for that owes content: it must not
		// be forgotten, or its content would be the next request.
		return fmt.Errorf("answers %v, and the connection is open with content owed", codes)
	}
	if len(codes) > 2 || len(codes) == 2 && codes[1] != 200 {
		return fmt.Errorf("answers %v", codes)
	}
	for _, r := range s.requests {
		switch {
		case r.method == "GET" && r.target == "/next" && !r.cut && len(r.body) == 0:
		case r.method == "POST" && r.target == "/a":
			if !r.cut && strings.Contains(string(r.body), "/next") {
				return fmt.Errorf("the next request went as content: %.200q", r.body)
			}
		default:
			return fmt.Errorf("the origin read %.200q", r.line())
		}
	}
	return nil
}
