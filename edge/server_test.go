package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// fillFunc is a scripted origin.
type fillFunc func(context.Context, *exchange.Request) (*exchange.Response, error)

func (f fillFunc) Fill(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	return f(ctx, r)
}

// answering is an origin that gives one body, to be stored.
func answering(body string, h ...exchange.Field) fillFunc {
	return func(context.Context, *exchange.Request) (*exchange.Response, error) {
		return &exchange.Response{
			Status: 200, Header: append(exchange.Header{{Name: "cache-control", Value: "max-age=60"}}, h...),
			Body: io.NopCloser(strings.NewReader(body)), Length: int64(len(body)),
		}, nil
	}
}

// client is an exchange.Writer that keeps what it gets.
type client struct {
	status  int
	header  exchange.Header
	length  int64
	body    bytes.Buffer
	trailer exchange.Header
	aborted bool
	fail    error // returned by Write
}

func (c *client) Interim(int, exchange.Header) error { return nil }
func (c *client) Head(status int, h exchange.Header, length int64) error {
	c.status, c.header, c.length = status, h.Clone(), length
	return nil
}

func (c *client) Write(p []byte) (int, error) {
	if c.fail != nil {
		return 0, c.fail
	}
	return c.body.Write(p)
}
func (c *client) Flush() error                    { return nil }
func (c *client) Trailer(h exchange.Header) error { c.trailer = h; return nil }
func (c *client) Abort()                          { c.aborted = true }
func (c *client) Tunnel(exchange.Header) (io.ReadWriteCloser, error) {
	return nil, errors.New("no tunnel here")
}

// under is a Server with two sites, and what it logs and counts.
type under struct {
	*Server
	access *records
	log    *observer.ObservedLogs
	reg    *prometheus.Registry
}

func serving(t testing.TB, shop, blog *site.Site) *under {
	t.Helper()
	u := &under{reg: prometheus.NewRegistry()}
	logCore, log := observer.New(zapcore.DebugLevel)
	u.access, u.log = &records{}, log
	counters := &limits.Counters{}
	store, err := cache.New(cache.Config{Memory: 16 << 20, Limits: limits.Default(), Log: zap.NewNop()}, counters, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); _ = store.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() { cancel(); <-ended })
	u.Server, err = New(Config{
		Limits: limits.Default(), Counters: counters, HTTPSPort: func() uint16 { return 8443 },
		Challenge: func(host, path string) (string, bool) {
			return "proof", host == "shop.example" && path == challengePath+"token"
		},
		Access: u.access, Log: zap.New(logCore), Pop: alone(t),
	}, store, u.reg)
	if err != nil {
		t.Fatal(err)
	}
	for name, st := range map[string]*site.Site{"shop": shop, "blog": blog} {
		st.Name, st.Cache.Site, st.Hostnames = name, name, []string{name + ".example"}
	}
	table, err := site.NewTable([]*site.Site{shop, blog}, "")
	if err != nil {
		t.Fatal(err)
	}
	u.Swap(table)
	return u
}

// ask sends one request and returns what the client got.
func (u *under) ask(change func(*exchange.Request)) *client {
	c := &client{}
	u.ServeExchange(context.Background(), c, requesting(change))
	return c
}

// requesting returns a request for the root of the shop, changed.
func requesting(change func(*exchange.Request)) *exchange.Request {
	r := &exchange.Request{
		Proto: exchange.HTTP2, Method: "GET", Scheme: "https", Host: "shop.example", Path: "/",
		TLS:     &exchange.TLS{ServerName: "shop.example", ALPN: "h2"},
		Client:  netip.MustParseAddrPort("192.0.2.1:1000"),
		Local:   netip.MustParseAddrPort("198.51.100.1:8443"),
		Arrived: time.Now(),
	}
	if change != nil {
		change(r)
	}
	return r
}

// record returns the last access record.
func (u *under) record(t *testing.T) map[string]any {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(u.access.String(), "\n"), "\n")
	var rec map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &rec); err != nil {
		t.Fatalf("access record: %v", err)
	}
	for name, v := range rec {
		if n, ok := v.(float64); ok && n == float64(int64(n)) {
			rec[name] = int64(n)
		}
	}
	return rec
}

func TestHitAfterMiss(t *testing.T) {
	u := serving(t, &site.Site{Origin: answering("hello", exchange.Field{Name: "alt-svc", Value: `h3=":1"`})}, &site.Site{})
	for _, want := range []string{"miss", "hit"} {
		c := u.ask(nil)
		if c.status != 200 || c.body.String() != "hello" || c.length != 5 || c.aborted {
			t.Fatalf("%s: %+v", want, c)
		}
		rec := u.record(t)
		if rec["outcome"] != want || rec["site"] != "shop" || rec["bytes_out"] != int64(5) || rec["id"] != c.header.Get("x-request-id") {
			t.Errorf("record %v", rec)
		}
		if want == "hit" && !strings.HasPrefix(c.header.Get("cache-status"), "landfall; hit; ttl=") {
			t.Errorf("cache-status %q", c.header.Get("cache-status"))
		}
		if n := len(c.header.Values("alt-svc")); n != 1 {
			t.Errorf("%d alt-svc fields: the origin's own names its ports, not ours", n)
		}
		if c.header.Get("via") != "1.1 landfall" || c.header.Get("alt-svc") != `h3=":8443"; ma=86400` {
			t.Errorf("fields %v", c.header)
		}
	}
	want := strings.NewReader("# HELP landfall_requests_total Requests by site and outcome.\n# TYPE landfall_requests_total counter\n")
	if err := testutil.GatherAndCompare(u.reg, want, "landfall_requests_total"); err == nil {
		t.Error("nothing was counted")
	}
	if n := testutil.ToFloat64(u.met.site("shop").requests[exchange.Hit]); n != 1 {
		t.Errorf("counted %v hits, want 1", n)
	}
}

func TestStoredResponsesAreCutAndConditional(t *testing.T) {
	u := serving(t, &site.Site{Origin: answering("0123456789", exchange.Field{Name: "etag", Value: `"v1"`})}, &site.Site{})
	for range 2 { // over a fill, then from the store
		c := u.ask(func(r *exchange.Request) { r.Header.Add("range", "bytes=0-3") })
		if c.status != 206 || c.body.String() != "0123" || c.header.Get("content-range") != "bytes 0-3/10" || c.length != 4 {
			t.Errorf("range: %d %q %v", c.status, c.body.String(), c.header)
		}
	}
	c := u.ask(func(r *exchange.Request) { r.Header.Add("if-none-match", `"v1"`) })
	if c.status != 304 || c.body.Len() != 0 || c.header.Get("etag") != `"v1"` {
		t.Errorf("condition: %d %q %v", c.status, c.body.String(), c.header)
	}
	c = u.ask(func(r *exchange.Request) { r.Header.Add("range", "bytes=99-") })
	if c.status != 416 || c.header.Get("content-range") != "bytes */10" {
		t.Errorf("range past the end: %d %v", c.status, c.header)
	}
	c = u.ask(func(r *exchange.Request) { r.Method = "HEAD" })
	if c.status != 200 || c.body.Len() != 0 || c.length != 10 {
		t.Errorf("HEAD: %d %q, length %d", c.status, c.body.String(), c.length)
	}
}

// TestRangeOfWhatIsReadOnce: of a response that is not stored only the
// beginning can be cut off; any other range gets all of it.
func TestRangeOfWhatIsReadOnce(t *testing.T) {
	u := serving(t, &site.Site{Origin: fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		return &exchange.Response{
			Status: 200, Header: exchange.Header{{Name: "cache-control", Value: "no-store"}},
			Body: io.NopCloser(strings.NewReader("0123456789")), Length: 10,
		}, nil
	})}, &site.Site{})
	for _, tc := range []struct {
		value, path, body string
		status            int
	}{
		{"bytes=0-3", "/a", "0123", 206},
		{"bytes=3-4", "/b", "0123456789", 200},
	} {
		c := u.ask(func(r *exchange.Request) { r.Path = tc.path; r.Header.Add("range", tc.value) })
		if c.status != tc.status || c.body.String() != tc.body {
			t.Errorf("%s: %d %q, want %d %q", tc.value, c.status, c.body.String(), tc.status, tc.body)
		}
	}
}

// TestClientThatLeavesEndsTheFill: the store must learn that the reader did
// not have what it wanted.
func TestClientThatLeavesEndsTheFill(t *testing.T) {
	ended := make(chan struct{})
	u := serving(t, &site.Site{Origin: fillFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
		r, w := io.Pipe()
		go func() {
			_, _ = w.Write([]byte("x"))
			<-ctx.Done()
			_ = w.CloseWithError(ctx.Err())
			close(ended)
		}()
		return &exchange.Response{Status: 200, Header: exchange.Header{{Name: "cache-control", Value: "max-age=60"}}, Body: r, Length: -1}, nil
	})}, &site.Site{})
	r := &exchange.Request{Method: "GET", Scheme: "https", Host: "shop.example", Path: "/", TLS: &exchange.TLS{ServerName: "shop.example"}, Arrived: time.Now()}
	u.ServeExchange(context.Background(), &client{fail: errors.New("broken pipe")}, r)
	<-ended
}

func TestSitesDoNotMix(t *testing.T) {
	u := serving(t, &site.Site{Origin: answering("shop")}, &site.Site{Origin: answering("blog")})
	for _, tc := range []struct {
		name, sni, host, reason string
		status                  int
	}{
		{"own", "blog.example", "blog.example", "", 200},
		{"another site's host", "shop.example", "blog.example", "misdirected", 421},
		{"no such host", "shop.example", "x.example", "unknown_site", 421},
		{"no SNI", "", "shop.example", "misdirected", 421},
	} {
		c := u.ask(func(r *exchange.Request) { r.Host, r.TLS = tc.host, &exchange.TLS{ServerName: tc.sni} })
		if c.status != tc.status {
			t.Errorf("%s: status %d, want %d", tc.name, c.status, tc.status)
		}
		if tc.reason != "" && u.record(t)["reason"] != tc.reason {
			t.Errorf("%s: record %v", tc.name, u.record(t))
		}
	}
}

func TestPlainHTTP(t *testing.T) {
	u := serving(t, &site.Site{Origin: answering("x")}, &site.Site{Origin: answering("blog"), ServePlain: true})
	plain := func(host, path string) func(*exchange.Request) {
		return func(r *exchange.Request) { r.Scheme, r.TLS, r.Host, r.Path, r.Query = "http", nil, host, path, "?q" }
	}
	if c := u.ask(plain("shop.example", "/a")); c.status != 308 || c.header.Get("location") != "https://shop.example:8443/a?q" {
		t.Errorf("redirect: %d %v", c.status, c.header)
	}
	if c := u.ask(plain("shop.example", challengePath+"token")); c.status != 200 || c.body.String() != "proof" {
		t.Errorf("challenge: %d %q", c.status, c.body.String())
	}
	if c := u.ask(plain("shop.example", challengePath+"other")); c.status != 308 {
		t.Errorf("challenge of no order: %d", c.status)
	}
	if c := u.ask(plain("blog.example", "/")); c.status != 200 || c.header.Has("alt-svc") {
		t.Errorf("site that serves plain HTTP: %d %v", c.status, c.header)
	}
}

func TestRules(t *testing.T) {
	compiler, err := site.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	when := func(expr string) *site.Condition {
		c, err := compiler.Compile(expr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	u := serving(t, &site.Site{Origin: answering("x"), Rules: []site.Rule{
		{Name: "broken", When: when(`request.headers["absent"] == "x"`), Bypass: true},
		{Name: "account", When: when(`request.path.startsWith("/account") || "sid" in request.cookies`), Bypass: true},
		{Name: "old", When: when(`request.path == "/old"`), Redirect: &site.Redirect{To: "https://new.example${path}${query}", Status: 301}},
	}}, &site.Site{})
	if c := u.ask(func(r *exchange.Request) { r.Path = "/account/1" }); !strings.Contains(c.header.Get("cache-status"), "fwd=bypass") {
		t.Errorf("cache-status %q", c.header.Get("cache-status"))
	}
	if c := u.ask(func(r *exchange.Request) { r.Header.Add("cookie", "a=b; sid=1") }); !strings.Contains(c.header.Get("cache-status"), "fwd=bypass") {
		t.Errorf("cache-status %q", c.header.Get("cache-status"))
	}
	if c := u.ask(func(r *exchange.Request) { r.Path, r.Query = "/old", "?a" }); c.status != 301 || c.header.Get("location") != "https://new.example/old?a" {
		t.Errorf("redirect: %d %v", c.status, c.header)
	}
	if c := u.ask(nil); strings.Contains(c.header.Get("cache-status"), "bypass") {
		t.Errorf("a rule that cannot be evaluated was met: %q", c.header.Get("cache-status"))
	}
	if n := testutil.ToFloat64(u.met.ruleErrors); n != 4 {
		t.Errorf("counted %v conditions that could not be evaluated, want 4", n)
	}
}

func TestFailures(t *testing.T) {
	failing := func(cause exchange.Cause) fillFunc {
		return func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return nil, &exchange.Error{Cause: cause, Endpoint: "10.0.0.1:80", Err: errors.New("why")}
		}
	}
	for _, tc := range []struct {
		cause  exchange.Cause
		status int
	}{
		{exchange.ConnectionRefused, 502},
		{exchange.ConnectionTimeout, 504},
		{exchange.HTTPResponseTimeout, 504},
		{exchange.ConnectionLimitReached, 503},
	} {
		u := serving(t, &site.Site{Origin: failing(tc.cause)}, &site.Site{})
		c := u.ask(nil)
		if c.status != tc.status || c.header.Get("proxy-status") != "landfall; error="+tc.cause.String() {
			t.Errorf("%v: %d %v", tc.cause, c.status, c.header)
		}
		if c.header.Get("cache-control") != "no-store" {
			t.Errorf("%v: a page of ours may be stored: %v", tc.cause, c.header)
		}
		if strings.Contains(c.body.String(), "10.0.0.1") || !strings.Contains(c.body.String(), c.header.Get("x-request-id")) {
			t.Errorf("%v: page %s", tc.cause, c.body.String())
		}
		if rec := u.record(t); rec["cause"] != tc.cause.String() || rec["endpoint"] != "10.0.0.1:80" || !strings.Contains(rec["detail"].(string), "why") {
			t.Errorf("%v: record %v", tc.cause, rec)
		}
	}
}

// cutBody gives some bytes and then breaks.
type cutBody struct{ r io.Reader }

func (b *cutBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = &exchange.Error{Cause: exchange.HTTPResponseIncomplete, Err: io.ErrUnexpectedEOF}
	}
	return n, err
}
func (b *cutBody) Close() error { return nil }

func TestCutResponseIsAbortedAndNotStored(t *testing.T) {
	var fills atomic.Int32
	u := serving(t, &site.Site{Origin: fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		fills.Add(1)
		return &exchange.Response{
			Status: 200, Header: exchange.Header{{Name: "cache-control", Value: "max-age=60"}},
			Body: &cutBody{strings.NewReader("half")}, Length: 8,
		}, nil
	})}, &site.Site{})
	// A request may still join the first fill as it ends; a later one fills
	// again.
	for range 1000 {
		if c := u.ask(nil); !c.aborted {
			t.Error("the client cannot tell that content is missing")
		}
		if rec := u.record(t); rec["outcome"] != "failed" || rec["cause"] != "http_response_incomplete" || rec["status"] != int64(200) {
			t.Errorf("record %v", rec)
		}
		if fills.Load() == 2 {
			return
		}
	}
	t.Errorf("%d fills", fills.Load())
}

func TestClientThatLeavesIsNoFailureOfTheOrigin(t *testing.T) {
	u := serving(t, &site.Site{Origin: answering("hello")}, &site.Site{})
	r := &exchange.Request{Method: "GET", Scheme: "https", Host: "shop.example", Path: "/", TLS: &exchange.TLS{ServerName: "shop.example"}, Arrived: time.Now()}
	c := &client{fail: errors.New("broken pipe")}
	u.ServeExchange(context.Background(), c, r)
	if rec := u.record(t); !c.aborted || rec["cause"] != "client_aborted" || rec["outcome"] != "miss" {
		t.Errorf("aborted %v, record %v", c.aborted, rec)
	}
}

// TestPanicCostsOneRequest: it is answered, counted and logged with its
// stack, and the next request is served.
func TestPanicCostsOneRequest(t *testing.T) {
	broken := true
	u := serving(t, &site.Site{Cache: cache.Policy{Bypass: true}, Origin: fillFunc(func(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
		if broken {
			panic("BUG: a test's own")
		}
		return answering("fine")(ctx, r)
	})}, &site.Site{})
	if c := u.ask(nil); c.status != http.StatusInternalServerError {
		t.Errorf("status %d", c.status)
	}
	if n := testutil.ToFloat64(u.met.panics); n != 1 {
		t.Errorf("counted %v", n)
	}
	logged := u.log.FilterMessage("panic while serving a request").All()
	if len(logged) != 1 || !strings.Contains(string(logged[0].ContextMap()["stack"].(string)), "server_test.go") {
		t.Errorf("logged %v", logged)
	}
	broken = false
	if c := u.ask(nil); c.status != 200 {
		t.Errorf("the next request: %d", c.status)
	}
}

func TestForgottenSitesLeaveTheMetrics(t *testing.T) {
	u := serving(t, &site.Site{Origin: answering("x")}, &site.Site{})
	u.ask(nil)
	empty, err := site.NewTable(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	u.Swap(empty)
	if n, err := testutil.GatherAndCount(u.reg, "landfall_response_bytes_total"); err != nil || n != 1 {
		t.Errorf("%d series, %v; want the one of no site", n, err)
	}
}

// TestRefusalOfTheFrontEnd: what a front end refuses is answered, recorded
// and counted like what admission refuses.
func TestRefusalOfTheFrontEnd(t *testing.T) {
	u := serving(t, &site.Site{Origin: answering("x")}, &site.Site{})
	c := u.ask(func(r *exchange.Request) { *r = exchange.Request{Arrived: r.Arrived, Refused: exchange.HeadTooLarge} })
	if c.status != 431 || u.record(t)["reason"] != "head_too_large" || u.conf.Counters.Hits(limits.RequestHead) != 1 {
		t.Errorf("%d, %v", c.status, u.record(t))
	}
}

// TestEarlyDataIsMarked: an origin learns that a request may be a replay
// (RFC 8470, 5.1).
func TestEarlyDataIsMarked(t *testing.T) {
	var got exchange.Header
	origin := answering("x")
	u := serving(t, &site.Site{Origin: fillFunc(func(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
		got = r.Header
		return origin(ctx, r)
	})}, &site.Site{})
	early := func(r *exchange.Request) { r.Early = true }
	if u.ask(early); got.Get("early-data") != "1" {
		t.Errorf("the origin got %v", got)
	}
	r := requesting(early)
	if u.Hit(r, &exchange.Stored{}); r.Header.Get("early-data") != "1" {
		t.Errorf("Hit sees %v", r.Header)
	}
}
