package policy

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
)

func named(name string, hostnames ...string) SiteConfig {
	return SiteConfig{Name: name, Hostnames: hostnames, Certificates: fixed{}}
}

func build(t testing.TB, fallback string, sites ...SiteConfig) *Table {
	t.Helper()
	table, err := newPolicy(t, nil).Build(sites, fallback)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestLookup(t *testing.T) {
	table := build(t, "dev",
		named("shop", "shop.example.com", "*.shop.example.com", "Bücher.example"),
		named("api", "api.shop.example.com"),
		named("dev", "localhost", "127.0.0.1"))
	for _, tc := range []struct{ name, want string }{
		{"shop.example.com", "shop"},
		{"SHOP.Example.COM", "shop"},
		{"www.shop.example.com", "shop"},
		{"WWW.Shop.example.com", "shop"},
		{"api.shop.example.com", "api"}, // exact before wildcard
		{"xn--bcher-kva.example", "shop"},
		{"localhost", "dev"},
		{"127.0.0.1", "dev"},
		{"", "dev"},
		{"a.b.shop.example.com", ""}, // a wildcard covers one label
		{"example.com", ""},
		{"com", ""},
		{".shop.example.com", ""},
		{"*.shop.example.com", ""},
		{"bücher.example", ""},
		{"shop.example.com\x00", ""},
		{"shop.example.com/", ""},
		{"..", ""},
		{strings.Repeat("a", 64) + ".shop.example.com", ""},
		{strings.Repeat("a.", 200), ""},
	} {
		got, ok := table.Lookup(tc.name)
		if got != tc.want || ok != (tc.want != "") {
			t.Errorf("Lookup(%q) = %q, %v; want %q", tc.name, got, ok, tc.want)
		}
	}
	if got, ok := build(t, "", named("shop", "shop.example.com")).Lookup(""); ok {
		t.Errorf("without a default site, no name leads to %q", got)
	}
}

func TestLookupAmongMany(t *testing.T) {
	var sites []SiteConfig
	for i := range 1500 {
		sites = append(sites, named(fmt.Sprint("s", i), fmt.Sprintf("Host-%d.Example.com", i), fmt.Sprintf("*.w%d.example.com", i)))
	}
	table := build(t, "", sites...)
	for i := range 1500 {
		want := fmt.Sprint("s", i)
		for _, name := range []string{
			fmt.Sprintf("host-%d.example.com", i),
			fmt.Sprintf("HOST-%d.EXAMPLE.COM", i),
			fmt.Sprintf("any.w%d.example.com", i),
		} {
			if got, _ := table.Lookup(name); got != want {
				t.Errorf("Lookup(%q) = %q, want %q", name, got, want)
			}
		}
	}
	if got, ok := table.Lookup("host-1500.example.com"); ok {
		t.Errorf("a name of no site leads to %q", got)
	}
}

func TestBuildRefuses(t *testing.T) {
	with := func(change func(*SiteConfig)) []SiteConfig {
		c := named("a", "a.test")
		change(&c)
		return []SiteConfig{c}
	}
	for _, tc := range []struct {
		name     string
		sites    []SiteConfig
		fallback string
		says     string
	}{
		{"shared name", []SiteConfig{named("a", "x.test"), named("b", "X.test")}, "", `hostname "X.test" belongs to site "a" already`},
		{"shared wildcard", []SiteConfig{named("a", "*.x.test"), named("b", "*.x.test")}, "", `belongs to site "a" already`},
		{"bad name", []SiteConfig{named("a", "a b")}, "", `hostname "a b"`},
		{"wildcard inside", []SiteConfig{named("a", "a.*.test")}, "", `hostname "a.*.test"`},
		{"same site twice", []SiteConfig{named("a", "a.test"), named("a", "b.test")}, "", "named twice"},
		{"no such default", []SiteConfig{named("a", "a.test")}, "b", `default site "b"`},
		{"no site name", []SiteConfig{named("", "a.test")}, "", "no name"},
		{"no certificates", with(func(c *SiteConfig) { c.Certificates = nil }), "", "no source of certificates"},
		{"old version", with(func(c *SiteConfig) { c.MinVersion = tls.VersionTLS11 }), "", "TLS 1.1 is not supported"},
		{"client auth without CA", with(func(c *SiteConfig) { c.ClientAuth = tls.RequireAndVerifyClientCert }), "", "no client CA"},
	} {
		_, err := newPolicy(t, nil).Build(tc.sites, tc.fallback)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: Build = %v, want an error that says %q", tc.name, err, tc.says)
		}
	}
	if _, err := newPolicy(t, nil).Build(with(func(c *SiteConfig) {
		c.ClientAuth, c.ClientCAs, c.MinVersion = tls.RequireAndVerifyClientCert, x509.NewCertPool(), tls.VersionTLS13
	}), "a"); err != nil {
		t.Errorf("a valid site is refused: %v", err)
	}
	if _, err := newPolicy(t, nil).Build([]SiteConfig{named("a", "a b"), named("b", "c d")}, ""); err == nil ||
		!strings.Contains(err.Error(), "a b") || !strings.Contains(err.Error(), "c d") {
		t.Errorf("Build = %v, want all errors at once", err)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	p := newPolicy(t, nil)
	swap(t, p, "", named("a", "www.example.com", "*.wild.example.com"))
	for _, name := range []string{"www.example.com", "any.wild.example.com", "stranger.example.org", ""} {
		if n := testing.AllocsPerRun(100, func() { p.Lookup(name) }); n != 0 {
			t.Errorf("Lookup(%q) allocates %v times, want 0", name, n)
		}
		hello := &tls.ClientHelloInfo{ServerName: name, SupportedProtos: []string{"h2", "http/1.1"}}
		if n := testing.AllocsPerRun(100, func() { _, _ = p.choose(hello) }); n != 0 {
			t.Errorf("choosing the config for %q allocates %v times, want 0", name, n)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	p := newPolicy(b, nil)
	swap(b, p, "", named("a", "www.example.com"))
	hello := &tls.ClientHelloInfo{ServerName: "www.example.com", SupportedProtos: []string{"h2", "http/1.1"}}
	for b.Loop() {
		_, _ = p.choose(hello)
	}
}

// FuzzLookup: no server name panics, and the only names that lead to a site
// are its own, in any case.
func FuzzLookup(f *testing.F) {
	for _, s := range []string{"", "a.test", "A.TEST", "x.w.test", ".w.test", "*.w.test", "x.y.w.test", "a.test.", "[::1]", "\xff"} {
		f.Add(s)
	}
	table := build(f, "", named("a", "a.test", "*.w.test"))
	f.Fuzz(func(t *testing.T, name string) {
		if _, ok := table.Lookup(name); !ok {
			return
		}
		canonical := strings.TrimSuffix(strings.ToLower(name), ".")
		label, wild := strings.CutSuffix(canonical, ".w.test")
		if canonical != "a.test" && (!wild || label == "" || strings.Contains(label, ".")) {
			t.Errorf("Lookup(%q) leads to a site", name)
		}
	})
}
