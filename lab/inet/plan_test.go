package inet

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

func TestPlanHasNoAddressTwice(t *testing.T) {
	p := NewPlan("x")
	seen := map[netip.Addr]string{VIP4: "VIP", VIP6: "VIP"}
	add := func(who string, prefixes ...netip.Prefix) {
		for _, prefix := range prefixes {
			if !prefix.IsValid() {
				continue
			}
			if other, dup := seen[prefix.Addr()]; dup {
				t.Errorf("%s has the address %s of %s", who, prefix.Addr(), other)
			}
			seen[prefix.Addr()] = who
		}
	}
	for _, r := range p.Routers {
		add(r.Name, r.LAN4, r.LAN6, netip.PrefixFrom(r.ID, 32))
	}
	for _, l := range p.Links {
		add(l.Name(), l.Left4, l.Right4, l.Left6, l.Right6)
	}
	for _, n := range p.Nodes {
		add(n.Name, n.LAN4, n.LAN6)
	}
	for _, c := range p.Clients {
		add("client "+c.Name, c.LAN4, c.LAN6)
	}
}

func TestPlanIsWhatScenariosSpeakOf(t *testing.T) {
	p := NewPlan("x")
	for _, l := range p.Links {
		if p.Router(l.Left) == nil || p.Router(l.Right) == nil {
			t.Errorf("link %s ends nowhere", l.Name())
		}
		if strings.ContainsAny(l.Left+l.Right, "-.") {
			t.Errorf("link %s cannot be told apart into its ends", l.Name())
		}
	}
	for _, pop := range p.Pops() {
		nodes := p.PopNodes(pop)
		if len(nodes) != nodesPerPop {
			t.Errorf("PoP %s has %d nodes", pop, len(nodes))
		}
		for _, n := range nodes {
			if n.Gateway4 != p.Router(pop).LAN4.Addr() || !p.Router(pop).LAN4.Contains(n.LAN4.Addr()) || !p.Router(pop).LAN6.Contains(n.LAN6.Addr()) {
				t.Errorf("node %s is not next to its border: %+v", n.Name, n)
			}
		}
	}
	ids := map[uint8]bool{}
	for _, n := range p.Nodes {
		if ids[n.ID] {
			t.Errorf("two nodes have the id %d", n.ID)
		}
		ids[n.ID] = true
	}
}

func TestNamesOfLabs(t *testing.T) {
	for name, good := range map[string]bool{"default": true, "a1": true, "": false, "a-b": false, "../x": false, "A": false, strings.Repeat("x", 17): false} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestBIRDTakesItsConfigurations has BIRD itself read every router's, with
// every kind of policy.
func TestBIRDTakesItsConfigurations(t *testing.T) {
	bird := testneed.Command(t, "bird", "bird2")
	med := uint32(50)
	for _, policy := range []Policy{{}, {Prepend: MaxPrepend, MED: &med, Communities: []string{"64496:80", GracefulShutdown}}} {
		p := NewPlan("x")
		for i := range p.Routers {
			r := &p.Routers[i]
			dir := t.TempDir()
			file := filepath.Join(dir, "bird.conf")
			if err := os.WriteFile(file, []byte(birdConf(p, r, dir, policy)), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(bird, "-p", "-c", file).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", r.Name, err, out)
			}
		}
	}
}

// TestConfigurationsSayWhatIsDecided looks for what must not get lost:
// TTL security and BFD towards nodes, none of it between networks, and that
// every provider honours graceful shutdown.
func TestConfigurationsSayWhatIsDecided(t *testing.T) {
	p := NewPlan("x")
	med := uint32(7)
	policy := Policy{Prepend: 2, MED: &med, Communities: []string{"64496:80"}}
	for _, c := range []struct {
		router, kind string
		has          []string
		hasNot       []string
	}{
		{"a", BIRD, []string{"ttl security on", "bfd on", "bgp_path.len - 1 + 2", "bgp_med = 7", "bgp_community.add((64496, 80))", "graceful restart off"}, nil},
		{"t1", BIRD, []string{"(65535, 0) ~ bgp_community then bgp_local_pref = 0", "(64496, 80)", "(64496, 120)"}, []string{"bfd on", "ttl security"}},
		{"e1", BIRD, []string{"export where net = 10.64.1.0/24"}, []string{"bfd on"}},
		{"a", FRR, []string{"neighbor 10.64.5.11 bfd profile edge", "set metric 7", "set community 64496:80 additive", "remove-private-AS all", "multipath-relax"}, nil},
		{"t1", FRR, []string{"match community GSHUT\n set local-preference 0", "permit 64496:80", "default-originate"}, []string{"ttl-security", "bfd"}},
	} {
		text := birdConf(p, p.Router(c.router), "/x", policy)
		if c.kind == FRR {
			text = frrConf(p, p.Router(c.router), "/x", policy)
		}
		for _, s := range c.has {
			if !strings.Contains(text, s) {
				t.Errorf("%s of %s does not say %q", c.kind, c.router, s)
			}
		}
		for _, s := range c.hasNot {
			if strings.Contains(text, s) {
				t.Errorf("%s of %s says %q", c.kind, c.router, s)
			}
		}
	}
}

func TestNodeFileSaysWhoIsWhere(t *testing.T) {
	p := NewPlan("x")
	text := nodeFile(p, p.Node("b2"), BIRD, "/lab")
	for _, s := range []string{
		"id: 5, name: b2, pop: b", `"198.51.100.10:443"`, `"[2001:db8:10::10]:443"`, `"10.64.6.12:443"`, "hold_time: 9s", "bfd: { tx: 100ms, multiplier: 3 }",
		`"198.51.100.0/24", "198.51.100.10/32", "2001:db8:10::/48", "2001:db8:10::10/128"`,
		`{ id: 1, pop: a, peer: "10.64.5.11:7443" }`, "asn: 65002", `address: "10.64.6.1", asn: 64500`,
	} {
		if !strings.Contains(text, s) {
			t.Errorf("the node file does not say %q:\n%s", s, text)
		}
	}
}

func TestBirdSessions(t *testing.T) {
	got := birdSessions("a", `BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     2026-11-30 16:59:50.123
t1_v4      BGP        ---        up     2026-11-30 16:59:50.968  Established   
a1_v6      BGP        ---        start  2026-11-30 16:59:50.968  Active        Socket: Connection refused
`)
	want := []Session{
		{Router: "a", Peer: "t1", Family: V4, Established: true, State: "Established"},
		{Router: "a", Peer: "a1", Family: V6, State: "Active Socket: Connection refused"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBirdPath(t *testing.T) {
	path, found := birdPath("\tType: BGP univ\n\tBGP.origin: IGP\n\tBGP.as_path: 64496 64500\n\tBGP.next_hop: 10.0.0.1\n")
	if !found || !slices.Equal(path, []uint32{64496, 64500}) {
		t.Errorf("path %v, %v", path, found)
	}
	if _, found := birdPath("Network not found\n"); found {
		t.Error("found a path where there is none")
	}
}

func TestGateways(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"none", "", nil},
		{"empty", "[]", nil},
		{"one", `[{"dst":"198.51.100.10","gateway":"10.64.5.11","dev":"lan"}]`, []string{"10.64.5.11"}},
		{"several", `[{"dst":"198.51.100.10","nexthops":[{"gateway":"10.64.5.11"},{"gateway":"10.64.5.12"}]}]`, []string{"10.64.5.11", "10.64.5.12"}},
		{"IPv6, a route each", `[{"dst":"x","gateway":"fd64:5::b"},{"dst":"x","gateway":"fd64:5::c"}]`, []string{"fd64:5::b", "fd64:5::c"}},
	} {
		got, err := gateways(c.text)
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
			continue
		}
		for i := range got {
			if got[i].String() != c.want[i] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
}
