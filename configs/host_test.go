package configs

import (
	"testing"

	"github.com/landfall-cdn/landfall/internal/hostname"
)

func TestHostname(t *testing.T) {
	for in, want := range map[string]string{
		"shop.example.com":   "shop.example.com",
		"Shop.Example.COM.":  "shop.example.com",
		"*.Example.com":      "*.example.com",
		"bücher.example":     "xn--bcher-kva.example",
		"shop_1.example":     "shop_1.example",
		"r3---sn-a.example":  "r3---sn-a.example",
		"localhost":          "localhost",
		"127.0.0.1":          "127.0.0.1",
		"::1":                "::1",
		"[2001:DB8:0::1]":    "2001:db8::1",
		"0x7f.1":             "",
		"127.1":              "",
		"１２７.0.0.1":          "",
		"::ffff:127.0.0.1":   "",
		"fe80::1%eth0":       "",
		"a..b":               "",
		"a b":                "",
		"*":                  "",
		"*.com":              "",
		"*.127.0.0.1":        "",
		"a.example:443":      "",
		"a.example/x":        "",
		"https://a.example":  "",
		"-a.example":         "",
		"a-.example":         "",
		"exa\u200bmple.com.": "example.com",
	} {
		got, err := parseHostname(in, true)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("parseHostname(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	if got, err := parseHostname("*.example.com", false); err == nil {
		t.Errorf("a wildcard was taken for a name: %q", got)
	}
}

func TestAuthority(t *testing.T) {
	for in, want := range map[string]string{
		"A.example":        "a.example",
		"A.example:8080":   "a.example:8080",
		"127.0.0.1:80":     "127.0.0.1:80",
		"[::1]":            "[::1]",
		"[::1]:8443":       "[::1]:8443",
		"a.example:":       "",
		"a.example:0":      "",
		"a.example:080":    "",
		"a.example:70000":  "",
		"*.example:80":     "",
		"[::1":             "",
		"a.example:80:80":  "",
		"user@a.example":   "",
		"a.example/x:8080": "",
	} {
		got, err := parseAuthority(in)
		if (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("parseAuthority(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestRedirectAndPath(t *testing.T) {
	tests := []struct {
		format, text string
		ok           bool
	}{
		{"redirect", "https://example.com${path}${query}", true},
		{"redirect", "https://${host}/", true},
		{"redirect", "https://www.${host}${path}", true},
		{"redirect", "/login?to=${path}", true},
		{"redirect", "//evil.example/", false},
		{"redirect", "${path}", false},
		{"redirect", "/${path}", false},
		{"redirect", "/${query}", true},
		{"redirect", "/${query}${path}", false},
		{"redirect", "/new${path}", true},
		{"redirect", "evil.example", false},
		{"redirect", `/\evil.example`, false},
		{"redirect", "javascript:alert(1)", false},
		{"redirect", "https://user:pass@a.example/", false},
		{"redirect", "https://a.example/\r\nSet-Cookie: x", false},
		{"redirect", "https://a.example/${secret}", false},
		{"redirect", "https://a.example/${path", false},
		{"urlpath", "/healthz?deep=1", true},
		{"urlpath", "healthz", false},
		{"urlpath", "/a b", false},
		{"urlpath", "/a#b", false},
		{"urlpath", "/%zz", false},
		{"email", "ops@example.com", true},
		{"email", "Ops <ops@example.com>", false},
		{"email", "example.com", false},
		{"glob", "utm_*", true},
		{"glob", "a=b", false},
		{"token", "Cache-Tag", true},
		{"token", "Cache Tag", false},
		{"interface", "eth0", true},
		{"interface", "../eth0", false},
		{"interface", "sixteen-bytes-if", false},
	}
	for _, tt := range tests {
		if got, err := formats[tt.format].parse(tt.text, ""); (err == nil) != tt.ok {
			t.Errorf("%s %q = %q, %v", tt.format, tt.text, got, err)
		}
	}
}

// A host that is accepted is in the form that requests are matched in,
// and has no other.
func FuzzHostname(f *testing.F) {
	for _, s := range []string{"Example.COM.", "*.a.b", "[::1]", "bücher.example", "10.1", "xn--0a000-nm43a", "１２７.0.0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, err := parseHostname(in, true)
		if err != nil {
			return
		}
		if again, err := parseHostname(out, true); err != nil || again != out {
			t.Errorf("%q is %q, which is %q, %v", in, out, again, err)
		}
		wire := out
		if isAddr(out) && out[0] != '[' {
			return // requests carry IPv6 addresses in brackets
		}
		if len(wire) > 2 && wire[:2] == "*." {
			wire = "any" + wire[1:]
		}
		if got, err := hostname.Wire(wire); err == nil && got != wire {
			t.Errorf("%q is %q, which requests call %q", in, wire, got)
		}
	})
}

// A URL that is accepted reads as itself.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://a.example:8443", "http://[::1]/", "https://a/b%20c", "http://%31", "https://xn--0a000-nm43a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		u, err := parseURL(in, []string{"http", "https"})
		if err != nil {
			return
		}
		again, err := parseURL(u.String(), []string{"http", "https"})
		if err != nil || again.String() != u.String() {
			t.Errorf("%q is %q, which is %v, %v", in, u, again, err)
		}
		if u.User != nil || u.Hostname() == "" {
			t.Errorf("%q has user %v and host %q", in, u.User, u.Host)
		}
	})
}
