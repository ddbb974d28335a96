package origin

import (
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// sent returns the head that an origin gets for r, as lines.
func sent(t *testing.T, conf Config, r *exchange.Request) []string {
	t.Helper()
	s := answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	conf.Endpoints[0].URL = mustURL(t, s.url)
	mustFetch(t, start(t, conf), r)
	heads := s.heads()
	if len(heads) != 1 {
		t.Fatalf("%d requests at the origin", len(heads))
	}
	return strings.Split(strings.TrimSuffix(heads[0], "\r\n\r\n"), "\r\n")
}

func TestTargetIsExact(t *testing.T) {
	for _, target := range []string{
		"/", "/?", "/a?b=c", "/a%2Fb//c;d?x=%zz&&y", "/%7euser/%41", "/a/../b/./c", "/|{}^`\"<>", "/a?x=|{}^`\"<>",
		"/%", "/%zz", "/a?b?c", "/:80", "/http://other/", "//", "//other.example.com/a", "//a//b?c", "//a%2Fb;c",
		"/a?%", "/a=b&c", "/+", "/a+b?c+d", "/*", "/a?/../b",
	} {
		t.Run(target, func(t *testing.T) {
			if got, want := sent(t, config(t, "http://127.0.0.1"), get(target))[0], "GET "+target+" HTTP/1.1"; got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
		})
	}
}

// A path that net/url can only carry as part of an absolute URL.
func TestTargetInAbsoluteForm(t *testing.T) {
	for _, target := range []string{"//a|b", "//%zz"} {
		if got, want := sent(t, config(t, "http://127.0.0.1"), get(target))[0], "GET http://shop.example.com"+target+" HTTP/1.1"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
}

func TestAsteriskTarget(t *testing.T) {
	r := get("*")
	r.Method = "OPTIONS"
	if got := sent(t, config(t, "http://127.0.0.1"), r)[0]; got != "OPTIONS * HTTP/1.1" {
		t.Errorf("sent %q", got)
	}
}

func TestFieldsSent(t *testing.T) {
	r := get("/")
	r.Header = exchange.Header{
		{Name: "accept-encoding", Value: "br"},
		{Name: "cdn-loop", Value: "other"},
		{Name: "connection", Value: "close, x-secret, CDN-Loop"},
		{Name: "connection", Value: "X-Forwarded-For, via"},
		{Name: "cookie", Value: "a=b"},
		{Name: "cookie", Value: "c=d"},
		{Name: "early-data", Value: "1"},
		{Name: "expect", Value: "100-continue"},
		{Name: "forwarded", Value: "for=10.0.0.1"},
		{Name: "http2-settings", Value: "AAMAAABk"},
		{Name: "keep-alive", Value: "timeout=5"},
		{Name: "proxy-authorization", Value: "Basic eDp5"},
		{Name: "proxy-connection", Value: "keep-alive"},
		{Name: "te", Value: "gzip, trailers"},
		{Name: "trailer", Value: "x-t"},
		{Name: "upgrade", Value: "h2c"},
		{Name: "via", Value: "1.0 fred"},
		{Name: "x-a", Value: "1"},
		{Name: "x-a", Value: "2"},
		{Name: "x-forwarded-for", Value: "10.0.0.1"},
		{Name: "x-forwarded-host", Value: "evil.example"},
		{Name: "x-forwarded-port", Value: "1"},
		{Name: "x-forwarded-proto", Value: "gopher"},
		{Name: "x-original-url", Value: "/admin"},
		{Name: "x-real-ip", Value: "10.0.0.1"},
		{Name: "x-request-id", Value: "theirs"},
		{Name: "x-secret", Value: "s"},
	}
	got := sent(t, config(t, "http://127.0.0.1"), r)[1:]
	slices.Sort(got)
	want := []string{
		"Accept-Encoding: br",
		"Cdn-Loop: other, landfall",
		"Connection: TE",
		"Cookie: a=b; c=d",
		"Early-Data: 1",
		"Host: shop.example.com",
		"Te: trailers",
		"Via: 1.0 fred, 1.1 landfall",
		"X-A: 1",
		"X-A: 2",
		"X-Forwarded-For: 10.0.0.1, 192.0.2.7",
		"X-Forwarded-Host: shop.example.com",
		"X-Forwarded-Proto: https",
		"X-Real-Ip: 192.0.2.7",
		"X-Request-Id: req-1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
}

func TestIntroduction(t *testing.T) {
	conf := config(t, "http://127.0.0.1")
	conf.Endpoints[0].Host = "internal.example.net"
	conf.NodeID = "fra-1"
	conf.Forwarded = true
	r := get("/")
	r.Proto = exchange.HTTP3
	r.Host, r.Port = "2001:db8::80", "8443"
	r.Client = netip.MustParseAddrPort("[::ffff:192.0.2.7]:80")
	r.Header = exchange.Header{{Name: "forwarded", Value: `for="[2001:db8::1]"`}, {Name: "user-agent", Value: "x/1"}}
	got := sent(t, conf, r)[1:]
	slices.Sort(got)
	want := []string{
		"Cdn-Loop: landfall;node=fra-1",
		`Forwarded: for="[2001:db8::1]", for=192.0.2.7;host="[2001:db8::80]:8443";proto=https;by=_landfall-fra-1`,
		"Host: internal.example.net",
		"User-Agent: x/1",
		"Via: 3 landfall-fra-1",
		"X-Forwarded-For: 192.0.2.7",
		"X-Forwarded-Host: [2001:db8::80]:8443",
		"X-Forwarded-Proto: https",
		"X-Real-Ip: 192.0.2.7",
		"X-Request-Id: req-1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
}

func TestMalformedForwardedIsDropped(t *testing.T) {
	conf := config(t, "http://127.0.0.1")
	conf.Forwarded = true
	r := get("/")
	r.Client = netip.MustParseAddrPort("[2001:db8::7]:80")
	r.Header = exchange.Header{{Name: "forwarded", Value: `for="open`}}
	want := `Forwarded: for="[2001:db8::7]";host=shop.example.com;proto=https;by=_landfall`
	if got := sent(t, conf, r); !slices.Contains(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestBodyFraming(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		body   io.Reader
		length int64
		want   string // the framing field, "" for none
	}{
		"POST with a length":     {"POST", strings.NewReader("hello"), 5, "Content-Length: 5"},
		"POST without":           {"POST", strings.NewReader("hello"), -1, "Transfer-Encoding: chunked"},
		"POST without a body":    {"POST", nil, 0, "Content-Length: 0"},
		"GET with a length":      {"GET", strings.NewReader("hello"), 5, "Content-Length: 5"},
		"GET without a length":   {"GET", strings.NewReader("hello"), -1, "Transfer-Encoding: chunked"},
		"GET without a body":     {"GET", nil, 0, ""},
		"DELETE without a body":  {"DELETE", nil, 0, ""},
		"a method of one's own":  {"PURGE-ish", strings.NewReader("hello"), 5, "Content-Length: 5"},
		"empty body, length -1":  {"POST", strings.NewReader(""), -1, "Transfer-Encoding: chunked"},
		"body said to be empty":  {"PUT", strings.NewReader(""), 0, "Content-Length: 0"},
		"HEAD with body of zero": {"HEAD", strings.NewReader(""), 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := get("/")
			r.Method, r.Length = c.method, c.length
			if c.body != nil {
				r.Body = io.NopCloser(c.body)
			}
			r.Header = exchange.Header{{Name: "content-length", Value: "999"}, {Name: "transfer-encoding", Value: "x"}}
			got := ""
			for _, line := range sent(t, config(t, "http://127.0.0.1"), r) {
				if strings.HasPrefix(line, "Content-Length") || strings.HasPrefix(line, "Transfer-Encoding") {
					got += line
				}
			}
			if got != c.want {
				t.Errorf("framing %q, want %q", got, c.want)
			}
		})
	}
}

func TestRefusedBeforeAnyEndpoint(t *testing.T) {
	for name, change := range map[string]func(r *exchange.Request){
		"CONNECT": func(r *exchange.Request) { r.Method = "CONNECT" },
		"upgrade with a body": func(r *exchange.Request) {
			r.Upgrade, r.Body, r.Length = webSocket, io.NopCloser(strings.NewReader("x")), 1
		},
		"h2c":                   func(r *exchange.Request) { r.Upgrade = "H2C" },
		"target in other forms": func(r *exchange.Request) { r.Path = "http://x/" },
		"a field's name":        func(r *exchange.Request) { r.Header.Add("x y", "z") },
		"a field's value":       func(r *exchange.Request) { r.Header.Add("x", "a\r\nb: c") },
		"a method":              func(r *exchange.Request) { r.Method = "GET /" },
	} {
		t.Run(name, func(t *testing.T) {
			s := answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			r := get("/")
			change(r)
			_, _, err := fetch(t, start(t, config(t, s.url)), r)
			wantCause(t, err, exchange.HTTPRequestError)
			if n := len(s.heads()); n != 0 {
				t.Errorf("%d requests at the origin", n)
			}
		})
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("/a%2Fb//c;d", "?x=%zz&&y")
	f.Add("//a", "")
	f.Add("///", "?")
	f.Fuzz(func(t *testing.T, path, query string) {
		path = "/" + path
		if query != "" {
			query = "?" + query
		}
		for i := range len(path + query) {
			if c := (path + query)[i]; c <= ' ' || c >= 0x7f || c == '#' {
				return // admission refuses it
			}
		}
		if strings.Contains(path, "?") {
			return // a path ends before its query
		}
		u := targetURL(mustURL(t, "http://origin.example"), "shop.example.com", &exchange.Request{Path: path, Query: query})
		got := strings.TrimPrefix(u.RequestURI(), "http://shop.example.com")
		if got != path+query {
			t.Errorf("%q became %q", path+query, got)
		}
	})
}

// TestFieldsThatPose: a client cannot say for us who it is, or ask for
// another URL than its own.
func TestFieldsThatPose(t *testing.T) {
	for _, name := range []string{
		"x-forwarded-for", "x-real-ip", "true-client-ip", "cf-connecting-ip",
		"x-original-url", "x-rewrite-url", "x-original-uri", "proxy",
	} {
		if !ours(name) {
			t.Errorf("%s passes", name)
		}
	}
	for _, name := range []string{"accept", "cookie", "x-custom", "user-agent"} {
		if ours(name) {
			t.Errorf("%s does not pass", name)
		}
	}
}

// TestMethodOverride: a GET stays a GET behind us, as it is stored as one.
func TestMethodOverride(t *testing.T) {
	for method, passes := range map[string]bool{"GET": false, "HEAD": false, "POST": true} {
		r := get("/")
		r.Method = method
		r.Header.Add("x-http-method-override", "DELETE")
		lines := sent(t, config(t, "http://127.0.0.1"), r)
		if got := slices.Contains(lines, "X-Http-Method-Override: DELETE"); got != passes {
			t.Errorf("%s: passes %v, want %v", method, got, passes)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add(`for=192.0.2.1;host="a:1", for="[2001:db8::1]"`)
	f.Add(`for="a\"b"`)
	f.Add(`a=b,`)
	f.Fuzz(func(t *testing.T, v string) {
		if q := "x=" + quote(v); !wellFormedForwarded(q) {
			t.Errorf("quote(%q) gives %s, which is not well-formed", v, q)
		}
		if v == "" || !wellFormedForwarded(v) {
			return
		}
		// What is well-formed cannot swallow what is appended to it.
		if joined := appendTo(v, "for=unknown"); !wellFormedForwarded(joined) {
			t.Errorf("%q is well-formed, and with another element is not", v)
		}
		if strings.Count(strings.ReplaceAll(strings.ReplaceAll(v, `\\`, ""), `\"`, ""), `"`)%2 != 0 {
			t.Errorf("%q leaves a quote open", v)
		}
	})
}
