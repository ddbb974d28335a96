package members

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
)

func TestNodesFindEachOther(t *testing.T) {
	one := start(t, configOf(t, 1))
	conf := configOf(t, 2, one)
	conf.Self.Weight, conf.Self.L4 = 3, affinity.Joining
	conf.Sites, conf.Purges = func() uint64 { return 7 }, func() uint64 { return 9 }
	two := start(t, conf)
	three := start(t, configOf(t, 3, two))
	var tables []uint64
	for _, n := range []*node{one, two, three} {
		v := n.sees("1 active, 2 active, 3 active")
		want := []affinity.Member{one.conf.Self, two.conf.Self, three.conf.Self}
		if !slices.Equal(v.Members, want) {
			t.Errorf("node %d sees %+v, want %+v", n.conf.Self.ID, v.Members, want)
		}
		table, err := affinity.Build(n.conf.Self.ID, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		tables = append(tables, table.Hash())
		n.content()
	}
	if tables[0] != tables[1] || tables[1] != tables[2] {
		t.Errorf("three tables of one PoP: %x", tables)
	}
	views, _ := one.seen()
	for i, v := range views {
		if v.Generation != uint64(i+1) {
			t.Errorf("view %d has generation %d", i+1, v.Generation)
		}
	}
	if shape(views[0]) != "1 active" {
		t.Errorf("the first view is %q, want this node alone", shape(views[0]))
	}
	infos := one.List()
	if len(infos) != 3 || !infos[0].Self || infos[1].Self || infos[1].Gossip != two.Addr() || infos[1].Version != "v1" ||
		infos[1].Sites != 7 || infos[1].Purges != 9 || !infos[1].Alive || !infos[1].Reached || infos[1].Refused != "" {
		t.Errorf("list %+v", infos)
	}
	if got := one.metric("landfall_members", "active"); got != 3 {
		t.Errorf("%v active members counted", got)
	}
}

func TestSettingStates(t *testing.T) {
	one := start(t, configOf(t, 1))
	conf := configOf(t, 2, one)
	conf.Self.L4, conf.Self.L7 = affinity.Joining, affinity.Joining
	two := start(t, conf)
	one.sees("1 active, 2 joining")
	for _, s := range []affinity.State{affinity.Active, affinity.Draining, affinity.Active, affinity.Gone} {
		two.SetState(affinity.Draining, s)
		for _, n := range []*node{one, two} {
			if v := n.sees("1 active, 2 " + s.String()); v.Members[1].L4 != affinity.Draining {
				t.Errorf("node %d: packets are %v", n.conf.Self.ID, v.Members[1].L4)
			}
		}
	}
}

func TestWhatChangesIsTold(t *testing.T) {
	one := start(t, configOf(t, 1))
	var purges atomic.Uint64
	conf := configOf(t, 2, one)
	conf.Purges = purges.Load
	start(t, conf)
	one.sees("1 active, 2 active")
	purges.Store(42)
	eventually(t, "the cursor of node 2 is known", func() bool { return one.List()[1].Purges == 42 })
	views, _ := one.seen()
	if len(views) != 2 {
		t.Errorf("%d views, want 2: a cursor is none of their business", len(views))
	}
}

func TestLeaving(t *testing.T) {
	conf := configOf(t, 1)
	conf.Tuning.Quarantine = 2 * time.Second
	one := start(t, conf)
	two := start(t, configOf(t, 2, one))
	one.sees("1 active, 2 active")
	two.stop()
	v := one.saw("1 active, 2 gone")
	if v.Members[1].L4 != affinity.Gone || v.Members[1].Peer != two.conf.Self.Peer {
		t.Errorf("a node that went is %+v", v.Members[1])
	}
	one.sees("1 active")
}

func TestReach(t *testing.T) {
	conf := configOf(t, 1)
	conf.Tuning.Rise = 100 * time.Millisecond
	one := start(t, conf)
	two := start(t, configOf(t, 2, one))
	one.Reach(9, false) // nobody has the id
	one.sees("1 active, 2 active")
	one.Reach(1, false) // itself is always reached
	one.Reach(2, false)
	one.sees("1 active, 2 gone")
	one.complains("node 2 gossips and cannot be reached")
	if got := one.metric("landfall_members_unreached", ""); got != 1 || one.List()[1].Reached {
		t.Errorf("%v nodes counted as lost, listed as %+v", got, one.List()[1])
	}
	two.sawOnly(2, "1 active, 2 active")
	one.Reach(2, true)
	one.sees("1 active, 2 active")
	one.content()
	if !one.List()[1].Reached {
		t.Error("listed as not reached")
	}
}

// TestRestart ends a node without a word and starts it again at once, at
// its address and with the name it had or another one.
func TestRestart(t *testing.T) {
	for _, c := range []struct {
		test, name string
	}{{"same name", "node-2"}, {"new name", "node-two"}} {
		t.Run(c.test, func(t *testing.T) {
			var wire network
			one := start(t, configOf(t, 1))
			conf := configOf(t, 2, one)
			conf.wrap = wire.wrap
			two := start(t, conf)
			one.sees("1 active, 2 active")
			wire.set(func(_, _ netip.AddrPort) bool { return true }) // nobody hears it leave
			two.stop()
			conf = configOf(t, 2, one)
			conf.Listen, conf.Self.Name = two.Addr(), c.name
			again := start(t, conf)
			again.sees("1 active, 2 active")
			eventually(t, "the new start is the member", func() bool {
				infos := one.List()
				return len(infos) == 2 && infos[1].Name == c.name && infos[1].Alive
			})
			one.content()
			again.content()
			for _, n := range []*node{one, again} {
				if got := n.metric("landfall_members_refused_total", "id"); got != 0 {
					t.Errorf("node %d refused %v", n.conf.Self.ID, got)
				}
			}
		})
	}
}

// TestPartition cuts a PoP of four in two halves, and heals it.
func TestPartition(t *testing.T) {
	var wire network
	var nodes []*node
	for id := affinity.NodeID(1); id <= 4; id++ {
		var first []*node
		if id > 1 {
			first = nodes[:1]
		}
		conf := configOf(t, id, first...)
		conf.wrap = wire.wrap
		nodes = append(nodes, start(t, conf))
	}
	const whole = "1 active, 2 active, 3 active, 4 active"
	for _, n := range nodes {
		n.sees(whole)
	}
	half := map[netip.AddrPort]bool{nodes[2].Addr(): true, nodes[3].Addr(): true}
	wire.set(func(from, to netip.AddrPort) bool { return half[from] != half[to] })
	for i, n := range nodes {
		n.sees([]string{"1 active, 2 active, 3 gone, 4 gone", "1 gone, 2 gone, 3 active, 4 active"}[i/2])
	}
	wire.set(nil)
	for _, n := range nodes {
		n.sees(whole)
		n.content()
	}
}

func TestListenRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		says   string
	}{
		{"every address", func(c *Config) { c.Listen = netip.MustParseAddrPort("0.0.0.0:7946") }, "0.0.0.0:7946 is every address"},
		{"every address of IPv6", func(c *Config) { c.Listen = netip.MustParseAddrPort("[::]:7946") }, "[::]:7946 is every address"},
		{"no address", func(c *Config) { c.Listen = netip.AddrPort{} }, "listen address: missing"},
		{"a zone", func(c *Config) { c.Listen = netip.MustParseAddrPort("[fe80::1%eth0]:7946") }, "without a zone"},
		{"not ours", func(c *Config) { c.Listen = netip.MustParseAddrPort("192.0.2.1:0") }, "listen address 192.0.2.1:0: "},
		{"no id", func(c *Config) { c.Self.ID = 0 }, "id: 0 is no node"},
		{"no state", func(c *Config) { c.Self.L4 = 0 }, "l4: state-0"},
		{"long name", func(c *Config) { c.Self.Name = string(make([]byte, 65)) }, "node name: 65 bytes, at most 64"},
		{"a zone of the peer address", func(c *Config) { c.Self.Peer = netip.MustParseAddrPort("[fe80::1%eth0]:7443") }, "[fe80::1%eth0]:7443 has a zone"},
		{"no pop", func(c *Config) { c.Pop = "" }, "pop name: 0 bytes"},
		{"long version", func(c *Config) { c.Version = string(make([]byte, 65)) }, "version: 65 bytes"},
		{"short key", func(c *Config) { c.Key = c.Key[:16] }, "key: 16 bytes, want 32"},
		{"no publish", func(c *Config) { c.Publish = nil }, "publish: missing"},
		{"no port", func(c *Config) { c.Join = []string{"10.0.0.1"} }, `join: "10.0.0.1" is no address`},
		{"port 0", func(c *Config) { c.Join = []string{"10.0.0.1:0"} }, `join: "10.0.0.1:0" is no address`},
		{"no host", func(c *Config) { c.Join = []string{":7946"} }, `join: ":7946" is no address`},
		{"slow probes", func(c *Config) { c.Tuning.ProbeTimeout = time.Second }, "more than 2/5 of the probe interval 400ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := configOf(t, 1)
			conf.Publish = func(affinity.View) {}
			c.change(&conf)
			m, err := Listen(conf)
			if err == nil {
				_ = m.Close()
				t.Fatal("no error")
			}
			wantText(t, err.Error(), c.says)
		})
	}
}

// TestAddressInUse takes the address twice.
func TestAddressInUse(t *testing.T) {
	one := start(t, configOf(t, 1))
	conf := configOf(t, 2)
	conf.Listen, conf.Publish = one.Addr(), func(affinity.View) {}
	if _, err := Listen(conf); err == nil {
		t.Error("two nodes listen at one address")
	}
}

func TestCloseWithoutRun(t *testing.T) {
	conf := configOf(t, 1)
	conf.Publish, conf.Log = func(affinity.View) {}, nil
	m, err := Listen(conf)
	if err != nil {
		t.Fatal(err)
	}
	m.SetState(affinity.Gone, affinity.Gone)
	m.Reach(2, false)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// TestNames joins by a name of four addresses: this node, one that does not
// answer, one that does, and one of them twice.
func TestNames(t *testing.T) {
	one := start(t, configOf(t, 1))
	conf := configOf(t, 2)
	conf.Listen = netip.AddrPortFrom(conf.Listen.Addr(), one.Addr().Port())
	conf.Join = []string{"fra.pop.example:" + portOf(one)}
	broken := errors.New("the resolver is down")
	var asked atomic.Int32
	conf.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "fra.pop.example" {
			t.Errorf("asked for %q", host)
		}
		if asked.Add(1) <= 2 {
			return nil, broken
		}
		return []netip.Addr{
			conf.Listen.Addr(), netip.MustParseAddr("127.0.7.254"), one.Addr().Addr(), netip.MustParseAddr("::ffff:" + one.Addr().Addr().String()),
		}, nil
	}
	two := start(t, conf)
	two.sees("1 active, 2 active")
	two.content()
	if got := two.metric("landfall_members_joins_total", "unresolved"); got != 2 {
		t.Errorf("%v names counted as unresolved, want 2", got)
	}
	if got := two.metric("landfall_members_joins_total", "ok"); got != 1 {
		t.Errorf("joined %v times, want once", got)
	}
	if got := two.metric("landfall_members_joins_total", "silent"); got == 0 {
		t.Error("the address that does not answer was never tried")
	}
}
