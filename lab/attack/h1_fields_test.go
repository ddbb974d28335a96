package attack

import (
	"fmt"
	"strings"
)

// fieldCases are about fields by which a client could pose as somebody,
// take away what an origin decides by, or reach another hop.
var fieldCases = []h1case{
	{
		name: "X-Forwarded-For", source: "the last one is the edge's word",
		send: head("GET /a HTTP/1.1", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7"),
		want: all(passed("GET /a"), func(s *seen) error {
			lines := s.requests[0].values("x-forwarded-for")
			if len(lines) != 1 || !strings.HasSuffix(lines[0], "127.0.0.1") {
				return fmt.Errorf("X-Forwarded-For %q", lines)
			}
			return nil
		}),
	},
	forged("X-Real-Ip", "6.6.6.6"),
	forged("X-Forwarded-Proto", "evil"),
	forged("X-Forwarded-Port", "6666"),
	forged("X-Forwarded-Server", "evil"),
	forged("X-Forwarded-Prefix", "/evil"),
	forged("X-Forwarded-Scheme", "evil"),
	forged("X-Forwarded", "for=6.6.6.6"),
	forged("Forwarded", "for=6.6.6.6"),
	forged("True-Client-Ip", "6.6.6.6"),
	forged("Cf-Connecting-Ip", "6.6.6.6"),
	forged("Fastly-Client-Ip", "6.6.6.6"),
	forged("X-Client-Ip", "6.6.6.6"),
	forged("X-Cluster-Client-Ip", "6.6.6.6"),
	forged("X-Original-Url", "/evil"),
	forged("X-Rewrite-Url", "/evil"),
	forged("X-Request-Id", "evil"),
	forged("Proxy", "http://evil.example"), // CVE-2016-5385
	forged("X_Forwarded_For", "6.6.6.6"),
	forged("X-Forwarded_For", "6.6.6.6"),
	forged("Proxy-Authorization", "Basic evil"),
	forged("Proxy-Connection", "evil"),
	forged("Keep-Alive", "timeout=666"),
	forged("Http2-Settings", "evil"),
	forged("X-Http-Method-Override", "EVIL"),
	forged("X-Method-Override", "EVIL"),
	{
		name: "TE passes on nothing but trailers", source: "RFC 9110 10.1.4",
		send: head("GET /a HTTP/1.1", "TE: gzip, trailers;q=0.5, evil", "Connection: te"),
		want: all(passed("GET /a"), lacking("evil"), lacking("gzip, ")),
	},
	{
		name: "Via is kept and continued", source: "RFC 9110 7.6.3",
		send: head("GET /a HTTP/1.1", "Via: 1.0 first"),
		want: all(passed("GET /a"), func(s *seen) error {
			if got := s.requests[0].value("via"); !strings.HasPrefix(got, "1.0 first, 1.1 ") {
				return fmt.Errorf("Via %q", got)
			}
			return nil
		}),
	},

	// What Connection names is hop-by-hop, but for what an origin decides
	// by (CVE-2022-31813; RFC 9110, 7.6.1).
	nominated("x-forwarded-for", func(got string) bool { return strings.HasSuffix(got, "127.0.0.1") }),
	nominated("x-real-ip", func(got string) bool { return got == "127.0.0.1" }),
	nominated("x-forwarded-host", func(got string) bool { return got != "" }),
	nominated("x-forwarded-proto", func(got string) bool { return got != "" }),
	nominated("host", func(got string) bool { return got != "" }),
	nominated("cdn-loop", func(got string) bool { return strings.Contains(got, "landfall") }),
	nominated("via", func(got string) bool { return strings.Contains(got, "landfall") }),
	{
		name: "Connection names a field of the client's own", source: "RFC 9110 7.6.1: MUST remove",
		send: head("GET /a HTTP/1.1", "X-Evil: b", "Connection: close, X-Evil"),
		want: all(passed("GET /a"), lacking("x-evil")),
	},
	{
		name: "Connection with an empty list", source: "RFC 9110 5.6.1",
		send: head("GET /a HTTP/1.1", "Connection: ,, ,"),
		want: anyOf(denied(400), passed("GET /a")),
	},
	{
		name: "a thousand options in Connection", source: "RFC 9110 7.6.1",
		send: head("GET /a HTTP/1.1", "Connection: "+strings.Repeat("a,", 1000)+"b"),
		want: anyOf(denied(400, 431), all(passed("GET /a"))),
	},

	{
		name: "a loop", source: "RFC 8586",
		send: head("GET /a HTTP/1.1", "CDN-Loop: landfall"),
		want: denied(508),
	},
	{
		name: "a loop through others", source: "RFC 8586",
		send: head("GET /a HTTP/1.1", "CDN-Loop: other", "CDN-Loop: more; a=b, landfall; node=x"),
		want: denied(508),
	},
	{
		name: "a loop in capitals", source: "RFC 8586",
		send: head("GET /a HTTP/1.1", "CDN-Loop: LandFall"),
		want: denied(508),
	},
	{
		name: "a loop that Connection would hide", source: "RFC 8586 2: MUST NOT be removed",
		send: head("GET /a HTTP/1.1", "Connection: cdn-loop", "CDN-Loop: landfall"),
		want: denied(508),
	},
	{
		name: "somebody else's loop field", source: "RFC 8586 2",
		send: head("GET /a HTTP/1.1", "CDN-Loop: landfallen, other; a=landfall"),
		want: all(passed("GET /a"), func(s *seen) error {
			if got := s.requests[0].value("cdn-loop"); !strings.HasPrefix(got, "landfallen, other") {
				return fmt.Errorf("CDN-Loop %q", got)
			}
			return nil
		}),
	},

	rangeCase("overlapping", "RangeAmp OBR, DSN 2020", strings.Repeat("0-,", 200)+"0-"),
	rangeCase("a thousand bytes one by one", "RFC 9110 14.2: many small ranges", manyRanges()),
	rangeCase("suffixes", "CVE-2011-3192", strings.Repeat("-1,", 200)+"-5"),
	rangeCase("beyond the end", "RFC 9110 14.1.2", "999999-"),
	rangeCase("backwards", "RFC 9110 14.1.1", "5-2"),
	rangeCase("overflow", "CVE-2017-7529", "-9223372036854775808,0-9223372036854775807"),
	rangeCase("sum overflows", "CVE-2017-7529", "0-,-9223372036854774000"),
	rangeCase("letters", "RFC 9110 14.1.1", "a-b"),
}

// forged is a field with a value that must not reach the origin.
func forged(name, value string) h1case {
	return h1case{
		name: "forged " + name, source: "only the edge knows who asks and for what",
		send: head("GET /a HTTP/1.1", name+": "+value, "Connection: keep-alive"),
		want: anyOf(denied(400), all(passed("GET /a"), lacking(": "+value))),
	}
}

// nominated is a request whose Connection names a field of the edge's
// own, which must be there all the same.
func nominated(name string, ok func(got string) bool) h1case {
	return h1case{
		name: "Connection names " + name, source: "CVE-2022-31813; RFC 9110 7.6.1",
		send: head("GET /a HTTP/1.1", "Connection: close, "+name),
		want: anyOf(denied(400), all(passed("GET /a"), func(s *seen) error {
			if got := s.requests[0].value(name); !ok(got) {
				return fmt.Errorf("the origin read %s %q", name, got)
			}
			return nil
		})),
	}
}

// rangeCase asks for ranges: the answer may not be much larger than what
// they are ranges of.
func rangeCase(name, source, ranges string) h1case {
	return h1case{
		name: "range " + name, source: source,
		send: head("GET /a HTTP/1.1", "Range: bytes="+ranges),
		want: func(s *seen) error {
			if len(s.replies) != 1 || !s.replies[0].whole {
				return fmt.Errorf("answers %v", statuses(s))
			}
			switch r := s.replies[0]; r.status {
			case 200, 206:
				if len(r.body) > 10<<10+4*len(ranges) {
					return fmt.Errorf("%d bytes of content", len(r.body))
				}
			case 400, 416, 431:
			default:
				return fmt.Errorf("status %d", r.status)
			}
			return nil
		},
	}
}

func manyRanges() string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "%d-%d,", 2*i, 2*i)
	}
	return b.String() + "0-0"
}
