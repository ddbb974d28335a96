package doctor

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

const nodeFile = `
node:    { id: 1, name: fra-1, pop: fra }
listen:  { https: ["198.51.100.10:443", "[2001:db8:10::1]:443"], peer: "10.77.0.11:7443" }
pop:     { listen: "10.77.0.11:7946", join: ["10.77.0.12:7946"], secret: { file: ./pop.key }, siblings: [{ id: 4, pop: ams, peer: "10.88.0.14:7443" }] }
bgp:
  asn: 65001
  router_id: 10.77.0.11
  vips: ["198.51.100.10/32", "2001:db8:10::1/128"]
  listen: [10.77.0.11]
  peers: [{ address: 10.77.0.1, asn: 64500, password: { file: ./md5 }, bfd: {} }, { address: "fd77::1", asn: 64500 }]
`

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// well are the facts of a node that lacks nothing, and runs.
func well(t *testing.T) *Facts {
	t.Helper()
	conf, diags := configs.ParseNode("node.yaml", []byte(nodeFile))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	at := func(p, name string, mtu int) Address { return Address{netip.MustParsePrefix(p), name, mtu} }
	return &Facts{
		Conf: conf,
		Addresses: []Address{
			at("127.0.0.1/8", "lo", 65536), at("198.51.100.10/32", "lo", 65536), at("2001:db8:10::1/128", "lo", 65536),
			at("10.77.0.11/24", "lan", 1500), at("fd77::11/64", "lan", 1500), at("10.99.0.1/24", "narrow", 1400), at("10.98.0.1/24", "jumbo", 9000),
		},
		Routes: map[netip.Addr]Route{addr("10.77.0.1"): {Source: addr("10.77.0.11")}, addr("fd77::1"): {Source: addr("fd77::11")}, addr("10.77.0.12"): {Source: addr("10.77.0.11")}},
		Ports:  map[netip.AddrPort]error{netip.MustParseAddrPort("10.77.0.11:179"): syscall.EADDRINUSE}, LowPorts: true,
		MD5: map[netip.Addr]error{addr("10.77.0.1"): nil}, Files: 1 << 20, Secrets: map[string]Secret{"pop.secret": {Mode: 0o600}},
		Running: &Running{
			Nodes: []pop.Node{{Name: "fra-1", Self: true, L7: "active", Relay: "self", Sites: "a"}, {Name: "fra-2", L7: "active", Relay: "reachable", Sites: "a"}},
			BGP: pop.BGP{
				Peers:  []pop.Peer{{Address: "10.77.0.1", State: "established", BFD: "up"}, {Address: "fd77::1", State: "established", BFD: "off"}},
				Routes: []pop.Route{{Prefix: "198.51.100.10/32", Peer: "10.77.0.1"}, {Prefix: "2001:db8:10::1/128", Peer: "fd77::1"}},
			},
			Announce: Announce{Rung: "normal", Wanted: "normal", Others: []Other{{2, 0.5}, {4, 0.5}}},
		},
	}
}

func TestAllIsWell(t *testing.T) {
	found := Examine(well(t))
	for _, f := range found {
		if f.Verdict != OK || f.Means != "" || f.Do != "" {
			t.Errorf("%+v", f)
		}
	}
	if len(found) != 19 || Failed(found) != 0 {
		t.Errorf("%d findings: %+v", len(found), found)
	}
}

// TestOneThingIsWrong breaks one thing after the other: the check that is
// about it says so, and no other does.
func TestOneThingIsWrong(t *testing.T) {
	for _, c := range []struct {
		name    string
		spoil   func(*Facts)
		check   string
		verdict string
		says    string
	}{
		{"a VIP is not bound", func(f *Facts) { f.Addresses = append(f.Addresses[:1:1], f.Addresses[2:]...) }, "vips", Fail, "198.51.100.10/32 is not"},
		{"nothing listens at a VIP", func(f *Facts) { f.Conf.Listen.HTTPS = f.Conf.Listen.HTTPS[:1] }, "listeners", Fail, "2001:db8:10::1/128"},
		{"no capability", func(f *Facts) { f.LowPorts = false }, "low ports", Fail, "10.77.0.11:179"},
		{"another BGP daemon", func(f *Facts) { f.Running = nil }, "port 179", Fail, "address already in use"},
		{"no MD5", func(f *Facts) { f.MD5[addr("10.77.0.1")] = errors.New("protocol not available") }, "tcp md5", Fail, "10.77.0.1: protocol"},
		{"a far router", func(f *Facts) { f.Conf.BGP.Peers[0].Address = addr("10.80.0.1") }, "peers on link", Fail, "10.80.0.1 is on no network"},
		{"no route", func(f *Facts) { f.Routes[addr("10.77.0.12")] = Route{Err: syscall.ENETUNREACH} }, "routes", Fail, "10.77.0.12: network is unreachable"},
		{"a tunnel", func(f *Facts) {
			for a := range f.Routes {
				f.Routes[a] = Route{Source: addr("10.99.0.1")}
			}
		}, "mtu", Warn, "narrow has 1400"},
		{"two sizes", func(f *Facts) { f.Routes[addr("10.77.0.12")] = Route{Source: addr("10.98.0.1")} }, "mtu", Warn, "lan has 1500; jumbo has 9000"},
		{"a clock of its own", func(f *Facts) { f.Clock = errors.New("nothing keeps it") }, "clock", Warn, "nothing keeps it"},
		{"few descriptors", func(f *Facts) { f.Files = 4096 }, "descriptors", Warn, "4096"},
		{"next to none", func(f *Facts) { f.Files = 256 }, "descriptors", Fail, "256"},
		{"a full disk", func(f *Facts) { f.State = syscall.ENOSPC }, "state folder", Fail, "no space"},
		{"a secret for all", func(f *Facts) { f.Secrets["pop.secret"] = Secret{Mode: 0o644} }, "secrets", Fail, "everybody"},
		{"a secret for none", func(f *Facts) { f.Secrets["pop.secret"] = Secret{Err: syscall.EACCES} }, "secrets", Fail, "permission denied"},
		{"another program answers", func(f *Facts) { f.Running.Err = errors.New("none of a Landfall node") }, "node", Fail, "none of"},
		{"no session", func(f *Facts) { f.Running.BGP.Peers[0].State = "active" }, "bgp sessions", Fail, "10.77.0.1 is active"},
		{"no speaker", func(f *Facts) { f.Running.BGP.Speaker = "crashed" }, "bgp sessions", Fail, "crashed"},
		{"no BFD", func(f *Facts) { f.Running.BGP.Peers[0].BFD = "down" }, "bfd", Warn, "10.77.0.1 is down"},
		{"held", func(f *Facts) { f.Running.Announce.Held = "fell 4 times" }, "announcement", Warn, "fell 4"},
		{"refused", func(f *Facts) { f.Running.Announce.Refusals = []pop.Refusal{{Interlock: "no-view", Reason: "alone"}} }, "announcement", Warn, "no-view: alone"},
		{"a router that sends", func(f *Facts) { f.Running.BGP.Peers[0].Received = 7 }, "routes told", Warn, "sends 7 routes"},
		{"a router that was not told", func(f *Facts) { f.Running.BGP.Routes = f.Running.BGP.Routes[:1] }, "routes told", Warn, "fd77::1 was told no route"},
		{"a node that is gone", func(f *Facts) { f.Running.Nodes[1].L7 = "gone" }, "members", Warn, "fra-2 is gone"},
		{"alone", func(f *Facts) { f.Running.Nodes = f.Running.Nodes[:1] }, "members", Warn, "found no other"},
		{"another PoP is silent", func(f *Facts) { f.Running.Announce.Others[1].Age = 60 }, "fleet", Warn, "node 4 of ams"},
		{"other sites", func(f *Facts) { f.Running.Nodes[1].Sites = "b" }, "members", Warn, "different sites"},
	} {
		t.Run(c.name, func(t *testing.T) {
			facts := well(t)
			c.spoil(facts)
			for _, f := range Examine(facts) {
				switch {
				case f.Check != c.check:
					if f.Verdict != OK {
						t.Errorf("also %+v", f)
					}
				case f.Verdict != c.verdict || !strings.Contains(f.Text, c.says) || f.Means == "" || f.Do == "":
					t.Errorf("%+v, want %s with %q, what it means and what to do", f, c.verdict, c.says)
				}
			}
		})
	}
}

// TestSilent has a node that does not run, and has no PoP and no BGP, pass
// with fewer questions.
func TestSilent(t *testing.T) {
	conf, _ := configs.ParseNode("node.yaml", []byte("node: { id: 1 }\nlisten: { http: [\"127.0.0.1:8080\"] }\n"))
	found := Examine(&Facts{Conf: conf, Files: 1 << 20})
	for _, f := range found {
		if f.Verdict != OK {
			t.Errorf("%+v", f)
		}
	}
	if last := found[len(found)-1]; !strings.Contains(last.Text, "does not run") {
		t.Errorf("%+v", last)
	}
}

// TestLook gathers from this machine: what it has, and what it has not.
func TestLook(t *testing.T) {
	conf, _ := configs.ParseNode(t.TempDir()+"/node.yaml", []byte(nodeFile))
	f, err := Look(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	if !f.has(addr("127.0.0.1")) || f.State != nil {
		t.Errorf("addresses %v, state %v", f.Addresses, f.State)
	}
	for key, s := range f.Secrets {
		if s.Err == nil {
			t.Errorf("%s, whose file is not there, is readable", key)
		}
	}
	if len(f.Secrets) != 2 || len(f.Routes) != 4 || len(f.Ports) != 1 {
		t.Errorf("secrets %v, routes %v, ports %v", f.Secrets, f.Routes, f.Ports)
	}
}
