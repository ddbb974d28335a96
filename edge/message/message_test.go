package message

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

func TestGrammar(t *testing.T) {
	for _, tc := range []struct {
		what string
		ok   func(string) bool
		good []string
		bad  []string
	}{
		{"token", Token, []string{"a", "M-SEARCH", "!#$%&'*+-.^_`|~09Az"}, []string{"", "a b", "a:", "a\x00", "é", "a\t", "\"a\""}},
		{"lower", Lower, []string{"a", "x-y"}, []string{"", "A", "x-Y", "a b", ":a"}},
		{
			"value", FieldValue,
			[]string{"", "a", "a b\tc", "caf\xe9", "0123456\t89abcdef"},
			[]string{" a", "a ", "\ta", "a\x00", "01234567\x7f", "a\rb", "a\nb", "01234567\n"},
		},
		{
			"length", func(s string) bool { _, ok := Length(s); return ok },
			[]string{"0", "007", "9223372036854775807"},
			[]string{"", "+1", "-1", "1,1", "0x1", " 1", "1 ", "9223372036854775808", "99999999999999999999", "1.0"},
		},
		{
			"authority", func(s string) bool { _, _, ok := Authority(s); return ok },
			[]string{"a.example", "a.example:8443", "[::1]", "[::1]:443", "192.0.2.1:80"},
			[]string{"", ":80", "a:", "a:b", "a:1:2", "u@a", "a/b", "[::1", "::1", "[::1]]", "a:80/"},
		},
	} {
		for _, s := range tc.good {
			if !tc.ok(s) {
				t.Errorf("%s: %q refused", tc.what, s)
			}
		}
		for _, s := range tc.bad {
			if tc.ok(s) {
				t.Errorf("%s: %q accepted", tc.what, s)
			}
		}
	}
}

// section runs fields through a Section, "name: value" each.
func section(lim limits.Limits, fields ...string) (*exchange.Request, bool) {
	r := &exchange.Request{}
	var s Section
	s.Begin(r, &lim)
	for _, f := range fields {
		name, value, _ := strings.Cut(f[1:], ": ")
		s.Field(f[:1]+name, value)
	}
	return r, s.End()
}

var plain = []string{":method: GET", ":scheme: https", ":authority: a.example:8443", ":path: /p?q=1"}

func with(more ...string) []string { return append(slices.Clone(plain), more...) }

func TestSection(t *testing.T) {
	r, ok := section(limits.Default(), with("host: a.example:8443", "content-length: 5", "te: trailers", "cookie: a", "cookie: b")...)
	if !ok || r.Method != "GET" || r.Host != "a.example" || r.Port != "8443" || r.Path != "/p" || r.Query != "?q=1" || r.Length != 5 {
		t.Errorf("%+v, %v", r, ok)
	}
	if want := (exchange.Header{{Name: "cookie", Value: "a"}, {Name: "cookie", Value: "b"}}); !slices.Equal(r.Header, want) {
		t.Errorf("fields %v", r.Header)
	}
	r, ok = section(limits.Default(), ":method: CONNECT", ":protocol: websocket", ":scheme: https", ":authority: a", ":path: /")
	if !ok || r.Method != "GET" || r.Upgrade != "websocket" {
		t.Errorf("extended CONNECT: %+v, %v", r, ok)
	}
	r, ok = section(limits.Default(), ":method: CONNECT", ":protocol: evil", ":scheme: https", ":authority: a", ":path: /")
	if !ok || r.Upgrade != "" || r.Refused != exchange.BadMethod {
		t.Errorf("extended CONNECT for another protocol: %+v, %v", r, ok)
	}
	if r, ok := section(limits.Default(), ":method: CONNECT", ":authority: a:443"); !ok || r.Method != "CONNECT" {
		t.Errorf("CONNECT: %+v, %v", r, ok)
	}
}

func TestMalformed(t *testing.T) {
	for name, fields := range map[string][]string{
		"no method":           {":scheme: https", ":authority: a", ":path: /"},
		"no path":             {":method: GET", ":scheme: https", ":authority: a"},
		"empty path":          {":method: GET", ":scheme: https", ":authority: a", ":path: "},
		"query alone":         {":method: GET", ":scheme: https", ":authority: a", ":path: ?"},
		"absolute path":       {":method: GET", ":scheme: https", ":authority: a", ":path: https://a/"},
		"GET of all":          {":method: GET", ":scheme: https", ":authority: a", ":path: *"},
		"no authority":        {":method: GET", ":scheme: https", ":path: /"},
		"odd scheme":          {":method: GET", ":scheme: ftp", ":authority: a", ":path: /"},
		"twice":               with(":path: /"),
		"unknown pseudo":      with(":status: 200"),
		"late pseudo":         {":method: GET", ":scheme: https", ":authority: a", "x: y", ":path: /"},
		"other host":          with("host: b.example"),
		"two hosts":           with("host: a.example:8443", "host: a.example:8443"),
		"upper case":          with("X-A: b"),
		"space in a name":     with("x a: b"),
		"line break":          with("x-a: b\r\nc: d"),
		"NUL":                 with("x-a: b\x00"),
		"space around":        with("x-a:  b"),
		"break in the path":   {":method: GET", ":scheme: https", ":authority: a", ":path: /\r\nx"},
		"connection":          with("connection: close"),
		"coding":              with("transfer-encoding: chunked"),
		"upgrade":             with("upgrade: h2c"),
		"te":                  with("te: gzip"),
		"two lengths":         with("content-length: 1", "content-length: 1"),
		"bad length":          with("content-length: +1"),
		"protocol of a GET":   with(":protocol: websocket"),
		"CONNECT with path":   {":method: CONNECT", ":authority: a", ":path: /"},
		"protocol, no scheme": {":method: CONNECT", ":protocol: websocket", ":authority: a", ":path: /"},
	} {
		if r, ok := section(limits.Default(), fields...); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestSectionLimits: what is over a limit is not kept, and the request can
// still be answered.
func TestSectionLimits(t *testing.T) {
	lim := limits.Default()
	lim.RequestFields = 10
	crumbs := with()
	for i := range 10_000 {
		crumbs = append(crumbs, fmt.Sprintf("cookie: c%d", i))
	}
	r, ok := section(lim, crumbs...)
	if !ok || r.Refused != exchange.TooManyFields || len(r.Header) > 11 {
		t.Errorf("%v, %q, %d fields kept", ok, r.Refused, len(r.Header))
	}
	lim = limits.Default()
	r, ok = section(lim, with("x-a: "+strings.Repeat("v", lim.RequestHead+lim.RequestURI))...)
	if !ok || r.Refused != exchange.HeadTooLarge || len(r.Header) > 0 {
		t.Errorf("%v, %q, %d fields kept", ok, r.Refused, len(r.Header))
	}
}

func TestTrailer(t *testing.T) {
	lim := limits.Default()
	for _, tc := range []struct {
		name, value string
		over, ok    bool
		kept        int
	}{
		{"server-timing", "a;dur=1", false, true, 1},
		{"content-length", "5", false, true, 0},
		{"host", "b", false, true, 0},
		{":path", "/", false, false, 0},
		{"connection", "close", false, false, 0},
		{"X", "y", false, false, 0},
		{"server-timing", strings.Repeat("x", lim.RequestTrailers), true, true, 0},
	} {
		var tr Trailer
		tr.Begin(&lim)
		tr.Field(tc.name, tc.value)
		if h, over, ok := tr.End(); len(h) != tc.kept || over != tc.over || ok != tc.ok {
			t.Errorf("%s: %d kept, over %v, ok %v", tc.name, len(h), over, ok)
		}
	}
}
