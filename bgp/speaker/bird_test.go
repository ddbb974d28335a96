package speaker

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBIRDGetsTheVIPsAndGivesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, "announce")
	l.startBIRD(t, "")
	n := l.startNode(t, labConfig())
	l.inService(t, n)
	for _, tc := range []struct{ prefix, nextHop string }{
		{"198.51.100.10/32", node4},
		{"2001:db8:10::/48", node6},
	} {
		route := l.birdc("show", "route", tc.prefix, "all")
		for _, want := range []string{"BGP.as_path: 64601", "BGP.next_hop: " + tc.nextHop, "BGP.med: 50", "BGP.community: (64500,20)"} {
			if !strings.Contains(route, want) {
				t.Errorf("%s: no %q in\n%s", tc.prefix, want, route)
			}
		}
	}
	wait(t, "the router's own routes arrive", func() bool {
		s := n.last().Status
		return s.Peers[0].Received == 1 && s.Peers[1].Received == 1
	})
	if s := n.last().Status; s.Announced != 2 {
		t.Errorf("%d prefixes in the node's table, want the 2 VIPs and nothing learnt", s.Announced)
	}
	if s := n.last().Status; s.Peers[0].Since.IsZero() || s.Peers[0].ASN != routerASN || s.Peers[0].Address != netip.MustParseAddr(router4) {
		t.Errorf("session %+v", s.Peers[0])
	}
}

func TestBIRDLosesTheVIPsBeforeTheNodeStops(t *testing.T) {
	t.Parallel()
	l := newLab(t, "stop")
	l.startBIRD(t, "")
	cfg := labConfig()
	cfg.Settle = 10 * time.Second // long enough to look meanwhile
	n := l.startNode(t, cfg)
	l.inService(t, n)
	// A service manager tells every process of the node.
	must(t, syscall.Kill(n.last().Status.PID, syscall.SIGTERM))
	n.signal(t, syscall.SIGTERM)
	wait(t, "the routes are gone", func() bool { return l.hasRoutes(false) })
	if n.last().Returned || !l.established("n4") || !l.established("n6") {
		t.Error("the routes went with the sessions, want a withdrawal before the stop")
	}
	wait(t, "the announcer returned", func() bool { return n.last().Returned })
	if err := n.last().Error; err != "" {
		t.Errorf("run: %s", err)
	}
	for _, protocol := range []string{"n4", "n6"} {
		wait(t, "the session is over", func() bool { return !l.established(protocol) })
		if out := l.birdc("show", "protocols", "all", protocol); !strings.Contains(out, "node is shutting down") {
			t.Errorf("%s does not know why the session is over:\n%s", protocol, out)
		}
	}
}

func TestBIRDGetsTheVIPsBackAfterASpeakerIsKilled(t *testing.T) {
	t.Parallel()
	l := newLab(t, "crash")
	l.startBIRD(t, "")
	n := l.startNode(t, labConfig())
	l.inService(t, n)
	first := n.last().Status.PID
	must(t, syscall.Kill(first, syscall.SIGKILL))
	wait(t, "another speaker runs", func() bool {
		s := n.last().Status
		return s.PID != 0 && s.PID != first && s.Restarts == 1
	})
	l.inService(t, n)
}

func TestBIRDLosesTheVIPsOfADeadNode(t *testing.T) {
	t.Parallel()
	l := newLab(t, "death")
	l.startBIRD(t, "")
	n := l.startNode(t, labConfig())
	l.inService(t, n)
	speaker := n.last().Status.PID
	n.signal(t, os.Kill)
	wait(t, "the routes are gone", func() bool { return l.hasRoutes(false) })
	wait(t, "the sessions are over", func() bool { return !l.established("n4") && !l.established("n6") })
	wait(t, "the speaker has ended", func() bool {
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", speaker))
		return err != nil || len(command) == 0 // a zombie has none
	})
}

func TestBIRDLosesTheVIPsOfAHangingNode(t *testing.T) {
	t.Parallel()
	l := newLab(t, "hang")
	l.startBIRD(t, "")
	n := l.startNode(t, labConfig())
	l.inService(t, n)
	before := n.last().Status.LeasesLost // a machine that stands still may cost one, too
	n.signal(t, syscall.SIGSTOP)
	wait(t, "the routes are gone", func() bool { return l.hasRoutes(false) })
	if !l.established("n4") || !l.established("n6") {
		t.Error("the routes went with the sessions, want the lease to have ended")
	}
	n.signal(t, syscall.SIGCONT)
	wait(t, "the node knows of its lease", func() bool { return n.last().Status.LeasesLost > before })
	l.inService(t, n)
	if s := n.last().Status; s.Restarts != 0 {
		t.Errorf("%d restarts, want the speaker to live on", s.Restarts)
	}
}

func TestBIRDWithMD5(t *testing.T) {
	for _, tc := range []struct {
		name     string
		passive  bool   // the router opens the sessions
		anywhere bool   // the node listens at the unspecified addresses
		password string // the node's; the router's is "right"
		counter  string // of segments dropped at the end that is connected to; none: the sessions come up
	}{
		{name: "active-right", password: "right"},
		{name: "active-wrong", password: "wrong", counter: "TCPMD5Failure"},
		{name: "active-none", password: "", counter: "TCPMD5NotFound"},
		{name: "passive-right", passive: true, password: "right"},
		{name: "anywhere-right", passive: true, anywhere: true, password: "right"},
		{name: "passive-wrong", passive: true, password: "wrong", counter: "TCPMD5Failure"},
		{name: "passive-none", passive: true, password: "", counter: "TCPMD5Unexpected"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, tc.name)
			options, listener := `password "right";`, l.router
			cfg := labConfig()
			if tc.passive {
				listener = l.node
				cfg.BGP.Listen = []netip.Addr{netip.MustParseAddr(node4), netip.MustParseAddr(node6)}
				if tc.anywhere {
					cfg.BGP.Listen = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
				}
			} else {
				options += " passive on;"
			}
			for i := range cfg.BGP.Peers {
				cfg.BGP.Peers[i].Password, cfg.BGP.Peers[i].Passive = tc.password, tc.passive
			}
			l.startBIRD(t, options)
			n := l.startNode(t, cfg)
			if tc.counter == "" {
				l.inService(t, n)
				return
			}
			wait(t, "several attempts were dropped for their signature", func() bool {
				return netstat(t, listener, tc.counter) >= 6
			})
			if l.established("n4") || l.established("n6") || !l.hasRoutes(false) {
				t.Errorf("a session came up with the password %q", tc.password)
			}
		})
	}
}

// TestMD5ThatCannotWork has the runtime make listeners that take no key.
func TestMD5ThatCannotWork(t *testing.T) {
	cfg := labConfig()
	cfg.BGP.Listen = []netip.Addr{netip.MustParseAddr(node4), netip.MustParseAddr(node6)}
	for i := range cfg.BGP.Peers {
		cfg.BGP.Peers[i].Password = "right"
	}
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		n := newLab(t, "nomd5-node").startNode(t, cfg, "GODEBUG=multipathtcp=1")
		wait(t, "the node gives up", func() bool { return n.last().Returned })
		if err := n.last().Error; !strings.Contains(err, "multipathtcp=0") {
			t.Errorf("error %q does not say what to do", err)
		}
	})
	t.Run("speaker", func(t *testing.T) {
		t.Parallel()
		cfg := cfg
		cfg.SpeakerEnv = []string{"GODEBUG=multipathtcp=1"}
		n := newLab(t, "nomd5-speaker").startNode(t, cfg)
		wait(t, "the speaker stays down", func() bool { return n.last().Status.Down != "" })
		if s := n.last().Status; !strings.Contains(s.Down, "multipathtcp=0") || s.Restarts != 0 || s.PID != 0 {
			t.Errorf("status %+v, want it down at the first attempt, with the reason", s)
		}
	})
}
