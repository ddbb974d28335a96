package speaker

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/landfall-cdn/landfall/bgp"
)

// startClient runs the data plane's half in the test itself, with the
// speaker in the node's namespace.
func (l *lab) startClient(t *testing.T, cfg bgp.Config) *Client {
	t.Helper()
	return l.startClientWith(t, ClientConfig{BGP: cfg, Log: zaptest.NewLogger(t)})
}

func (l *lab) startClientWith(t *testing.T, cfg ClientConfig) *Client {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cfg.Links = func() ([]netip.Prefix, error) {
		return []netip.Prefix{prefix(node4 + "/24"), prefix(node6 + "/64")}, nil
	}
	cfg.Start = func() (*Process, error) {
		cmd := l.node.Command(context.Background(), self)
		cmd.Env = append(os.Environ(), roleEnv+"=speaker")
		if len(cfg.BGP.Listen) > 0 {
			cmd.Env = append(cmd.Env, listenEnv+"=1")
		}
		return Start(cmd)
	}
	c, err := NewClient(cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return c
}

// startRouters runs three routers, each with a session for IPv4 and one
// for IPv6: a is an ordinary one, b has a four-octet AS number and takes
// paths with identifiers, c is internal.
func (l *lab) startRouters(t *testing.T) {
	t.Helper()
	for _, a := range []string{"10.77.0.2/24", "10.77.0.3/24", "fd77::2/64", "fd77::3/64"} {
		must(t, l.router.AddAddress("lan", prefix(a)))
	}
	for i, options := range []struct{ asn, channel string }{
		{"64500", ""}, {"4200000002", "add paths rx;"}, {"64601", ""},
	} {
		l.startRouter(t, routerName(i), fmt.Sprintf(`
log stderr all;
router id 10.77.0.%[1]d;
protocol device { }
template bgp edge {
  hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 1;
  ttl security on; strict bind on;
}
protocol bgp n4 from edge { local 10.77.0.%[1]d as %[2]s; neighbor 10.77.0.11 as 64601; ipv4 { import all; export none; %[3]s }; }
protocol bgp n6 from edge { local fd77::%[1]d as %[2]s; neighbor fd77::11 as 64601; ipv6 { import all; export none; %[3]s }; }
`, i+1, options.asn, options.channel))
	}
}

func routerName(i int) string { return string(rune('a' + i)) }

// routersConfig has attributes at every place where there can be some.
func routersConfig() bgp.Config {
	transit := bgp.Attrs{Communities: []bgp.Community{64500<<16 | 80}, Large: []bgp.LargeCommunity{{Global: 4200000002, Local1: 7, Local2: 9}}}
	cfg := labConfig().BGP
	cfg.Attrs.Large = []bgp.LargeCommunity{{Global: 64601, Local1: 1, Local2: 2}}
	cfg.Attrs.LocalPref = 200
	cfg.VIPs = append(cfg.VIPs, prefix("198.51.100.11/32"))
	cfg.Prefixes = map[netip.Prefix]bgp.Attrs{prefix("198.51.100.11/32"): {Prepend: 1, MED: new(uint32(0)), LocalPref: 150}}
	cfg.Peers = nil
	for i, asn := range []uint32{64500, 4200000002, nodeASN} {
		for _, address := range []string{fmt.Sprintf("10.77.0.%d", i+1), fmt.Sprintf("fd77::%d", i+1)} {
			p := bgp.PeerConfig{Address: netip.MustParseAddr(address), ASN: asn}
			switch asn {
			case 64500:
				p.Deprefer, p.Gshut = transit, bgp.Attrs{MED: new(uint32(7777))}
			case nodeASN:
				p.Attrs, p.Gshut = bgp.Attrs{LocalPref: 300}, bgp.Attrs{LocalPref: 1}
			default:
				p.AddPath = true
				p.Attrs = bgp.Attrs{Prepend: 1, MED: new(uint32(10)), Communities: []bgp.Community{64500<<16 | 30}}
				p.Deprefer = bgp.Attrs{Prepend: 2, MEDAdd: 5}
			}
			cfg.Peers = append(cfg.Peers, p)
		}
	}
	return cfg
}

func TestEachRouterGetsItsOwnOnEachRung(t *testing.T) {
	t.Parallel()
	l := newLab(t, "rungs")
	l.startRouters(t)
	cfg := routersConfig()
	must(t, cfg.Validate())
	c := l.startClient(t, cfg)
	var since []time.Time
	generation := uint64(0)
	apply := func(rung bgp.Rung, extra bgp.Attrs) map[netip.Prefix]bgp.Attrs {
		generation++
		d := bgp.Desired{Generation: generation, Rung: rung, Announce: cfg.Announcement(rung, extra)}
		must(t, c.Apply(d))
		return d.Announce
	}
	for _, step := range []struct {
		rung  bgp.Rung
		extra bgp.Attrs
	}{
		{rung: bgp.Normal},
		{rung: bgp.Deprefer},
		{rung: bgp.Gshut},
		{rung: bgp.Normal, extra: bgp.Attrs{Prepend: 3}},
		{rung: bgp.Withdrawn},
		{rung: bgp.Normal},
	} {
		announced := apply(step.rung, step.extra)
		for i, p := range cfg.Peers {
			router := routerName(i / 2)
			for _, vip := range cfg.VIPs {
				if vip.Addr().Is4() != p.Address.Is4() {
					continue
				}
				want := ""
				if attrs, ok := announced[vip]; ok {
					want = wire(cfg, p, cfg.ToPeer(p, step.rung, attrs))
				}
				got := ""
				waitOr(t, func() bool { got = l.received(router, vip); return got == want }, func() {
					t.Log(l.ask(router, "show", "protocols", "all"))
					t.Errorf("on %v, %s has\n%s\nof %s, want\n%s", step.rung, router, got, vip, want)
				})
			}
		}
		for _, protocol := range []string{"n4", "n6"} {
			if _, theirs, _ := strings.Cut(l.ask("b", "show", "protocols", "all", protocol), "Neighbor capabilities"); !strings.Contains(theirs, "ADD-PATH") {
				t.Errorf("%s of the second router has no ADD-PATH from the node:\n%s", protocol, theirs)
			}
		}
		if since == nil {
			// A router may have a route before the client has heard of the
			// session.
			wait(t, "the client knows of all sessions", func() bool {
				return !slices.ContainsFunc(c.Status().Peers, func(p bgp.PeerStatus) bool { return p.State != bgp.Established })
			})
			for _, p := range c.Status().Peers {
				since = append(since, p.Since)
			}
		}
		for i, p := range c.Status().Peers {
			if p.State != bgp.Established || !p.Since.Equal(since[i]) {
				t.Errorf("on %v the session to %s is %v since %v, want it untouched since %v", step.rung, p.Address, p.State, p.Since, since[i])
			}
		}
	}
}

// wire writes what a router should get the way received does.
func wire(cfg bgp.Config, p bgp.PeerConfig, a bgp.Attrs) string {
	var path, communities, large []string
	if !cfg.Internal(p) {
		for range a.Prepend + 1 {
			path = append(path, fmt.Sprint(cfg.ASN))
		}
		a.LocalPref = 100 // BIRD's own
	}
	for _, c := range a.Communities {
		communities = append(communities, fmt.Sprintf("(%d,%d)", uint32(c)>>16, uint32(c)&0xffff))
	}
	for _, c := range a.Large {
		large = append(large, fmt.Sprintf("(%d, %d, %d)", c.Global, c.Local1, c.Local2))
	}
	return fmt.Sprintf("path [%s] med %d pref %d communities %s large %s",
		strings.Join(path, " "), *a.MED, a.LocalPref, strings.Join(communities, " "), strings.Join(large, " "))
}

// received returns what a router has of a prefix, "" for nothing.
func (l *lab) received(router string, p netip.Prefix) string {
	out := l.ask(router, "show", "route", p.String(), "all")
	if !strings.Contains(out, p.String()) {
		return ""
	}
	value := func(name string) string {
		m := regexp.MustCompile(name + `: ?(.*)`).FindStringSubmatch(out)
		if m == nil {
			return "none"
		}
		return strings.TrimSpace(m[1])
	}
	return fmt.Sprintf("path [%s] med %s pref %s communities %s large %s", value("BGP.as_path"), value("BGP.med"),
		value("BGP.local_pref"), strings.ReplaceAll(value("BGP.community"), "none", ""), value("BGP.large_community"))
}

// waitOr is wait with an account of what is there instead.
func waitOr(t *testing.T, condition func() bool, instead func()) {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-limit.C:
			instead()
			t.FailNow()
		}
	}
}

func TestRouterThatIsSomeHopsAway(t *testing.T) {
	t.Parallel()
	l := newLab(t, "hops")
	l.startRouter(t, "bird", strings.Replace(fmt.Sprintf(birdConf, "multihop 3;"), "ttl security on;", "", 1))
	cfg := labConfig().BGP
	for i := range cfg.Peers {
		cfg.Peers[i].Multihop = 3
	}
	c := l.startClient(t, cfg)
	must(t, c.Apply(bgp.Desired{Generation: 1, Announce: cfg.Announcement(bgp.Normal, bgp.Attrs{})}))
	wait(t, "the router has the VIPs", func() bool { return l.hasRoutes(true) })
}

func TestRouterWithoutTTLSecurityGetsNoSession(t *testing.T) {
	t.Parallel()
	l := newLab(t, "ttl")
	l.startRouter(t, "bird", strings.Replace(fmt.Sprintf(birdConf, ""), "ttl security on;", "", 1))
	cfg := labConfig().BGP
	c := l.startClient(t, cfg)
	must(t, c.Apply(bgp.Desired{Generation: 1, Announce: cfg.Announcement(bgp.Normal, bgp.Attrs{})}))
	wait(t, "several of its segments were dropped for their TTL", func() bool { return netstat(t, l.node, "TCPMinTTLDrop") >= 4 })
	if l.established("n4") || l.established("n6") || !l.hasRoutes(false) {
		t.Error("a session came up")
	}
}

func TestRouterThatSendsRoutesIsAProblem(t *testing.T) {
	t.Parallel()
	l := newLab(t, "leak")
	var leak strings.Builder
	for i := range bgp.MaxReceived {
		fmt.Fprintf(&leak, "route 203.0.%d.0/25 blackhole; ", i)
	}
	l.startRouter(t, "bird", strings.Replace(fmt.Sprintf(birdConf, ""), "route 203.0.113.0/24 blackhole;", "route 203.0.113.128/25 blackhole; "+leak.String(), 1))
	cfg := labConfig().BGP
	c := l.startClient(t, cfg)
	must(t, c.Apply(bgp.Desired{Generation: 1, Announce: cfg.Announcement(bgp.Normal, bgp.Attrs{})}))
	wait(t, "the routes are noticed", func() bool { return c.Status().Peers[0].Alarms == 1 })
	s := c.Status()
	if s.Peers[1].Alarms != 0 || len(s.Problems()) != 1 || !strings.Contains(s.Problems()[0], "10.77.0.1 sends 65 routes") {
		t.Errorf("problems %q with %+v, want the first router named", s.Problems(), s.Peers)
	}
	if s.Announced != 2 {
		t.Errorf("%d prefixes in the table, want the node's 2", s.Announced)
	}
}

// TestSpeakerHasNoPrivileges reads them from outside.
func TestSpeakerHasNoPrivileges(t *testing.T) {
	for _, tc := range []struct {
		name   string
		listen []netip.Addr
		caps   string
	}{
		{name: "active", caps: "0000000000000000"},
		{name: "listening", listen: []netip.Addr{netip.MustParseAddr(node4)}, caps: "0000000000000400"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "caps-"+tc.name)
			cfg := labConfig().BGP
			cfg.Listen = tc.listen
			c := l.startClient(t, cfg)
			must(t, c.Apply(bgp.Desired{Generation: 1, Announce: cfg.Announcement(bgp.Normal, bgp.Attrs{})}))
			wait(t, "the speaker works", func() bool { return c.Status().AppliedGeneration == 1 })
			proc := fmt.Sprintf("/proc/%d/", c.Status().PID)
			status, err := os.ReadFile(proc + "status")
			must(t, err)
			for _, want := range []string{"NoNewPrivs:\t1", "CapPrm:\t" + tc.caps, "CapEff:\t" + tc.caps, "CapBnd:\t" + tc.caps, "CapAmb:\t" + tc.caps} {
				if !strings.Contains(string(status), want+"\n") {
					t.Errorf("no %q in\n%s", want, status)
				}
			}
			limits, err := os.ReadFile(proc + "limits")
			must(t, err)
			for _, want := range []string{`Max core file size +0 +0 `, `Max open files +256 +256 `} {
				if !regexp.MustCompile(want).Match(limits) {
					t.Errorf("no %q in\n%s", want, limits)
				}
			}
		})
	}
}
