package cache

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestRangeOf(t *testing.T) {
	for _, c := range []struct {
		value string
		want  rangeKind
	}{
		{"", noRange},
		{"bytes=0-", fromStart},
		{"bytes=0-0", fromStart},
		{"Bytes=0-499", fromStart},
		{"bytes=00-5", fromStart},
		{"bytes=1-", fromMiddle},
		{"bytes=5-2", fromMiddle},
		{"bytes=-5", fromMiddle},
		{"bytes=0-1,5-6", fromMiddle},
		{"bytes=0-, 0-", fromMiddle},
		{"bytes=-", noRange},
		{"bytes=", noRange},
		{"bytes=a-b", noRange},
		{"bytes=0-b", noRange},
		{"bytes 0-1", noRange},
		{"items=0-1", noRange},
	} {
		if got := rangeOf(fields("range: " + c.value)); got != c.want {
			t.Errorf("%q: %v, want %v", c.value, got, c.want)
		}
	}
}

func TestPrepare(t *testing.T) {
	tagged := &variant{header: fields(`etag: "a"`, "last-modified: x")}
	bare := &variant{}
	own := []string{`if-none-match: "b"`, "if-range: y"}
	for _, c := range []struct {
		name   string
		lines  []string
		old    *variant
		alone  bool
		want   []string
		asking bool
	}{
		{"shared", append(own, "range: bytes=0-"), nil, false, nil, false},
		{"shared, cannot validate", append(own, "range: bytes=0-"), bare, false, nil, false},
		{"shared, validates", append(own, "range: bytes=0-"), tagged, false, []string{`if-none-match: "a"`, "if-modified-since: x"}, true},
		{"alone", append(own, "range: bytes=5-"), nil, true, append(own, "range: bytes=5-"), false},
		{"alone, cannot validate", own, bare, true, own, false},
		{"alone, validates", own, tagged, true, []string{`if-none-match: "a"`, "if-modified-since: x"}, true},
		{"a part, validates", []string{"range: bytes=5-", "if-range: y"}, tagged, true, []string{"range: bytes=5-", "if-range: y", `if-none-match: "a"`, "if-modified-since: x"}, true},
		{"a part with a conditional", append(own, "range: bytes=5-"), tagged, true, append(own, "range: bytes=5-"), false},
		{"from the start, alone, validates", []string{"range: bytes=0-"}, tagged, true, []string{`if-none-match: "a"`, "if-modified-since: x"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := get("/p?q", append([]string{"x: 1"}, c.lines...)...)
			p := prepare(r, c.old, c.alone)
			got := p.request(r, target{path: "/P", query: "?Q"})
			if diff := cmp.Diff(fields(append([]string{"x: 1"}, c.want...)...), got.Header); diff != "" {
				t.Error(diff)
			}
			if (p.validate != nil) != c.asking || got.Target() != "/P?Q" || got.Method != "GET" {
				t.Errorf("validates: %v, %s %s", p.validate != nil, got.Method, got.Target())
			}
		})
	}
}

func TestUpdatedHeader(t *testing.T) {
	for _, c := range []struct {
		name         string
		stored, from []string
		mode         SetCookie
		want         []string
	}{
		{"replaced", []string{"a: 1", "b: 1"}, []string{"b: 2"}, 0, []string{"a: 1", "b: 2"}},
		{"all lines", []string{"a: 1", "a: 2"}, []string{"a: 3"}, 0, []string{"a: 3"}},
		{"more lines", []string{"a: 1"}, []string{"a: 2", "a: 3"}, 0, []string{"a: 2", "a: 3"}},
		{"added", []string{"a: 1"}, []string{"b: 2"}, 0, []string{"a: 1", "b: 2"}},
		{"the content's form", []string{"content-length: 5", "content-encoding: gzip"}, []string{"content-length: 0", "content-encoding: br", "content-range: x", "connection: x"}, 0, []string{"content-length: 5", "content-encoding: gzip"}},
		{"the content's type", []string{"content-type: a/b"}, []string{"content-type: c/d"}, 0, []string{"content-type: c/d"}},
		{"age", []string{"a: 1"}, []string{"age: 5"}, 0, []string{"a: 1"}},
		{"cookie", []string{"a: 1"}, []string{"set-cookie: x"}, SetCookieBypass, []string{"a: 1"}},
		{"stored cookie", []string{"set-cookie: y"}, []string{"set-cookie: x"}, SetCookieStore, []string{"set-cookie: x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := updatedHeader(fields(c.stored...), fields(c.from...), c.mode)
			if diff := cmp.Diff(fields(c.want...), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConfirms(t *testing.T) {
	for _, c := range []struct {
		stored, from string
		want         bool
	}{
		{`etag: "a"`, `etag: "a"`, true},
		{`etag: "a"`, `etag: W/"a"`, true},
		{`etag: "a"`, "x: y", true},
		{`etag: "a"`, `etag: "b"`, false},
		{"last-modified: x", "last-modified: x", true},
		{"last-modified: x", `etag: "b"`, false},
	} {
		if got := confirms(fields(c.stored), fields(c.from)); got != c.want {
			t.Errorf("%s, %s: %v", c.stored, c.from, got)
		}
	}
}

func TestCausesThatAreTheLeadersOwn(t *testing.T) {
	own := map[exchange.Cause]bool{
		exchange.ConnectionLimitReached: true, exchange.ClientAborted: true,
		exchange.HTTPRequestError: true, exchange.ProxyLoopDetected: true,
	}
	for c := range exchange.NumCauses {
		if leadersOwn(&exchange.Error{Cause: c}) != own[c] {
			t.Errorf("%v", c)
		}
	}
}
