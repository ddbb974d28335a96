package site

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func table(t *testing.T, fallback string, sites ...*Site) *Table {
	t.Helper()
	tab, err := NewTable(sites, fallback)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestLookup(t *testing.T) {
	shop := &Site{Name: "shop", Hostnames: []string{"shop.example", "*.shop.example"}}
	api := &Site{Name: "api", Hostnames: []string{"api.shop.example"}}
	tab := table(t, "shop", shop, api)
	for _, tc := range []struct {
		host string
		want *Site
	}{
		{"shop.example", shop},
		{"www.shop.example", shop},
		{"api.shop.example", api}, // an exact name wins over a wildcard
		{"a.b.shop.example", nil}, // a wildcard covers one label
		{"example", nil},
		{"hop.example", nil},
		{"", nil},
	} {
		if got := tab.Lookup(tc.host); got != tc.want {
			t.Errorf("%q is of %+v, want %+v", tc.host, got, tc.want)
		}
	}
	if tab.LookupServerName("") != shop || tab.LookupServerName("api.shop.example") != api {
		t.Error("server names: a client without SNI gets the fallback, others their site")
	}
	if table(t, "", shop).LookupServerName("") != nil {
		t.Error("without a fallback a client without SNI has a site")
	}
}

func TestTableRefuses(t *testing.T) {
	a := &Site{Name: "a", Hostnames: []string{"x.example", "*.x.example"}}
	for _, tc := range []struct {
		name, fallback, says string
		sites                []*Site
	}{
		{"a name claimed twice", "", "x.example belongs to site a and to site b", []*Site{a, {Name: "b", Hostnames: []string{"x.example"}}}},
		{"a wildcard claimed twice", "", "*.x.example belongs to", []*Site{a, {Name: "b", Hostnames: []string{"*.x.example"}}}},
		{"a fallback that is no site", "c", `"c"`, []*Site{a}},
	} {
		if _, err := NewTable(tc.sites, tc.fallback); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error %v, want one that says %s", tc.name, err, tc.says)
		}
	}
}

// TestManyHosts: lookup does not change its rules with the number of
// hosts.
func TestManyHosts(t *testing.T) {
	var sites []*Site
	for i := range 1500 {
		sites = append(sites, &Site{Name: fmt.Sprint(i), Hostnames: []string{fmt.Sprintf("h%d.example", i), fmt.Sprintf("*.w%d.example", i)}})
	}
	tab := table(t, "", sites...)
	for i, s := range sites {
		if tab.Lookup(fmt.Sprintf("h%d.example", i)) != s || tab.Lookup(fmt.Sprintf("a.w%d.example", i)) != s {
			t.Fatalf("host %d is lost", i)
		}
	}
	if n := testing.AllocsPerRun(100, func() { tab.Lookup("a.w7.example") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func compiler(t *testing.T) *Compiler {
	t.Helper()
	c, err := NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConditions(t *testing.T) {
	c := compiler(t)
	r := &exchange.Request{
		Method: "GET", Scheme: "https", Host: "shop.example", Path: "/account/1", Query: "?a=b",
		Client: netip.MustParseAddrPort("192.0.2.7:1000"),
		Header: exchange.Header{{Name: "accept", Value: "a"}, {Name: "accept", Value: "b"}, {Name: "cookie", Value: "sid=1; sid=2; x=y"}},
	}
	for expr, want := range map[string]bool{
		`request.path.startsWith("/account")`:                              true,
		`request.path.startsWith("/accounts")`:                             false,
		`request.method == "GET" && request.scheme == "https"`:             true,
		`request.host == "shop.example"`:                                   true,
		`request.query == "a=b"`:                                           true,
		`request.headers["accept"] == "a, b"`:                              true,
		`"sid" in request.cookies && request.cookies["sid"] == "1"`:        true,
		`"absent" in request.headers`:                                      false,
		`client.ip == "192.0.2.7"`:                                         true,
		`request.path.matches("^/account/[0-9]+$")`:                        true,
		`request.cookies.exists(name, name == "x")`:                        true,
		`!(request.path.endsWith(".css") || request.path.endsWith(".js"))`: true,
	} {
		cond, err := c.Compile(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got, err := cond.Met(r); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", expr, got, err, want)
		}
	}
}

func TestConditionsThatAreRefused(t *testing.T) {
	c := compiler(t)
	for expr, says := range map[string]string{
		`request.paht == "/"`: "request.paht",
		`request.path`:        "must be true or false",
		`request.path ==`:     "Syntax error",
		`request.path == 1`:   "no matching overload",
		`request.headers.exists(a, request.headers.exists(b, request.headers.exists(c, request.headers.exists(d, a + b == c + d))))`: "can cost",
	} {
		if err := c.Check(expr); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one that says %q", expr, err, says)
		}
	}
}

func TestConditionThatCannotBeEvaluatedIsNotMet(t *testing.T) {
	cond, err := compiler(t).Compile(`request.headers["absent"] == "x"`)
	if err != nil {
		t.Fatal(err)
	}
	if met, err := cond.Met(&exchange.Request{}); met || err == nil {
		t.Errorf("%v, %v", met, err)
	}
}

func TestRedirectTarget(t *testing.T) {
	r := &exchange.Request{Host: "a.example", Path: "/p%20q", Query: "?x=${path}"}
	if got, want := (&Redirect{To: "https://b.example${path}${query}#${host}"}).Target(r), "https://b.example/p%20q?x=${path}#a.example"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzCompile: no expression makes the compiler or an evaluation panic.
func FuzzCompile(f *testing.F) {
	f.Add(`request.path.startsWith("/a")`)
	f.Add(`request.headers.exists(h, h == "a")`)
	f.Add(`[1,2][3] == 1 ? true : "a".matches("(")`)
	c, err := NewCompiler()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, expr string) {
		if cond, err := c.Compile(expr); err == nil {
			_, _ = cond.Met(&exchange.Request{Path: "/"})
		}
	})
}
