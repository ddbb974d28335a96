package routerconf

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// usual is a node that has two routers' addresses, one for each family.
func usual() Node {
	return Node{
		Name: "fra-1",
		BGP: bgp.Config{
			ASN: 65001, RouterID: netip.MustParseAddr("10.77.0.11"),
			VIPs: []netip.Prefix{netip.MustParsePrefix("198.51.100.10/32"), netip.MustParsePrefix("2001:db8:10::1/128")},
			Peers: []bgp.PeerConfig{
				{Address: netip.MustParseAddr("10.77.0.1"), ASN: 64500, Password: "secret"},
				{Address: netip.MustParseAddr("fd77::1"), ASN: 64500, Password: "secret"},
			},
		},
		BFD: map[netip.Addr]BFD{
			netip.MustParseAddr("10.77.0.1"): {100 * time.Millisecond, 3},
			netip.MustParseAddr("fd77::1"):   {100 * time.Millisecond, 3},
		},
		Addresses: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("198.51.100.10/32"),
			netip.MustParsePrefix("10.77.0.11/24"), netip.MustParsePrefix("fd77::11/64"),
		},
	}
}

// TestFRRHasOneOrTheOther: BFD, or TTL security.
func TestFRRHasOneOrTheOther(t *testing.T) {
	node := usual()
	for _, without := range []bool{false, true} {
		for i := range node.BGP.Peers {
			node.BGP.Peers[i].NoTTLSecurity = without
		}
		text, err := Write(node, Options{For: FRR})
		if err != nil {
			t.Fatal(err)
		}
		if bfd, ttl := strings.Contains(text, " bfd 3 100 100"), strings.Contains(text, "ttl-security hops"); bfd != without || ttl == without {
			t.Errorf("without TTL security %v: BFD %v, TTL security %v", without, bfd, ttl)
		}
	}
}

// TestGolden holds what is written to the files that the documentation
// shows, and that routers run in the lab. LANDFALL_UPDATE writes them.
func TestGolden(t *testing.T) {
	far := usual()
	far.BGP.Peers = []bgp.PeerConfig{
		{Address: netip.MustParseAddr("192.0.2.1"), ASN: 65001, Multihop: 2, AddPath: true, HoldTime: 30 * time.Second},
		{Address: netip.MustParseAddr("2001:db8:1::1"), ASN: 64500, Multihop: 3, Passive: true},
	}
	far.BGP.VIPs = append(far.BGP.VIPs, netip.MustParsePrefix("198.51.100.64/26"))
	far.BFD = nil
	for _, c := range []struct {
		file string
		node Node
		opts Options
	}{
		{"usual.bird.conf", usual(), Options{For: BIRD}},
		{"usual.frr.conf", usual(), Options{For: FRR}},
		{"second.bird.conf", usual(), Options{For: BIRD, NodeOnly: true, Peers: []netip.Addr{netip.MustParseAddr("10.77.0.1")}}},
		{"second.frr.conf", usual(), Options{For: FRR, NodeOnly: true, Peers: []netip.Addr{netip.MustParseAddr("10.77.0.1")}}},
		{"far.bird.conf", far, Options{For: BIRD}},
		{"far.frr.conf", far, Options{For: FRR}},
	} {
		t.Run(c.file, func(t *testing.T) {
			got, err := Write(c.node, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", c.file)
			if os.Getenv("LANDFALL_UPDATE") != "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs from what is written:\n%s", file, got)
			}
			if strings.Contains(got, "secret") {
				t.Error("the key is shown")
			}
		})
	}
}

// TestPageShowsGolden has the page about BGP show what is tested.
func TestPageShowsGolden(t *testing.T) {
	page, err := os.ReadFile("../../docs/operate/bgp.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"usual.bird.conf", "usual.frr.conf"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "```\n"+string(text)+"```\n") {
			t.Errorf("the page has no code block that is testdata/%s", file)
		}
	}
}

func TestNodeAddress(t *testing.T) {
	for _, c := range []struct {
		name  string
		known []string
		want  string
	}{
		{"on the router's network", []string{"10.9.0.1/16", "10.77.0.11/24"}, "10.77.0.11"},
		{"the only one that is known", []string{"10.77.0.12/32", "fd77::12/128"}, "10.77.0.12"},
		{"one of two", []string{"10.77.0.12/32", "10.77.0.13/32"}, NodeIPv4},
		{"of another network", []string{"10.9.0.1/16"}, NodeIPv4},
		{"none but the VIP", []string{"198.51.100.10/32"}, NodeIPv4},
		{"none", nil, NodeIPv4},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := usual()
			n.Addresses = nil
			for _, a := range c.known {
				n.Addresses = append(n.Addresses, netip.MustParsePrefix(a))
			}
			if got := n.towards(n.BGP.Peers[0]); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if missing := Missing(n); (c.want == NodeIPv4) != (len(missing) > 0 && missing[0] == n.BGP.Peers[0].Address) {
				t.Errorf("missing %v", missing)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	two := usual()
	two.BGP.Peers = append(two.BGP.Peers, bgp.PeerConfig{Address: netip.MustParseAddr("10.77.0.2"), ASN: 64500})
	for _, c := range []struct {
		name string
		node Node
		opts Options
		says string
	}{
		{"another router's language", usual(), Options{For: "junos"}, "bird and frr"},
		{"no peer", usual(), Options{For: BIRD, Peers: []netip.Addr{netip.MustParseAddr("10.77.0.9")}}, "its peers are 10.77.0.1, fd77::1"},
		{"two routers at once", two, Options{For: BIRD}, "10.77.0.1 and 10.77.0.2 are two routers"},
		{"one of two", two, Options{For: BIRD, Peers: []netip.Addr{netip.MustParseAddr("10.77.0.2")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Write(c.node, c.opts)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want one with %q", err, c.says)
			}
		})
	}
}

func TestIdentifier(t *testing.T) {
	for name, want := range map[string]string{"fra-1": "fra_1", "1st": "node_1st", "": "node_", "a b;c": "a_b_c"} {
		if got := identifier(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}
