package origin

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Responses that no honest origin sends.
func TestHostileHeads(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		want exchange.Cause
	}{
		"length and chunks":        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", exchange.HTTPProtocolError},
		"chunks and length":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n", exchange.HTTPProtocolError},
		"two lengths":              {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", exchange.HTTPProtocolError},
		"list of lengths":          {"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", exchange.HTTPProtocolError},
		"signed length":            {"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", exchange.HTTPProtocolError},
		"negative length":          {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", exchange.HTTPProtocolError},
		"hexadecimal length":       {"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello", exchange.HTTPProtocolError},
		"empty length":             {"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello", exchange.HTTPProtocolError},
		"length too large":         {"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nhello", exchange.HTTPProtocolError},
		"two codings":              {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", exchange.HTTPProtocolError},
		"chunked twice":            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", exchange.HTTPProtocolError},
		"chunks in HTTP/1.0":       {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", exchange.HTTPProtocolError},
		"no field name":            {"HTTP/1.1 200 OK\r\n: x\r\n\r\n", exchange.HTTPProtocolError},
		"space in field name":      {"HTTP/1.1 200 OK\r\nX Y: x\r\n\r\n", exchange.HTTPProtocolError},
		"no colon":                 {"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", exchange.HTTPProtocolError},
		"carriage return in value": {"HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: c=d\r\n\r\n", exchange.HTTPProtocolError},
		"NUL in value":             {"HTTP/1.1 200 OK\r\nX-A: b\x00c\r\n\r\n", exchange.HTTPProtocolError},
		"continuation first":       {"HTTP/1.1 200 OK\r\n X-A: b\r\n\r\n", exchange.HTTPProtocolError},
		"two-digit status":         {"HTTP/1.1 20 OK\r\n\r\n", exchange.HTTPProtocolError},
		"four-digit status":        {"HTTP/1.1 2000 OK\r\n\r\n", exchange.HTTPProtocolError},
		"status below 100":         {"HTTP/1.1 099 OK\r\n\r\n", exchange.HTTPProtocolError},
		"signed status":            {"HTTP/1.1 +20 OK\r\n\r\n", exchange.HTTPProtocolError},
		"version":                  {"HTTP/2.0 200 OK\r\n\r\n", exchange.HTTPProtocolError},
		"another protocol":         {"SSH-2.0-OpenSSH_9.2p1\r\n", exchange.HTTPProtocolError},
		"HTTP/0.9":                 {"<html>hello</html>\n", exchange.HTTPProtocolError},
		"switch unasked":           {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", exchange.HTTPProtocolError},
		"nothing but a switch":     {"HTTP/1.1 101 Switching Protocols\r\n\r\n", exchange.HTTPProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			o := start(t, config(t, answer(t, c.raw).url))
			r := get("/")
			_, _, err := fetch(t, o, r)
			wantCause(t, err, c.want)
			if n := atOrigin(r); n != 0 {
				t.Errorf("%d requests still counted at the origin", n)
			}
		})
	}
}

func TestHostileBodies(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, raw := range map[string]string{
		"shorter than its length":  "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"no last chunk":            chunked + "5\r\nhello\r\n",
		"cut within a chunk":       chunked + "9\r\nhello",
		"cut within the trailer":   chunked + "5\r\nhello\r\n0\r\nX-A: b",
		"chunk size no number":     chunked + "5\r\nhello\r\nxyz\r\n",
		"chunk size empty":         chunked + "5\r\nhello\r\n\r\n",
		"chunk size overflows":     chunked + "5\r\nhello\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
		"chunk longer than said":   chunked + "5\r\nhelloworld\r\n0\r\n\r\n",
		"line feed after size":     chunked + "5\nhello\r\n0\r\n\r\n",
		"line feed in extension":   chunked + "5;a\nhello\r\n0\r\n\r\n",
		"return in extension":      chunked + "5;a\rb\r\nhello\r\n0\r\n\r\n",
		"line feed after data":     chunked + "5\r\nhello\n0\r\n\r\n",
		"line feed ends trailer":   chunked + "5\r\nhello\r\n0\r\n\n",
		"endless chunk extensions": chunked + strings.Repeat("1;"+strings.Repeat("x", 2000)+"\r\na\r\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, func(_ int, c *peer) {
				if _, err := c.head(); err == nil {
					c.say(raw)
				}
			})
			o := start(t, config(t, s.url))
			_, body, err := fetch(t, o, get("/"))
			wantCause(t, err, exchange.HTTPResponseIncomplete)
			if strings.Contains(body, "0\r\n") || strings.Contains(body, "world") {
				t.Errorf("body %q holds bytes that are none", body)
			}
		})
	}
}

// Bytes after a response are nobody's answer.
func TestExcessBytesPoisonNothing(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for name, c := range map[string]struct {
		method, raw, want string
	}{
		"after a length":            {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", "good"},
		"after chunks":              {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n", "good"},
		"after an empty body":       {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		"after a 204":               {"GET", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		"after a 204 with a length": {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n", ""},
		"after a 204 with chunks":   {"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		"after a 304":               {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n", ""},
		"after HEAD":                {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", ""},
		"after HEAD with chunks":    {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""},
		"line ends before it":       {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood\r\n\r\n", "good"},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, func(_ int, p *peer) {
				for {
					if _, err := p.head(); err != nil {
						return
					}
					p.say(c.raw + evil)
				}
			})
			o := start(t, config(t, s.url))
			for i := range 20 {
				r := get(fmt.Sprintf("/%d", i))
				r.Method = c.method
				if _, body := mustFetch(t, o, r); body != c.want {
					t.Fatalf("request %d: body %q, want %q", i, body, c.want)
				}
			}
			if n := len(s.heads()); n != 20 {
				t.Errorf("%d requests at the origin, want 20", n)
			}
		})
	}
}

// A whole response that comes while nothing is asked.
func TestUnsolicitedResponseEndsTheConnection(t *testing.T) {
	gone := make(chan struct{})
	s := script(t, func(n int, c *peer) {
		if _, err := c.head(); err != nil {
			return
		}
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
		if n == 0 {
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			c.ended()
			close(gone)
			return
		}
		c.ended()
	})
	o := start(t, config(t, s.url))
	mustFetch(t, o, get("/1"))
	<-gone
	if _, body := mustFetch(t, o, get("/2")); body != "good" {
		t.Errorf("body %q", body)
	}
}

func TestInterimFlood(t *testing.T) {
	s := script(t, func(_ int, c *peer) {
		if _, err := c.head(); err != nil {
			return
		}
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"); err != nil {
				return
			}
		}
	})
	o := start(t, config(t, s.url))
	r := get("/")
	passed := 0
	r.Interim = func(int, exchange.Header) { passed++ }
	_, _, err := fetch(t, o, r)
	wantCause(t, err, exchange.HTTPProtocolError)
	if want := limits.Default().ResponseInterim; passed != want {
		t.Errorf("%d passed, want %d", passed, want)
	}
	if o.counters.Hits(limits.ResponseInterim) != 1 {
		t.Error("the limit was not counted")
	}
}

func TestHugeHead(t *testing.T) {
	for name, line := range map[string]string{
		"many fields":     "X-A: b\r\n",
		"one long field":  strings.Repeat("x", 1000),
		"only line feeds": " \n",
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, func(_ int, c *peer) {
				if _, err := c.head(); err != nil {
					return
				}
				c.say("HTTP/1.1 200 OK\r\nX-First: ")
				for {
					if _, err := io.WriteString(c, line); err != nil {
						return
					}
				}
			})
			o := start(t, config(t, s.url))
			_, _, err := fetch(t, o, get("/"))
			wantCause(t, err, exchange.HTTPResponseHeadSize)
			if o.counters.Hits(limits.ResponseHead) != 1 {
				t.Error("the limit was not counted")
			}
		})
	}
}

// What Connection names goes, also beside "close", which net/http hides.
func TestConnectionNamedFields(t *testing.T) {
	for name, c := range map[string]string{
		"close first":  "Connection: close, X-Internal\r\n",
		"close last":   "Connection: X-Internal, close\r\n",
		"own line":     "Connection: close\r\nConnection: x-internal\r\n",
		"no close":     "Connection: X-Internal\r\n",
		"keep-alive":   "Connection: keep-alive, X-INTERNAL\r\n",
		"folded":       "Connection: close,\r\n X-Internal\r\n",
		"after fields": "X-Late: 1\r\nConnection: x-internal\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			o := start(t, config(t, answer(t, "HTTP/1.1 200 OK\r\nX-Internal: secret\r\n"+c+
				"Keep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nTrailer: X-T\r\n"+
				"X-Kept: yes\r\nContent-Length: 0\r\n\r\n").url))
			res, _ := mustFetch(t, o, get("/"))
			for _, name := range []string{"x-internal", "connection", "keep-alive", "upgrade", "proxy-authenticate", "trailer", "content-length"} {
				if res.Header.Has(name) {
					t.Errorf("%s passed", name)
				}
			}
			if res.Header.Get("x-kept") != "yes" {
				t.Errorf("x-kept is missing: %v", res.Header)
			}
		})
	}
}
