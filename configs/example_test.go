package configs

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// byValue compares documents without regard to where they were read.
var byValue = cmp.Options{
	cmpopts.IgnoreUnexported(Node{}, Site{}),
	cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}),
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func loadSite(t *testing.T, path string) *Site {
	t.Helper()
	s, diags := LoadSite(path, Options{CompileRule: compileRule})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return s
}

func TestShop(t *testing.T) {
	want := &Site{
		Kind:      "Site",
		Name:      "shop",
		Hostnames: []string{"shop.example.com", "www.shop.example.com"},
		HTTP:      HTTPRedirect,
		TLS:       SiteTLS{Cert: Cert{Mode: CertAuto}, MinVersion: "1.2"},
		Origins: []Origin{{
			Name: "main", URL: mustURL(t, "https://10.1.2.3:8443"), Host: "shop.example.com", Weight: 1,
			Timeouts: Timeouts{Connect: 2 * time.Second, FirstByte: 15 * time.Second, Idle: time.Minute},
			Health:   &Health{Path: "/healthz", Interval: 10 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
		}},
		Cache: SiteCache{
			StaleWhileRevalidate: time.Minute,
			StaleIfError:         24 * time.Hour,
			Key:                  CacheKey{Query: KeyQuery{Exclude: []string{"utm_*"}}},
			Tags:                 []string{"Surrogate-Key", "Cache-Tag"},
			Placement:            PlacementOwner,
			SetCookie:            SetCookieBypass,
		},
		Affinity: Affinity{By: AffinityCookie, Name: "session", Scope: "pop"},
		Rules:    []Rule{{When: `request.path.startsWith("/account")`, Cache: &RuleCache{Mode: CacheBypass}}},
	}
	if d := cmp.Diff(want, loadSite(t, "examples/shop.yaml"), byValue); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestMinimalSite(t *testing.T) {
	want := &Site{
		Kind:      "Site",
		Name:      "minimal-site",
		Hostnames: []string{"www.example.com"},
		HTTP:      HTTPRedirect,
		TLS:       SiteTLS{Cert: Cert{Mode: CertAuto}, MinVersion: "1.2"},
		Origins: []Origin{{
			Name: "origin.example.com", URL: mustURL(t, "https://origin.example.com"), Weight: 1,
			Timeouts: Timeouts{Connect: 2 * time.Second, FirstByte: 15 * time.Second, Idle: time.Minute},
		}},
		Cache:    SiteCache{Placement: PlacementOwner, SetCookie: SetCookieBypass},
		Affinity: Affinity{By: AffinityNone, Scope: "pop"},
	}
	site := loadSite(t, "examples/minimal-site.yaml")
	if d := cmp.Diff(want, site, byValue); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if diags := CheckSet([]*Site{site}, &Node{}); len(diags) != 0 {
		t.Errorf("a minimal site is not clean: %v", diags)
	}
}

func TestNodeExample(t *testing.T) {
	want := &Node{
		Node: Identity{ID: 1, Name: "fra-1", Pop: "fra"},
		Listen: Listen{
			HTTPS: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8443")},
			HTTP:  []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080")},
			Peer:  netip.MustParseAddrPort("10.0.0.11:7443"),
		},
		Admin:   Admin{Listen: netip.MustParseAddrPort("127.0.0.1:9080")},
		Sites:   Sites{Dir: "examples/sites"},
		State:   "examples/state",
		Cache:   NodeCache{Memory: 256 << 20, Disk: &Disk{Path: "examples/cache", Size: 10 << 30}},
		Origins: NodeOrigins{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		ACME:    ACME{Directory: mustURL(t, "https://acme-v02.api.letsencrypt.org/directory")},
		TLS:     NodeTLS{ECH: &ECH{PublicName: "cover.example.com"}},
		Pop: &Pop{
			Listen:   netip.MustParseAddrPort("10.0.0.11:7946"),
			Join:     []string{"fra.nodes.example.com:7946", "10.0.0.12:7946"},
			Secret:   Secret{File: "examples/pop.key"},
			Weight:   1,
			Siblings: []Sibling{{ID: 11, Pop: "ams", Peer: netip.MustParseAddrPort("10.1.0.11:7443")}},
		},
		BGP: &BGP{
			ASN:      65001,
			RouterID: netip.MustParseAddr("10.0.0.11"),
			VIPs:     []netip.Prefix{netip.MustParsePrefix("198.51.100.10/32"), netip.MustParsePrefix("2001:db8::10/128")},
			MED:      new(uint32(0)), Communities: []string{"64500:20"}, LargeCommunities: []string{"64500:1:20"},
			Prefixes: []BGPPrefix{{Prefix: netip.MustParsePrefix("2001:db8::10/128"), MED: new(uint32(50))}},
			Deprefer: &Attributes{Prepend: 2, MEDAdd: 100},
			Gshut:    &Attributes{Prepend: 2, MEDAdd: 100},
			Peers: []Peer{
				{
					Address: netip.MustParseAddr("10.0.0.1"), ASN: 64500,
					Password: &Secret{File: "examples/md5"},
					BFD:      &BFD{TX: 100 * time.Millisecond, Multiplier: 3},
					HoldTime: 9 * time.Second, TTLSecurity: true,
					Communities: []string{"64500:30"}, Deprefer: &Attributes{Communities: []string{"64500:80"}},
				},
				{Address: netip.MustParseAddr("2001:db8:1::1"), ASN: 64500, HoldTime: 9 * time.Second, AddPath: true, TTLSecurity: true},
			},
		},
		Steer:  Steer{Mode: SteerAuto, Interface: "eth0"},
		Log:    Log{Level: "info", Access: "examples/access.log"},
		Drain:  Drain{Timeout: 30 * time.Second},
		Limits: limits.Default(),
	}
	got, diags := LoadNode("examples/node.yaml")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if d := cmp.Diff(want, got, byValue); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// TestPopExample has three nodes that agree on everything but themselves,
// and that run as they are once the secret is there.
func TestPopExample(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("examples/pop")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pop.key"), []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	sites, diags := LoadSites(filepath.Join(dir, "sites"), Options{CompileRule: compileRule})
	var gossip []string
	var first *Node
	for i := 1; i <= 3; i++ {
		n, more := LoadNode(filepath.Join(dir, fmt.Sprintf("node-%d.yaml", i)))
		if diags = append(diags, more...); n == nil {
			t.Fatal(diags)
		}
		diags = append(diags, CheckSet(sites, n)...)
		gossip = append(gossip, n.Pop.Listen.String())
		if first == nil {
			first = n
		}
		if int(n.Node.ID) != i || n.Node.Pop != first.Node.Pop || n.Pop.Secret != first.Pop.Secret || !slices.Equal(n.Pop.Join, first.Pop.Join) {
			t.Errorf("node %d: %+v, %+v", i, n.Node, n.Pop)
		}
	}
	if len(diags) != 0 || len(sites) != 1 || sites[0].Affinity != (Affinity{By: AffinitySticky, Name: StickyCookie, Scope: ScopePop}) {
		t.Errorf("%d sites, %v", len(sites), diags)
	}
	if !slices.Equal(gossip, first.Pop.Join) {
		t.Errorf("the nodes gossip at %v and join %v", gossip, first.Pop.Join)
	}
}

// TestForms reads the other ways to say things.
func TestForms(t *testing.T) {
	const document = `
hostnames: ["*.Example.COM.", bücher.example]
tls: { cert: { certificate: tls/a.crt, key: /etc/a.key }, min_version: 1.3 }
origins:
  - http://A.example:80/
  - { url: "https://[2001:DB8:0:0::1]:8443", tls: { ca: ca.pem, server_name: A.example }, timeouts: { idle: 1m30s } }
cache: { default_ttl: 30d, object_size: 1MB, set_cookie: strip }
rules:
  - { name: static, when: "true", cache: { ttl: 30d } }
  - { when: "true", redirect: { to: "https://example.com${path}", status: 301 } }
`
	s, diags := ParseSite("conf/forms.yaml", []byte(document), Options{})
	if len(diags) != 0 {
		t.Fatal(diags)
	}
	got := map[string]any{
		"hosts":    strings.Join(s.Hostnames, " "),
		"cert":     s.TLS.Cert,
		"min":      s.TLS.MinVersion,
		"first":    s.Origins[0].URL.String(),
		"second":   s.Origins[1].URL.String(),
		"names":    s.Origins[0].Name + " " + s.Origins[1].Name,
		"verify":   s.Origins[1].TLS,
		"idle":     s.Origins[1].Timeouts.Idle,
		"connect":  s.Origins[1].Timeouts.Connect,
		"ttl":      s.Cache.DefaultTTL,
		"object":   s.Cache.ObjectSize,
		"rule":     *s.Rules[0].Cache,
		"redirect": *s.Rules[1].Redirect,
		"where":    s.Where("origins[1].url"),
	}
	want := map[string]any{
		"hosts":    "*.example.com xn--bcher-kva.example",
		"cert":     Cert{Certificate: "conf/tls/a.crt", Key: "/etc/a.key"},
		"min":      "1.3",
		"first":    "http://a.example:80",
		"second":   "https://[2001:db8::1]:8443",
		"names":    "a.example-80 2001-db8--1-8443",
		"verify":   OriginTLS{CA: "conf/ca.pem", ServerName: "a.example"},
		"idle":     90 * time.Second,
		"connect":  2 * time.Second,
		"ttl":      TTL{Fixed: true, Duration: 30 * 24 * time.Hour},
		"object":   int64(1e6),
		"rule":     RuleCache{TTL: 30 * 24 * time.Hour},
		"redirect": Redirect{To: "https://example.com${path}", Status: 301},
		"where":    "conf/forms.yaml:6",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestLimits(t *testing.T) {
	n, diags := ParseNode("node.yaml", []byte(`
node: { id: 7 }
listen: { http: ["[::1]:0"] }
limits: { request_head: 64KiB, idle_time: 5m, min_rate: 1KB, streams: 250 }
`))
	if len(diags) != 0 {
		t.Fatal(diags)
	}
	want := limits.Default()
	want.RequestHead = 64 << 10
	want.IdleTime = 5 * time.Minute
	want.MinRate = 1000
	want.Streams = 250
	if n.Limits != want {
		t.Errorf("limits = %+v, want %+v", n.Limits, want)
	}
	if n.Node.Name != "node-7" || n.Node.Pop != "local" || n.Sites.Dir != "sites" {
		t.Errorf("defaults: %+v, sites %q", n.Node, n.Sites.Dir)
	}
}
