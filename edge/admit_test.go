package edge

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

func admitting(t *testing.T, change func(*limits.Limits)) (*Server, *limits.Counters) {
	t.Helper()
	lim, counters := limits.Default(), &limits.Counters{}
	if change != nil {
		change(&lim)
	}
	s, err := New(Config{Limits: lim, Counters: counters, Log: zap.NewNop()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, counters
}

func request(change func(*exchange.Request)) *exchange.Request {
	r := &exchange.Request{Method: "GET", Scheme: "https", Host: "shop.example", Path: "/"}
	if change != nil {
		change(r)
	}
	return r
}

func TestAdmit(t *testing.T) {
	s, _ := admitting(t, nil)
	for _, tc := range []struct {
		name   string
		change func(*exchange.Request)
		want   reason
	}{
		{"ordinary", nil, admitted},
		{"options of all", func(r *exchange.Request) { r.Method, r.Path = "OPTIONS", "*" }, admitted},
		{"extension method", func(r *exchange.Request) { r.Method = "M-SEARCH" }, admitted},
		{"half-written encoding in a query", func(r *exchange.Request) { r.Query = "?50%" }, admitted},
		{"half-written encoding", func(r *exchange.Request) { r.Path = "/50%" }, badTarget},
		{"dot segment", func(r *exchange.Request) { r.Path = "/a/../b" }, badTarget},
		{"encoded dot segment", func(r *exchange.Request) { r.Path = "/a/%2e%2e%2fb" }, badTarget},
		{"purge", func(r *exchange.Request) { r.Method = "PURGE" }, badMethod},
		{"connect", func(r *exchange.Request) { r.Method = "CONNECT" }, badMethod},
		{"trace", func(r *exchange.Request) { r.Method = "TRACE" }, badMethod},
		{"method with space", func(r *exchange.Request) { r.Method = "GET /" }, badMethod},
		{"no path", func(r *exchange.Request) { r.Path = "" }, badTarget},
		{"relative path", func(r *exchange.Request) { r.Path = "a" }, badTarget},
		{"get of all", func(r *exchange.Request) { r.Path = "*" }, badTarget},
		{"line break in path", func(r *exchange.Request) { r.Path = "/a\r\nX: y" }, badTarget},
		{"NUL in query", func(r *exchange.Request) { r.Query = "?a=\x00" }, badTarget},
		{"space in path", func(r *exchange.Request) { r.Path = "/a b" }, badTarget},
		{"fragment", func(r *exchange.Request) { r.Path = "/a#b" }, badTarget},
		{"backslash", func(r *exchange.Request) { r.Path = `/a\..\b` }, badTarget},
		{"eight-bit path", func(r *exchange.Request) { r.Path = "/\xff" }, badTarget},
		{"no host", func(r *exchange.Request) { r.Host = "" }, badHost},
		{"userinfo", func(r *exchange.Request) { r.Host = "a@shop.example" }, badHost},
		{"host with slash", func(r *exchange.Request) { r.Host = "shop.example/x" }, badHost},
		{"odd port", func(r *exchange.Request) { r.Port = "80a" }, badHost},
		{"long port", func(r *exchange.Request) { r.Port = "443443" }, badHost},
		{"loop", func(r *exchange.Request) { r.Header.Add("cdn-loop", `other, Landfall; hops="2"`) }, loop},
		{"somebody else's loop", func(r *exchange.Request) { r.Header.Add("cdn-loop", "landfaller") }, admitted},
		{"control in a field", func(r *exchange.Request) { r.Header.Add("x-a", "a\x01") }, badField},
		{"space in a name", func(r *exchange.Request) { r.Header.Add("x a", "a") }, badField},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := s.admit(request(tc.change)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHostTakesItsCanonicalForm(t *testing.T) {
	s, _ := admitting(t, nil)
	r := request(func(r *exchange.Request) { r.Host = "SHOP.example." })
	if s.admit(r) != admitted || r.Host != "shop.example" {
		t.Errorf("host %q", r.Host)
	}
}

// Rules, keys and origins see one spelling of a target, and one of
// cookies.
func TestTargetTakesItsNormalForm(t *testing.T) {
	s, _ := admitting(t, nil)
	r := request(func(r *exchange.Request) {
		r.Path, r.Query = "/%61ccount%2f", "?%73ecret=1"
		r.Header = exchange.Header{{Name: "cookie", Value: "a=1"}, {Name: "x", Value: "y"}, {Name: "cookie", Value: "b=2"}}
	})
	if s.admit(r) != admitted || r.Path != "/account%2F" || r.Query != "?secret=1" {
		t.Errorf("%q and %q", r.Path, r.Query)
	}
	if got := r.Header.Values("cookie"); len(got) != 1 || got[0] != "a=1; b=2" {
		t.Errorf("cookies %q", got)
	}
}

// What Connection names is for this hop, and a name with an underscore is
// another field to some servers: nothing behind admission sees either, but
// for fields that a client must not take away.
func TestConnectionNamesAreDropped(t *testing.T) {
	s, _ := admitting(t, nil)
	r := request(func(r *exchange.Request) {
		r.Header = exchange.Header{{Name: "connection", Value: "close, X-Hop, Authorization, Via"}, {Name: "x-hop", Value: "1"}, {Name: "x_hop", Value: "1"}, {Name: "authorization", Value: "a"}, {Name: "via", Value: "1.1 x"}}
	})
	if s.admit(r) != admitted || r.Header.Has("x-hop") || r.Header.Has("x_hop") || r.Header.Has("authorization") || !r.Header.Has("via") {
		t.Errorf("left %v", r.Header)
	}
}

// Each limit refuses one more than it allows, and counts it; with the
// limit raised by one the same request passes.
func TestLimitsOfAHead(t *testing.T) {
	fields := func(n int) func(*exchange.Request) {
		return func(r *exchange.Request) {
			for i := range n {
				r.Header.Add(fmt.Sprintf("x-%d", i), "v")
			}
		}
	}
	for _, tc := range []struct {
		name   limits.Name
		set    func(*limits.Limits, int)
		limit  int
		change func(*exchange.Request)
		want   reason
	}{
		{limits.RequestURI, func(l *limits.Limits, n int) { l.RequestURI = n }, 9, func(r *exchange.Request) { r.Path, r.Query = "/"+strings.Repeat("a", 7), "?b" }, uriTooLong},
		{limits.RequestFields, func(l *limits.Limits, n int) { l.RequestFields = n }, 9, fields(10), tooManyFields},
		{limits.RequestHead, func(l *limits.Limits, n int) { l.RequestHead = n }, 99, func(r *exchange.Request) {
			used := len(r.Method) + len(r.Path) + len(r.Host) + len("x-a") + 4
			r.Header.Add("x-a", strings.Repeat("v", 100-used))
		}, headTooLarge},
	} {
		t.Run(tc.name.String(), func(t *testing.T) {
			s, counters := admitting(t, func(l *limits.Limits) { tc.set(l, tc.limit) })
			if got := s.admit(request(tc.change)); got != tc.want {
				t.Errorf("one over the limit: %q, want %q", got, tc.want)
			}
			if counters.Hits(tc.name) != 1 {
				t.Error("not counted")
			}
			s, _ = admitting(t, func(l *limits.Limits) { tc.set(l, tc.limit+1) })
			if got := s.admit(request(tc.change)); got != admitted {
				t.Errorf("at the limit: %q", got)
			}
		})
	}
}
