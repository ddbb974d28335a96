package cache

import (
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
		{"dots stay", "https", "h", "", "/a/../b/./c", "", "s https://h/a/../b/./c"},
		{"slashes stay", "https", "h", "", "//a//", "", "s https://h//a//"},
		{"empty query is one", "https", "h", "", "/", "?", "s https://h/?"},
		{"order is kept", "https", "h", "", "/", "?b=1&a=2&b=1", "s https://h/?b=1&a=2&b=1"},
		{"excluded", "https", "h", "", "/", "?a=1&utm_source=x&b=2&fbclid=3", "s https://h/?a=1&b=2"},
		{"excluded first", "https", "h", "", "/", "?utm_a&b", "s https://h/?b"},
		{"all excluded", "https", "h", "", "/", "?utm_a=1&fbclid", "s https://h/"},
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

// FuzzKey checks that two requests with one key are for one resource. A
// request comes with its target in normal form, which is what is
// forwarded: but for excluded parameters it is what the key shows.
func FuzzKey(f *testing.F) {
	f.Add("/a", "?b=1", "/%61", "?b=1", "b")
	f.Add("/%2541", "?", "/%41", "", "")
	f.Add("/a?b", "", "/a", "?b", "")
	f.Add("/", "?utm_a=1&b", "/", "?b", "utm_a")
	f.Fuzz(func(t *testing.T, path1, query1, path2, query2, excluded string) {
		r1, ok1 := fuzzRequest(path1, query1)
		r2, ok2 := fuzzRequest(path2, query2)
		if !ok1 || !ok2 {
			return
		}
		if p := (&Policy{Site: "s"}); (Key(r1, p) == Key(r2, p)) != (r1.Target() == r2.Target()) {
			t.Fatalf("%q and %q: one key %v", r1.Target(), r2.Target(), Key(r1, p) == Key(r2, p))
		}
		if excluded == "" {
			return
		}
		for _, r := range []*exchange.Request{r1, r2} {
			kept := without(r.Query, []string{excluded})
			if again := without(kept, []string{excluded}); again != kept {
				t.Fatalf("%q without %q is %q, and without it again %q", r.Query, excluded, kept, again)
			}
			for param := range strings.SplitSeq(strings.TrimPrefix(kept, "?"), "&") {
				if name, _, _ := strings.Cut(param, "="); len(kept) > 1 && matches(excluded, name) {
					t.Fatalf("%q without %q still has %q", r.Query, excluded, param)
				}
			}
		}
	})
}

// fuzzRequest makes a request that admission would let through.
func fuzzRequest(path, query string) (*exchange.Request, bool) {
	bad := func(s string) bool {
		return strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' })
	}
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "?") || bad(path) || bad(query) ||
		query != "" && query[0] != '?' {
		return nil, false
	}
	path, ok := exchange.NormalPath(path)
	return &exchange.Request{Scheme: "https", Host: "h", Path: path, Query: exchange.NormalQuery(query)}, ok
}
