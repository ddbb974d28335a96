package cache

import (
	"net/url"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestKey(t *testing.T) {
	exclude := []string{"utm_*", "fbclid", "*_x_*"}
	for _, c := range []struct {
		name, scheme, host, port, path, query, want string
	}{
		{"plain", "https", "a.example", "", "/p", "?q=1", "s https://a.example/p?q=1"},
		{"scheme", "http", "a.example", "", "/p", "", "s http://a.example/p"},
		{"default port", "https", "a.example", "443", "/", "", "s https://a.example/"},
		{"default port of http", "http", "a.example", "80", "/", "", "s http://a.example/"},
		{"other port", "https", "a.example", "80", "/", "", "s https://a.example:80/"},
		{"unreserved decoded", "https", "h", "", "/%41%7e%2D", "", "s https://h/A~-"},
		{"hex in capitals", "https", "h", "", "/%2f%c3%a4", "", "s https://h/%2F%C3%A4"},
		{"dots stay", "https", "h", "", "/a/../b/./c", "", "s https://h/a/../b/./c"},
		{"encoded dots stay encoded", "https", "h", "", "/a/%2e%2E/b", "", "s https://h/a/%2E%2E/b"},
		{"slashes stay", "https", "h", "", "//a//", "", "s https://h//a//"},
		{"malformed escapes stay", "https", "h", "", "/%41%", "?%4g%41", "s https://h/%41%?%4g%41"},
		{"no double decoding", "https", "h", "", "/%2541", "", "s https://h/%2541"},
		{"no escape made up", "https", "h", "", "/%%411", "", "s https://h/%%411"},
		{"empty query is one", "https", "h", "", "/", "?", "s https://h/?"},
		{"order is kept", "https", "h", "", "/", "?b=1&a=2&b=1", "s https://h/?b=1&a=2&b=1"},
		{"excluded", "https", "h", "", "/", "?a=1&utm_source=x&b=2&fbclid=3", "s https://h/?a=1&b=2"},
		{"excluded first", "https", "h", "", "/", "?utm_a&b", "s https://h/?b"},
		{"all excluded", "https", "h", "", "/", "?utm_a=1&fbclid", "s https://h/"},
		{"excluded in disguise", "https", "h", "", "/", "?utm%5fa=1&%75tm_b", "s https://h/"},
		{"pattern inside", "https", "h", "", "/", "?a_x_b=1&a_x=2", "s https://h/?a_x=2"},
		{"no semicolons", "https", "h", "", "/", "?utm_a=1;b=2&c", "s https://h/?c"},
		{"only the name counts", "https", "h", "", "/", "?a=utm_b", "s https://h/?a=utm_b"},
		{"case counts", "https", "h", "", "/A", "?UTM_a", "s https://h/A?UTM_a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &exchange.Request{Scheme: c.scheme, Host: c.host, Port: c.port, Path: c.path, Query: c.query}
			if got := Key(r, &Policy{Site: "s", QueryExclude: exclude}); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"a*", "ab", true},
		{"a*", "a", true},
		{"*", "", true},
		{"*b", "ab", true},
		{"*b", "ba", false},
		{"a*b*c", "axbxc", true},
		{"a*b*c", "axc", false},
		{"a*a", "a", false},
		{"**", "x", true},
		{"[a]", "a", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.name, got)
		}
	}
}

// FuzzKey checks that two requests with one key are for one resource:
// they decode to the same octets in the same places, in the eyes of
// net/url and of a decoder that lets malformed escapes be, and so does
// what is forwarded.
func FuzzKey(f *testing.F) {
	f.Add("/a", "?b=1", "/%61", "?b=1", "b")
	f.Add("/%%411", "", "/%A1", "", "x")
	f.Add("/%2541", "?", "/%41", "", "")
	f.Add("/a?b", "", "/a", "?b", "")
	f.Add("/", "?utm_a=1&b", "/", "?b", "utm_a")
	f.Add("/a/%2e%2e/b", "", "/a/../b", "", "")
	f.Fuzz(func(t *testing.T, path1, query1, path2, query2, excluded string) {
		p := &Policy{Site: "s"}
		if excluded != "" {
			p.QueryExclude = []string{excluded}
		}
		r1, ok1 := fuzzRequest(path1, query1)
		r2, ok2 := fuzzRequest(path2, query2)
		if !ok1 || !ok2 {
			return
		}
		for _, r := range []*exchange.Request{r1, r2} {
			n := targetOf(r, p)
			again := targetOf(&exchange.Request{Scheme: r.Scheme, Host: r.Host, Path: n.path, Query: n.query}, p)
			if again != n {
				t.Fatalf("the normal form of %q is not stable: %v, %v", r.Target(), n, again)
			}
			if len(p.QueryExclude) == 0 && decoded(n.path+n.query) != decoded(r.Path+r.Query) {
				t.Fatalf("%q is forwarded as %q", r.Target(), n.path+n.query)
			}
			if dotSegments(n.path) != dotSegments(r.Path) {
				t.Fatalf("%q is forwarded as %q: the dot segments changed", r.Target(), n.path)
			}
		}
		if Key(r1, p) != Key(r2, p) || len(p.QueryExclude) > 0 {
			return
		}
		u1, err1 := url.ParseRequestURI(r1.Target())
		u2, err2 := url.ParseRequestURI(r2.Target())
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q and %q share a key, and one of them is malformed", r1.Target(), r2.Target())
		}
		if err1 == nil && (u1.Path != u2.Path || decoded(u1.RawQuery) != decoded(u2.RawQuery) || u1.ForceQuery != u2.ForceQuery) {
			t.Fatalf("%q and %q share a key", r1.Target(), r2.Target())
		}
	})
}

// fuzzRequest makes a request that a front end would let through.
func fuzzRequest(path, query string) (*exchange.Request, bool) {
	bad := func(s string) bool {
		return strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' })
	}
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "?") || bad(path) || bad(query) ||
		query != "" && query[0] != '?' {
		return nil, false
	}
	return &exchange.Request{Scheme: "https", Host: "h", Path: path, Query: query}, true
}

// decoded decodes every well-formed escape of an unreserved character and
// writes the others alike; a string with a malformed escape stays.
func decoded(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
			b.WriteByte(s[i])
			continue
		}
		if c := byte(unhex(s[i+1])<<4 | unhex(s[i+2])); unreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteString(strings.ToUpper(s[i : i+3]))
		}
		i += 2
	}
	return b.String()
}

func dotSegments(path string) (n int) {
	for s := range strings.SplitSeq(path, "/") {
		if s == "." || s == ".." {
			n++
		}
	}
	return n
}
