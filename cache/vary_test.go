package cache

import (
	"fmt"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestSelection(t *testing.T) {
	for _, c := range []struct {
		name          string
		response      []string
		first, second []string
		want          bool
	}{
		{"no vary", nil, []string{"a: 1"}, []string{"a: 2"}, true},
		{"same", []string{"vary: a"}, []string{"a: 1"}, []string{"a: 1"}, true},
		{"different", []string{"vary: a"}, []string{"a: 1"}, []string{"a: 2"}, false},
		{"not named", []string{"vary: a"}, []string{"a: 1", "b: 1"}, []string{"a: 1", "b: 2"}, true},
		{"name in capitals", []string{"vary: A"}, []string{"a: 1"}, []string{"a: 2"}, false},
		{"omitted", []string{"vary: a"}, []string{"a: 1"}, nil, false},
		{"added", []string{"vary: a"}, nil, []string{"a: 1"}, false},
		{"empty is not absent", []string{"vary: a"}, nil, []string{"a: "}, false},
		{"absent in both", []string{"vary: a, b"}, []string{"b: 1"}, []string{"b: 1"}, true},
		{"one of three", []string{"vary: a, b, c"}, []string{"a: 1", "b: 2", "c: 3"}, []string{"a: 1", "b: 2", "c: 4"}, false},
		{"two lines of vary", []string{"vary: a", "vary: b"}, []string{"a: 1", "b: 1"}, []string{"a: 1", "b: 2"}, false},
		{"values change places", []string{"vary: a, b"}, []string{"a: 1", "b: 2"}, []string{"a: 2", "b: 1"}, false},
		{"white space", []string{"vary: a"}, []string{"a: 1,2"}, []string{"a: 1,  2 "}, true},
		{"lines", []string{"vary: a"}, []string{"a: 1, 2"}, []string{"a: 1", "a: 2"}, true},
		{"order counts", []string{"vary: a"}, []string{"a: 1, 2"}, []string{"a: 2, 1"}, false},
		{"case counts", []string{"vary: a"}, []string{"a: x"}, []string{"a: X"}, false},
		{"quoted", []string{"vary: a"}, []string{`a: "1, 2"`}, []string{`a: "1,2"`}, false},
		{"cookies are no list", []string{"vary: cookie"}, []string{"cookie: a=1, b"}, []string{"cookie: a=1,b"}, false},

		{"languages in another order", []string{"vary: accept-language"}, []string{"accept-language: en, de"}, []string{"accept-language: de, en"}, true},
		{"languages in capitals", []string{"vary: accept-language"}, []string{"accept-language: en, DE"}, []string{"accept-language: eN, de"}, true},
		{"languages' white space", []string{"vary: accept-language"}, []string{"accept-language: en, de;q=0.5"}, []string{"accept-language: en,de ; q=0.5"}, true},
		{"weights in another way", []string{"vary: accept-language"}, []string{"accept-language: en;q=0.9, de;q=0.5"}, []string{"accept-language: de;q=0.2,en"}, true},
		{"other preference", []string{"vary: accept-language"}, []string{"accept-language: en, de;q=0.5"}, []string{"accept-language: de, en;q=0.5"}, false},
		{"equal or not", []string{"vary: accept-language"}, []string{"accept-language: en, de"}, []string{"accept-language: de, en;q=0.5"}, false},
		{"refused or not", []string{"vary: accept-language"}, []string{"accept-language: en, de;q=0"}, []string{"accept-language: en, de;q=0.5"}, false},
		{"the language it has", []string{"vary: accept-language", "content-language: de"}, []string{"accept-language: en, de"}, []string{"accept-language: fr;q=0.5, DE"}, true},
		{"not the first language", []string{"vary: accept-language", "content-language: de"}, []string{"accept-language: en, de"}, []string{"accept-language: fr, de;q=0.5"}, false},
		{"one of the first languages", []string{"vary: accept-language", "content-language: de"}, []string{"accept-language: en, de"}, []string{"accept-language: fr, de"}, false},

		{"codings in another order", []string{"vary: accept-encoding"}, []string{"accept-encoding: gzip, br"}, []string{"accept-encoding: br,GZIP"}, true},
		{"more codings", []string{"vary: accept-encoding"}, []string{"accept-encoding: gzip, br"}, []string{"accept-encoding: gzip"}, false},
		{"refused coding", []string{"vary: accept-encoding"}, []string{"accept-encoding: gzip, br;q=0"}, []string{"accept-encoding: gzip"}, true},
		{"refused identity", []string{"vary: accept-encoding"}, []string{"accept-encoding: gzip, identity;q=0"}, []string{"accept-encoding: gzip"}, false},
		{"refused with *", []string{"vary: accept-encoding"}, []string{"accept-encoding: *, br;q=0"}, []string{"accept-encoding: *"}, false},
		{"x-gzip", []string{"vary: accept-encoding"}, []string{"accept-encoding: br, x-gzip"}, []string{"accept-encoding: gzip, br"}, true},
		{"no coding is not any", []string{"vary: accept-encoding"}, []string{"accept-encoding: "}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second := fields(c.first...), fields(c.second...)
			s := selectionOf(first, fields(c.response...))
			if !s.fits(first) {
				t.Error("the response does not fit the request it was made for")
			}
			if got := s.fits(second); got != c.want {
				t.Errorf("fits: %v, want %v", got, c.want)
			}
			same := secondaryKey(s.names, first) == secondaryKey(s.names, second)
			if s.language == "" && same != c.want {
				t.Errorf("secondary keys are the same: %v, want %v", same, c.want)
			}
		})
	}
}

func TestNormalValues(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"accept-language", "de;q=0.5, en, fr;q=0.5", "en,,de,fr"},
		{"accept-language", "en;q=2, de", "de,en;q=2"},
		{"accept-language", "en;level=1;q=0.5, de", "de,en;level=1;q=0.5"},
		{"accept-language", ";q=0.5,,", ""},
		{"accept-encoding", "gzip;q=1.0, *;q=0", "gzip,,,*"},
		{"accept-encoding", "*;q=0", ",,,*"},
		{"accept", "a ;q=1 ,b", "a ;q=1,b"},
		{"user-agent", "A (B, C)", "A (B, C)"},
	} {
		if got := normalValue(c.name, c.value); got != c.want {
			t.Errorf("%s: %q gives %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

// Names and values must not run into each other in a secondary key.
func TestSecondaryKeyIsUnambiguous(t *testing.T) {
	seen := map[string]string{}
	for _, a := range []string{"", "-", "1", "1\nb=1:1", "0:", "\nb"} {
		for _, b := range []string{"", "-", "1", "1:1", "\nb=0:"} {
			var h exchange.Header
			if a != "-" {
				h.Add("a", a)
			}
			if b != "-" {
				h.Add("b", b)
			}
			k := secondaryKey([]string{"a", "b"}, h)
			if was, ok := seen[k]; ok {
				t.Errorf("%q for %s and %q, %q", k, was, a, b)
			}
			seen[k] = fmt.Sprintf("%q, %q", a, b)
		}
	}
}

// FuzzNormalValue checks that the normal form is stable and that values
// which differ in what they accept do not get one form.
func FuzzNormalValue(f *testing.F) {
	f.Add("gzip, br;q=0.5", "br;q=0.1,gzip")
	f.Add("gzip;q=0", "")
	f.Add("en;x=y", "en;q=x")
	f.Add("*;q=0, identity", "identity")
	f.Add(`a, "b, c`, `a,"b,c`)
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []string{"accept-encoding", "accept-language"} {
			if normalValue(name, a) != normalValue(name, b) {
				continue
			}
			for _, m := range append(parseWeighted(a), parseWeighted(b)...) {
				if m.name == "x-gzip" || m.name == "gzip" {
					continue // two names of one coding
				}
				if name == "accept-encoding" && weightOf(a, m.name) > 0 != (weightOf(b, m.name) > 0) ||
					name == "accept-language" && weightOf(a, m.name) < 0 != (weightOf(b, m.name) < 0) {
					t.Fatalf("%s: %q and %q have one form and differ on %q", name, a, b, m.name)
				}
			}
		}
		for _, name := range []string{"accept", "x-other"} {
			once := normalValue(name, a)
			if twice := normalValue(name, once); twice != once {
				t.Fatalf("%s: %q, %q, %q", name, a, once, twice)
			}
		}
	})
}

// weightOf returns the largest weight of a member, -1 when it is missing.
func weightOf(value, name string) int {
	q := -1
	for _, m := range parseWeighted(value) {
		if m.name == name {
			q = max(q, m.q)
		}
	}
	return q
}

// TestVaryOnWhatWeIntroduce: the origin chose by a field that we wrote,
// which no stored request can be compared by.
func TestVaryOnWhatWeIntroduce(t *testing.T) {
	for _, name := range []string{"X-Forwarded-For", "x-real-ip", "Via", "X-Request-Id", "Forwarded"} {
		bubble(t, func(t rig) {
			o := always(200, "x", "cache-control: max-age=60", "vary: accept, "+name)
			t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "x")
			t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "x")
		})
	}
}

// TestLongValuesStayAsTheyAre: a client cannot make the cache split and sort
// thousands of members for every variant.
func TestLongValuesStayAsTheyAre(t *testing.T) {
	long := strings.Repeat("de;q=0.5, ", maxNormal/10+1)
	for _, name := range []string{"accept-language", "accept-encoding", "x-any"} {
		if normalValue(name, long) != long {
			t.Errorf("%s: brought into normal form", name)
		}
	}
	if topLanguage("fr, "+long) != "" {
		t.Error("the language of a long value was looked for")
	}
}

// TestNormalFormIsMadeOnce for all the variants that differ by one field.
func TestNormalFormIsMadeOnce(t *testing.T) {
	a := asked{header: fields("accept-language: fr , de")}
	first := a.normalOf("accept-language", "fr , de")
	if n := testing.AllocsPerRun(10, func() {
		if a.normalOf("accept-language", "fr , de") != first {
			t.Error("it changed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
