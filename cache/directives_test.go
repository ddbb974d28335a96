package cache

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func secs(n int) delta { return delta{time.Duration(n) * time.Second, true} }

func TestDirectives(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  directives
	}{
		{"none", nil, directives{}},
		{"number", []string{"cache-control: max-age=60"}, directives{maxAge: secs(60)}},
		{"any case", []string{"cache-control: MaX-aGe=60, No-STORE"}, directives{maxAge: secs(60), noStore: true}},
		{"many lines", []string{"cache-control: max-age=60", "cache-control: private"}, directives{maxAge: secs(60), private: true}},
		{"first of two", []string{"cache-control: max-age=60, max-age=0"}, directives{maxAge: secs(60)}},
		{"first of two lines", []string{"cache-control: max-age=0", "cache-control: max-age=60"}, directives{maxAge: secs(0)}},
		{"quoted", []string{`cache-control: max-age="60"`}, directives{maxAge: secs(60)}},
		{"half quoted", []string{`cache-control: max-age="60`}, directives{maxAge: secs(0)}},
		{"decimal", []string{"cache-control: max-age=60.0"}, directives{maxAge: secs(0)}},
		{"negative", []string{"cache-control: max-age=-60"}, directives{maxAge: secs(0)}},
		{"letters", []string{"cache-control: max-age=60a, s-maxage=a60"}, directives{maxAge: secs(0), sMaxAge: secs(0)}},
		{"nothing", []string{"cache-control: max-age=, s-maxage"}, directives{maxAge: secs(0), sMaxAge: secs(0)}},
		{"huge", []string{"cache-control: max-age=99999999999999999999"}, directives{maxAge: delta{maxDelta, true}}},
		{"space before =", []string{"cache-control: max-age =60"}, directives{}},
		{"space after =", []string{"cache-control: max-age= 60"}, directives{}},
		{"comma in quotes", []string{`cache-control: x="no-store, max-age=9", max-age=60`}, directives{maxAge: secs(60)}},
		{"escape in quotes", []string{`cache-control: x="\", no-store", max-age=60`}, directives{maxAge: secs(60)}},
		{"unknown", []string{"cache-control: nothing-to-see-here, max-age=60"}, directives{maxAge: secs(60)}},
		{"in another's value", []string{"cache-control: ext=no-store"}, directives{}},
		{"private field", []string{`cache-control: private="a"`}, directives{private: true}},
		{"withheld", []string{`cache-control: no-cache="Set-Cookie"`}, directives{withheld: []string{"set-cookie"}}},
		{
			"many withheld",
			[]string{`cache-control: no-cache="a, B ,", max-age=60`, `cache-control: no-cache="c"`},
			directives{withheld: []string{"a", "b", "c"}, maxAge: secs(60)},
		},
		{"withheld without quotes", []string{"cache-control: no-cache=a"}, directives{withheld: []string{"a"}}},
		{"withheld, and no-cache", []string{`cache-control: no-cache="a", no-cache`}, directives{withheld: []string{"a"}, noCache: true}},
		{"withheld nothing", []string{`cache-control: no-cache=""`}, directives{noCache: true}},
		{"withheld no name", []string{`cache-control: no-cache="a b"`}, directives{noCache: true}},
		{"withheld half quoted", []string{`cache-control: no-cache="a`}, directives{noCache: true}},
		{"withheld vary", []string{`cache-control: no-cache="a, Vary"`}, directives{noCache: true}},
		{"withheld, what stands in", []string{`cache-control: no-cache="CDN-Cache-Control"`}, directives{noCache: true}},
		{"withheld content", []string{`cache-control: no-cache="Content-Encoding"`}, directives{noCache: true}},
		{"space before = forbids still", []string{`cache-control: no-cache ="a", no-store =1, private	="a"`}, directives{noCache: true, noStore: true, private: true}},
		{"space after = forbids still", []string{`cache-control: no-cache= "a"`}, directives{noCache: true}},
		{"space before = permits nothing", []string{"cache-control: public =1"}, directives{}},
		{"public needs its form", []string{"cache-control: public=1"}, directives{}},
		{
			"flags",
			[]string{"cache-control: public, must-revalidate, proxy-revalidate, must-understand"},
			directives{public: true, mustRevalidate: true, proxyRevalidate: true, mustUnderstand: true},
		},
		{
			"stale windows",
			[]string{"cache-control: stale-while-revalidate=5, stale-if-error=6"},
			directives{staleWhileRevalidate: secs(5), staleIfError: secs(6)},
		},
		{"empty members", []string{"cache-control: ,,max-age=60,,"}, directives{maxAge: secs(60)}},

		{
			"targeted stands in",
			[]string{"cdn-cache-control: max-age=60", "cache-control: no-store, max-age=1"},
			directives{maxAge: secs(60), targeted: true},
		},
		{
			"ours first",
			[]string{"cdn-cache-control: max-age=60", "landfall-cdn-cache-control: max-age=9"},
			directives{maxAge: secs(9), targeted: true},
		},
		{
			"ours broken",
			[]string{"cdn-cache-control: max-age=60", "landfall-cdn-cache-control: max-age="},
			directives{maxAge: secs(60), targeted: true},
		},
		{
			"targeted restricts",
			[]string{"cdn-cache-control: no-store", "cache-control: max-age=60"},
			directives{noStore: true, targeted: true},
		},
		{"targeted empty", []string{"cdn-cache-control: ", "cache-control: max-age=60"}, directives{maxAge: secs(60)}},
		{"targeted with a capital", []string{"cdn-cache-control: Max-Age=1", "cache-control: max-age=60"}, directives{maxAge: secs(60)}},
		{"targeted decimal", []string{"cdn-cache-control: max-age=1.0", "cache-control: max-age=60"}, directives{maxAge: secs(60)}},
		{"targeted quoted", []string{`cdn-cache-control: max-age="1"`, "cache-control: max-age=60"}, directives{maxAge: secs(60)}},
		{"targeted negative", []string{"cdn-cache-control: max-age=-1", "cache-control: max-age=60"}, directives{maxAge: secs(60)}},
		{"targeted list", []string{"cdn-cache-control: max-age=(1 2)", "cache-control: max-age=60"}, directives{maxAge: secs(60)}},
		{"targeted flag with a number", []string{"cdn-cache-control: no-store=1", "cache-control: max-age=60"}, directives{maxAge: secs(60)}},
		{"targeted number as a flag", []string{"cdn-cache-control: max-age", "cache-control: max-age=60"}, directives{maxAge: secs(60)}},
		{"targeted false", []string{"cdn-cache-control: no-store=?0, max-age=5"}, directives{maxAge: secs(5), targeted: true}},
		{"targeted last of two", []string{"cdn-cache-control: max-age=5, max-age=6"}, directives{maxAge: secs(6), targeted: true}},
		{"targeted parameters", []string{"cdn-cache-control: max-age=5;x=y, ext=tok"}, directives{maxAge: secs(5), targeted: true}},
		{"targeted withheld", []string{`cdn-cache-control: no-cache="A"`}, directives{withheld: []string{"a"}, targeted: true}},
		{"targeted withheld nothing", []string{`cdn-cache-control: no-cache=""`}, directives{noCache: true, targeted: true}},
		{"targeted fields", []string{`cdn-cache-control: private="a"`}, directives{private: true, targeted: true}},
		{"targeted lines", []string{"cdn-cache-control: max-age=5", "cdn-cache-control: private"}, directives{maxAge: secs(5), private: true, targeted: true}},
		{"targeted huge", []string{"cdn-cache-control: max-age=999999999999999"}, directives{maxAge: delta{maxDelta, true}, targeted: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := directivesOf(fields(c.lines...)); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// FuzzDirectives checks what holds for any value: no number out of
// bounds, and a prohibition added at the end of a well-formed line counts.
func FuzzDirectives(f *testing.F) {
	for _, s := range []string{"max-age=60", `a="b, c", max-age=1`, `x="\"`, "max-age=99999999999999999999", ",=,", `private="`, "s-maxage = 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, name := range []string{"cache-control", "cdn-cache-control"} {
			d := directivesOf(exchange.Header{{Name: name, Value: line}})
			for _, n := range []delta{d.maxAge, d.sMaxAge, d.staleIfError, d.staleWhileRevalidate} {
				if n.d < 0 || n.d > maxDelta || !n.ok && n.d != 0 {
					t.Fatalf("%s: %q gives %+v", name, line, n)
				}
			}
		}
		d := directivesOf(exchange.Header{{Name: "cache-control", Value: line + ", no-store"}})
		if !strings.ContainsAny(line, `"`) && !d.noStore {
			t.Fatalf("%q hides no-store", line)
		}
	})
}
