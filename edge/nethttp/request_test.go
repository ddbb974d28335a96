package nethttp

import "testing"

func TestSplitTarget(t *testing.T) {
	for _, tc := range []struct {
		target      string
		http1       bool
		path, query string
	}{
		{"/a?b?c", true, "/a", "?b?c"},
		{"/a?", true, "/a", "?"},
		{"//a/b", true, "//a/b", ""},
		{"*", true, "*", ""},
		{"http://a.example", true, "/", ""},
		{"http://a.example?b", true, "/", "?b"},
		{"http://a.example/c?b", true, "/c", "?b"},
		{"http://a.example/c", false, "http://a.example/c", ""}, // no path: admission refuses it
		{"", false, "", ""},
	} {
		if path, query := splitTarget(tc.target, tc.http1); path != tc.path || query != tc.query {
			t.Errorf("%q: %q and %q, want %q and %q", tc.target, path, query, tc.path, tc.query)
		}
	}
}

func TestSplitHost(t *testing.T) {
	for _, tc := range []struct{ authority, host, port string }{
		{"a.example", "a.example", ""},
		{"a.example:8443", "a.example", "8443"},
		{"[::1]", "[::1]", ""},
		{"[::1]:8443", "[::1]", "8443"},
		{"a:b:c", "a:b:c", ""}, // malformed: as it is, for admission to refuse
	} {
		if host, port := splitHost(tc.authority); host != tc.host || port != tc.port {
			t.Errorf("%q: %q and %q, want %q and %q", tc.authority, host, port, tc.host, tc.port)
		}
	}
}
