package attack

import (
	"fmt"
	"strings"
)

// poisonCase is a request that may change what the next client gets: the
// origin's answer depends on it, and the cache must not take the one for
// the other.
type poisonCase struct {
	name, source string
	// evil is sent first, whole; a victim then asks for /a.
	evil string
	// answer is the origin's script; nil is the echo, which reflects all.
	answer func(*request) answer
}

var poisonCases = []poisonCase{
	unkeyed("X-Forwarded-Host"), unkeyed("X-Forwarded-Scheme"), unkeyed("X-Forwarded-Proto"), unkeyed("X-Forwarded-Port"),
	unkeyed("X-Forwarded-Prefix"), unkeyed("X-Forwarded-Server"), unkeyed("X-Forwarded-Path"), unkeyed("X-Host"),
	unkeyed("X-Original-Url"), unkeyed("X-Rewrite-Url"), unkeyed("X-Original-Host"), unkeyed("Forwarded"),
	unkeyed("X-Http-Method-Override"), unkeyed("X-Method-Override"), unkeyed("X-Http-Method"),
	unkeyed("True-Client-Ip"), unkeyed("Proxy"), unkeyed("X_Forwarded_Host"),
	{
		name: "fat GET", source: "Kettle, Web Cache Entanglement, 2020",
		evil: head("GET /a HTTP/1.1", "Content-Length: 6") + "a=evil",
	},
	{
		name: "fat GET in chunks", source: "Kettle 2020",
		evil: head("GET /a HTTP/1.1", "Transfer-Encoding: chunked") + "6\r\na=evil\r\n0\r\n\r\n",
	},
	{
		name: "HEAD for GET", source: "RFC 9111 4: no content out of a HEAD",
		evil: head("HEAD /a HTTP/1.1"),
	},
	{
		name: "POST for GET", source: "RFC 9111 2: keyed by method",
		evil: head("POST /a HTTP/1.1", "Content-Length: 4") + "evil",
	},
	{
		name: "another host's answer", source: "CVE-2026-2836: host is in the key",
		evil: bare("GET http://other{host}/a HTTP/1.1", "Host: {host}", "X-Evil: evil"),
	},
	{
		name: "CPDoS by oversize header", source: "Nguyen et al., CCS 2019: HHO",
		evil: head("GET /a HTTP/1.1", "X-Evil: evil"+strings.Repeat("b", 20<<10)), answer: refuseEvil(400),
	},
	{
		name: "CPDoS by metacharacter", source: "Nguyen et al., CCS 2019: HMC",
		evil: head("GET /a HTTP/1.1", "X-Evil: evil\x07"), answer: refuseEvil(400),
	},
	{
		name: "CPDoS by method override", source: "Nguyen et al., CCS 2019: HMO",
		evil: head("GET /a HTTP/1.1", "X-HTTP-Method-Override: evil"), answer: refuseEvil(405),
	},
	{
		name: "CPDoS by an expectation", source: "RFC 9110 10.1.1",
		evil: head("GET /a HTTP/1.1", "Expect: evil"), answer: refuseEvil(417),
	},
	{
		name: "CPDoS by a range", source: "RFC 9110 14.2: fills have no range of the client's",
		evil: head("GET /a HTTP/1.1", "Range: bytes=0-0"),
		answer: func(r *request) answer {
			if r.value("range") == "" {
				return answer{}
			}
			return answer{bytes: "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nevil"}
		},
	},
	{
		name: "CPDoS by a bad range", source: "RFC 9110 15.5.17",
		evil: head("GET /a HTTP/1.1", "Range: bytes=evil", "X-Evil: evil"), answer: refuseEvil(416),
	},
	{
		name: "CPDoS by a condition", source: "RFC 9110 13: fills have no condition of the client's",
		evil: head("GET /a HTTP/1.1", `If-Match: "evil"`), answer: refuseEvil(412),
	},
	{
		name: "CPDoS by an upgrade", source: "Nguyen et al., CCS 2019",
		evil: head("GET /a HTTP/1.1", "Connection: Upgrade", "Upgrade: evil"), answer: refuseEvil(400),
	},
	{
		name: "authorization", source: "RFC 9111 3.5",
		evil: head("GET /a HTTP/1.1", "Authorization: Basic evil"),
	},
	{
		name: "cookie set for one", source: "RFC 9111 7.3",
		evil: head("GET /a HTTP/1.1", "X-Evil: evil"),
		answer: func(r *request) answer {
			if r.value("x-evil") == "" {
				return answer{}
			}
			return answer{bytes: "HTTP/1.1 200 OK\r\nSet-Cookie: a=evil\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nevil"}
		},
	},
	{
		name: "an answer that varies", source: "RFC 9111 4.1",
		evil: head("GET /a HTTP/1.1", "X-Evil: evil"),
		answer: func(r *request) answer {
			a := echo(r)
			a.bytes = strings.Replace(a.bytes, "\r\n", "\r\nVary: X-Evil\r\n", 1)
			return a
		},
	},
	{
		name: "an answer that varies by all", source: "RFC 9111 4.1",
		evil: head("GET /a HTTP/1.1", "X-Evil: evil"),
		answer: func(r *request) answer {
			a := echo(r)
			a.bytes = strings.Replace(a.bytes, "\r\n", "\r\nVary: *\r\n", 1)
			return a
		},
	},
	{
		name: "a name for a style sheet", source: "Gil, Web Cache Deception, 2017: no caching by extension",
		evil: head("GET /a HTTP/1.1", "Cookie: a=evil"),
		answer: func(r *request) answer {
			a := echo(r)
			a.bytes = strings.Replace(a.bytes, "max-age=60", "private", 1)
			return a
		},
	},
	{
		name: "an encoded slash", source: "Kettle 2020; key and origin see one path",
		evil: head("GET /%61?evil HTTP/1.1"),
	},
	{
		name: "a parameter behind a semicolon", source: "Kettle 2020: parameter cloaking",
		evil: head("GET /a;evil HTTP/1.1"),
	},
	{
		name: "an escaped question mark", source: "Kettle 2020",
		evil: head("GET /a%3Fevil HTTP/1.1"),
	},
}

// unkeyed is a field that an origin may build its answer from and that is
// no part of the key.
func unkeyed(name string) poisonCase {
	return poisonCase{
		name: "unkeyed " + name, source: "Kettle, Practical Web Cache Poisoning, 2018",
		evil: head("GET /a HTTP/1.1", name+": evil"),
	}
}

// refuseEvil is an origin that refuses a hostile request with an answer
// that it does not say may be kept.
func refuseEvil(status int) func(*request) answer {
	return func(r *request) answer {
		if !strings.Contains(string(r.raw), "evil") {
			return answer{}
		}
		return answer{bytes: fmt.Sprintf("HTTP/1.1 %d No\r\nContent-Length: 4\r\n\r\nevil", status)}
	}
}

// poisonAttacks lets a victim of each version ask after the attacker.
func poisonAttacks(cases []poisonCase) (out []attack) {
	for _, c := range cases {
		for _, proto := range protocols {
			out = append(out, attack{
				name: "poison/" + c.name + "/" + proto, source: c.source, cached: true, answer: c.answer,
				send: func(n *node, host string) (*seen, error) {
					evil := h1case{send: c.evil, head: strings.HasPrefix(c.evil, "HEAD")}
					h, err := dialH1(n, host, true)
					if err != nil {
						return nil, err
					}
					s := evil.run(h)
					victim, err := ask(n, host, proto, "GET", "/a")
					if err != nil {
						return nil, err
					}
					s.later = append(s.later, victim)
					return s, nil
				},
				want: func(s *seen) error {
					victim := s.later[0]
					victim.host = s.host
					if err := all(safe, unsaid("evil"), echoed)(victim); err != nil {
						return fmt.Errorf("the victim: %w%v", err, victim)
					}
					if body := string(victim.replies[0].body); !strings.HasPrefix(body, "saw GET /a ") {
						return fmt.Errorf("the victim got %.100q", body)
					}
					return nil
				},
			})
		}
	}
	return out
}
