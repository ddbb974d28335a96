package edge

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// body returns the content of a hit.
func body(c exchange.Content) string {
	var b strings.Builder
	for c != nil {
		run := c.From(int64(b.Len()))
		if run == nil {
			break
		}
		b.Write(run)
	}
	return b.String()
}

// TestHitIsWhatServeExchangeAnswers: both ways of a request that is in
// memory give one answer, one record and the same counts.
func TestHitIsWhatServeExchangeAnswers(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		t.Run(method, func(t *testing.T) {
			u := serving(t, &site.Site{Origin: answering("hello",
				exchange.Field{Name: "alt-svc", Value: "h3"}, exchange.Field{Name: "x-request-id", Value: "the origin's"})}, &site.Site{})
			u.ask(nil)
			change := func(r *exchange.Request) { r.Method = method }
			slow := u.ask(change)
			slowRecord := u.record(t)
			var h exchange.Stored
			r := requesting(change)
			if !u.Hit(r, &h) {
				t.Fatal("no hit")
			}
			got := append(h.Head.Header.Clone(), h.Own...)
			content := body(h.Content)
			u.Sent(r, &h, int64(len(content)), exchange.NoCause)
			record := u.record(t)
			if h.Head.Status != slow.status || h.Head.Length != slow.length || content != slow.body.String() {
				t.Errorf("%d, %d bytes, %q; ServeExchange: %+v", h.Head.Status, h.Head.Length, content, slow)
			}
			compareFields(t, got, slow.header)
			for name, v := range slowRecord {
				if !strings.HasSuffix(name, "_ms") && name != "time" && name != "id" && record[name] != v {
					t.Errorf("record has %s %v, ServeExchange's %v", name, record[name], v)
				}
			}
			if len(record) != len(slowRecord) || record["id"] != got.Get("x-request-id") {
				t.Errorf("record %v", record)
			}
			if n := testutil.ToFloat64(u.met.site("shop").requests[exchange.Hit]); n != 2 {
				t.Errorf("%v hits counted, want 2", n)
			}
		})
	}
}

func compareFields(t *testing.T, got, want exchange.Header) {
	t.Helper()
	byName := func(a, b exchange.Field) int { return cmp.Compare(a.Name, b.Name) }
	got, want = got.Clone(), want.Clone()
	for _, h := range []exchange.Header{got, want} {
		for i := range h {
			if h[i].Name == "x-request-id" {
				h[i].Value = "any"
			}
		}
	}
	slices.SortStableFunc(got, byName)
	slices.SortStableFunc(want, byName)
	if !slices.Equal(got, want) {
		t.Errorf("fields\n%v\nServeExchange's\n%v", got, want)
	}
}

// TestNotAHit: what needs more than a look is left alone, and leaves no
// trace.
func TestNotAHit(t *testing.T) {
	compiler, err := site.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	always, err := compiler.Compile("true")
	if err != nil {
		t.Fatal(err)
	}
	shop := &site.Site{Origin: answering("hello"), ServePlain: true}
	ruled := &site.Site{Origin: answering("hello"), Rules: []site.Rule{{When: always, Bypass: true}}}
	u := serving(t, shop, ruled)
	u.ask(nil)
	u.access.Reset()
	field := func(name, value string) func(*exchange.Request) {
		return func(r *exchange.Request) { r.Header.Add(name, value) }
	}
	for name, change := range map[string]func(*exchange.Request){
		"not stored":      func(r *exchange.Request) { r.Path = "/other" },
		"stale":           func(r *exchange.Request) { r.Arrived = r.Arrived.Add(time.Hour) },
		"range":           field("range", "bytes=0-0"),
		"condition":       field("if-none-match", `"a"`),
		"not admitted":    func(r *exchange.Request) { r.Path = "/../x" },
		"refused":         func(r *exchange.Request) { r.Refused = exchange.BadRequest },
		"loop":            field("cdn-loop", "landfall"),
		"no site":         func(r *exchange.Request) { r.Host = "nobody.example" },
		"rules":           func(r *exchange.Request) { r.Host, r.TLS.ServerName = "blog.example", "blog.example" },
		"other site":      func(r *exchange.Request) { r.Host = "blog.example" },
		"method":          func(r *exchange.Request) { r.Method = "POST" },
		"upgrade":         func(r *exchange.Request) { r.Upgrade = "websocket" },
		"content":         func(r *exchange.Request) { r.Body = io.NopCloser(strings.NewReader("x")) },
		"IPv6 literal":    func(r *exchange.Request) { r.Host = "[2001:db8::1]" },
		"plain challenge": func(r *exchange.Request) { r.TLS, r.Scheme, r.Path = nil, "http", challengePath+"token" },
	} {
		var h exchange.Stored
		if u.Hit(requesting(change), &h) {
			t.Errorf("%s: a hit", name)
		}
	}
	if u.access.Len() > 0 || testutil.ToFloat64(u.met.loops) != 0 || u.conf.Counters.Hits(limits.RequestURI) != 0 {
		t.Errorf("a trace is left: %s", u.access)
	}
}

// TestFirstByteOfALargeHit: its last byte leaves later.
func TestFirstByteOfALargeHit(t *testing.T) {
	for length, at := range map[int]bool{sentAtOnce: true, sentAtOnce + 1: false} {
		u := serving(t, &site.Site{Origin: answering(strings.Repeat("x", length))}, &site.Site{})
		u.ask(nil)
		var h exchange.Stored
		if !u.Hit(requesting(nil), &h) || (h.FirstByte == atOnce) != at {
			t.Errorf("%d bytes: first byte after %v", length, h.FirstByte)
		}
	}
}

// browser is a request as a browser sends it, with borrowed strings where
// a front end borrows.
func browser() *exchange.Request {
	return requesting(func(r *exchange.Request) {
		for _, f := range []exchange.Field{
			{Name: "sec-ch-ua", Value: `"Chromium";v="140", "Not=A?Brand";v="24"`},
			{Name: "sec-ch-ua-mobile", Value: "?0"},
			{Name: "upgrade-insecure-requests", Value: "1"},
			{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
			{Name: "accept", Value: "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
			{Name: "sec-fetch-site", Value: "none"},
			{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
			{Name: "accept-language", Value: "en-GB,en;q=0.9"},
			{Name: "cookie", Value: "session=0123456789abcdef"},
			{Name: "priority", Value: "u=0, i"},
		} {
			r.Header = append(r.Header, f)
		}
		r.Path, r.TLS.Version = "/styles/site.css", tls.VersionTLS13
	})
}

// stored returns a server that has what the request asks for.
func stored(t testing.TB) (*under, *exchange.Request) {
	u := serving(t, &site.Site{
		Origin: answering(strings.Repeat("x", 1024), exchange.Field{Name: "vary", Value: "accept-encoding"}),
		Cache:  cache.Policy{},
	}, &site.Site{})
	r := browser()
	u.ServeExchange(context.Background(), &client{}, r.Clone())
	u.conf.Access = io.Discard
	return u, r
}

func hit(t testing.TB, u *under, r *exchange.Request, h *exchange.Stored) {
	if !u.Hit(r, h) {
		t.Fatal("no hit")
	}
	h.Content.Release()
	u.Sent(r, h, 1024, exchange.NoCause)
}

// BenchmarkHit is the path of a hit without a front end, from admission to
// access record.
func BenchmarkHit(b *testing.B) {
	u, r := stored(b)
	fields := slices.Clone(r.Header)
	var h exchange.Stored
	b.ReportAllocs()
	for b.Loop() {
		r.Header = append(r.Header[:0], fields...)
		hit(b, u, r, &h)
	}
}

// BenchmarkServeExchange is the same by the long way.
func BenchmarkServeExchange(b *testing.B) {
	u, r := stored(b)
	b.ReportAllocs()
	for b.Loop() {
		c, x := client{}, *r
		u.ServeExchange(context.Background(), &c, &x)
	}
}
