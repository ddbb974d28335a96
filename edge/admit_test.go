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
		want   exchange.Refusal
	}{
		{"ordinary", nil, exchange.Admitted},
		{"options of all", func(r *exchange.Request) { r.Method, r.Path = "OPTIONS", "*" }, exchange.Admitted},
		{"extension method", func(r *exchange.Request) { r.Method = "M-SEARCH" }, exchange.Admitted},
		{"half-written encoding in a query", func(r *exchange.Request) { r.Query = "?50%" }, exchange.Admitted},
		{"half-written encoding", func(r *exchange.Request) { r.Path = "/50%" }, exchange.BadTarget},
		{"dot segment", func(r *exchange.Request) { r.Path = "/a/../b" }, exchange.BadTarget},
		{"encoded dot segment", func(r *exchange.Request) { r.Path = "/a/%2e%2e%2fb" }, exchange.BadTarget},
		{"purge", func(r *exchange.Request) { r.Method = "PURGE" }, exchange.BadMethod},
		{"connect", func(r *exchange.Request) { r.Method = "CONNECT" }, exchange.BadMethod},
		{"trace", func(r *exchange.Request) { r.Method = "TRACE" }, exchange.BadMethod},
		{"method with space", func(r *exchange.Request) { r.Method = "GET /" }, exchange.BadMethod},
		{"no path", func(r *exchange.Request) { r.Path = "" }, exchange.BadTarget},
		{"relative path", func(r *exchange.Request) { r.Path = "a" }, exchange.BadTarget},
		{"get of all", func(r *exchange.Request) { r.Path = "*" }, exchange.BadTarget},
		{"line break in path", func(r *exchange.Request) { r.Path = "/a\r\nX: y" }, exchange.BadTarget},
		{"NUL in query", func(r *exchange.Request) { r.Query = "?a=\x00" }, exchange.BadTarget},
		{"space in path", func(r *exchange.Request) { r.Path = "/a b" }, exchange.BadTarget},
		{"fragment", func(r *exchange.Request) { r.Path = "/a#b" }, exchange.BadTarget},
		{"backslash", func(r *exchange.Request) { r.Path = `/a\..\b` }, exchange.BadTarget},
		{"eight-bit path", func(r *exchange.Request) { r.Path = "/\xff" }, exchange.BadTarget},
		{"no host", func(r *exchange.Request) { r.Host = "" }, exchange.BadHost},
		{"userinfo", func(r *exchange.Request) { r.Host = "a@shop.example" }, exchange.BadHost},
		{"host with slash", func(r *exchange.Request) { r.Host = "shop.example/x" }, exchange.BadHost},
		{"odd port", func(r *exchange.Request) { r.Port = "80a" }, exchange.BadHost},
		{"long port", func(r *exchange.Request) { r.Port = "443443" }, exchange.BadHost},
		{"loop", func(r *exchange.Request) { r.Header.Add("cdn-loop", `other, Landfall; hops="2"`) }, exchange.Loop},
		{"somebody else's loop", func(r *exchange.Request) { r.Header.Add("cdn-loop", "landfaller") }, exchange.Admitted},
		{"many options of Connection", func(r *exchange.Request) { r.Header.Add("connection", strings.Repeat("a,", 40)) }, exchange.BadField},
		{"control in a field", func(r *exchange.Request) { r.Header.Add("x-a", "a\x01") }, exchange.BadField},
		{"space in a name", func(r *exchange.Request) { r.Header.Add("x a", "a") }, exchange.BadField},
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
	if s.admit(r) != exchange.Admitted || r.Host != "shop.example" {
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
	if s.admit(r) != exchange.Admitted || r.Path != "/account%2F" || r.Query != "?secret=1" {
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
	if s.admit(r) != exchange.Admitted || r.Header.Has("x-hop") || r.Header.Has("x_hop") || r.Header.Has("authorization") || !r.Header.Has("via") {
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
		want   exchange.Refusal
	}{
		{limits.RequestURI, func(l *limits.Limits, n int) { l.RequestURI = n }, 9, func(r *exchange.Request) { r.Path, r.Query = "/"+strings.Repeat("a", 7), "?b" }, exchange.URITooLong},
		{limits.RequestFields, func(l *limits.Limits, n int) { l.RequestFields = n }, 9, fields(10), exchange.TooManyFields},
		{limits.RequestHead, func(l *limits.Limits, n int) { l.RequestHead = n }, 99, func(r *exchange.Request) {
			used := len(r.Method) + len(r.Path) + len(r.Host) + len("x-a") + 4
			r.Header.Add("x-a", strings.Repeat("v", 100-used))
		}, exchange.HeadTooLarge},
	} {
		t.Run(tc.name.String(), func(t *testing.T) {
			s, _ := admitting(t, func(l *limits.Limits) { tc.set(l, tc.limit) })
			if got := s.admit(request(tc.change)); got != tc.want {
				t.Errorf("one over the limit: %q, want %q", got, tc.want)
			}
			if name, ok := limitOf(tc.want); !ok || name != tc.name {
				t.Errorf("counted as %v", name)
			}
			s, _ = admitting(t, func(l *limits.Limits) { tc.set(l, tc.limit+1) })
			if got := s.admit(request(tc.change)); got != exchange.Admitted {
				t.Errorf("at the limit: %q", got)
			}
		})
	}
}
