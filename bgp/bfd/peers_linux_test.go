package bfd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// meet starts a router and a node and waits until their sessions are up
// at both ends.
func meet(t *testing.T, l *lab, startRouter func(*testing.T, *lab) router) (router, *node) {
	t.Helper()
	r := startRouter(t, l)
	n := l.startNode(t, router4, router6)
	up(t, r, n)
	return r, n
}

func up(t *testing.T, r router, n *node) {
	t.Helper()
	n.wait(t, "the node's sessions are up", func(s seen) bool { return s.State == "up" && s.RemoteState == "up" })
	wait(t, "the router's sessions are up at the fast pace", func() bool {
		fast := view{up: true, interval: 100, detection: 300}
		return r.view(node4) == fast && r.view(node6) == fast
	}, r.all)
}

func down(t *testing.T, r router) {
	t.Helper()
	wait(t, "the router's sessions are down", func() bool { return !r.view(node4).up && !r.view(node6).up }, r.all)
}

func eachRouter(t *testing.T, test func(t *testing.T, r router, l *lab, n *node)) {
	for _, tc := range routers {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, tc.name)
			r, n := meet(t, l, tc.start)
			test(t, r, l, n)
		})
	}
}

func TestSessionsWithRouters(t *testing.T) {
	eachRouter(t, func(t *testing.T, _ router, _ *lab, n *node) {
		n.wait(t, "the router's pace is known", func(s seen) bool {
			return s.Detection == 300*time.Millisecond && s.Interval == 100*time.Millisecond && s.Received > 20
		})
		for _, s := range n.last().Sessions {
			t.Logf("%v: largest gap %v, received %d, sent %d", s.Peer, s.LargestGap, s.Received, s.Sent)
			if len(s.Discarded) != 0 || s.Failed != 0 || s.Diagnostic != "none" {
				t.Errorf("%+v, want nothing discarded and nothing failed", s)
			}
		}
		if d := n.last().Drops; d != (Drops{}) {
			t.Errorf("%+v, want no drops", d)
		}
	})
}

// TestTwoRoutersOnOneNetwork share a socket of the node.
func TestTwoRoutersOnOneNetwork(t *testing.T) {
	l := newLab(t, "two")
	first, second := startBIRD(t, l, l.router), startBIRD(t, l, l.stranger)
	n := l.startNode(t, router4, stranger4, router6, stranger6)
	up(t, first, n)
	up(t, second, n)
	// One goes, the other stays.
	l.ip(t, l.hub, "link", "set", "stranger", "down")
	wait(t, "the node notices that one is gone", func() bool {
		s := n.last().Sessions
		return s[0].State == "up" && s[1].State == "down" && s[2].State == "up" && s[3].State == "down"
	}, func() string { return fmt.Sprintf("%+v", n.last()) })
}

func TestACutIsNoticedAtBothEnds(t *testing.T) {
	eachRouter(t, func(t *testing.T, r router, l *lab, n *node) {
		from := time.Now()
		l.cut(t, true)
		n.wait(t, "the node notices", func(s seen) bool { return s.State == "down" && s.Diagnostic == "expired" && s.Flaps > 0 })
		t.Logf("the node noticed after %v", time.Since(from))
		down(t, r)
		t.Logf("the router noticed within %v", time.Since(from))
		l.cut(t, false)
		up(t, r, n)
		for _, peer := range []string{router4, router6} {
			// The steps between depend on who speaks first.
			var got []string
			for _, c := range n.last().Changes {
				if rest, ok := strings.CutPrefix(c, peer+" "); ok && !strings.HasPrefix(rest, "init") {
					got = append(got, rest)
				}
			}
			if len(got) < 3 || got[0] != "up none" || !slices.Contains(got, "down expired") || got[len(got)-1] != "up none" {
				t.Errorf("%s: changes %q", peer, got)
			}
		}
	})
}

func TestASilentNodeIsNoticed(t *testing.T) {
	eachRouter(t, func(t *testing.T, r router, _ *lab, n *node) {
		from := time.Now()
		must(t, n.cmd.Process.Signal(syscall.SIGSTOP))
		down(t, r)
		t.Logf("the router noticed within %v", time.Since(from))
		must(t, n.cmd.Process.Signal(syscall.SIGCONT))
		up(t, r, n)
	})
}

func TestRoutersSeeAdminDown(t *testing.T) {
	eachRouter(t, func(t *testing.T, r router, _ *lab, n *node) {
		must(t, n.cmd.Process.Signal(syscall.SIGUSR1))
		n.wait(t, "the router says that the node is down", func(s seen) bool {
			return s.State == "admin-down" && s.RemoteState == "down" && s.RemoteDiagnostic == "neighbor-down"
		})
		down(t, r)
		wait(t, "AdminDown returned", func() bool { return n.last().Told }, func() string { return r.all() })
		must(t, n.cmd.Process.Signal(syscall.SIGUSR2))
		up(t, r, n)
	})
}

// TestWhatIsNotTheRoutersIsDropped sends packets with a wrong version, so
// that they show if the node reads them.
func TestWhatIsNotTheRoutersIsDropped(t *testing.T) {
	eachRouter(t, func(t *testing.T, r router, l *lab, n *node) {
		const count = 10
		junk := make([]byte, packetSize)
		junk[3] = packetSize
		dropped := uint64(0)
		for _, a := range []struct{ router, node, stranger string }{{router4, node4, stranger4}, {router6, node6, stranger6}} {
			b := blast{From: netip.MustParseAddr(a.router), To: netip.MustParseAddr(a.node), TTL: 254, Packet: junk, Count: count}
			l.blast(t, l.router, b)
			b.From, b.TTL = netip.MustParseAddr(a.stranger), 255
			l.blast(t, l.stranger, b)
			dropped += 2 * count
		}
		wait(t, "the kernel dropped the forwarded and the strange", func() bool { return n.last().Drops.Kernel == dropped }, r.all)
		for _, s := range n.last().Sessions {
			if len(s.Discarded) != 0 {
				t.Errorf("%v: discarded %v, want none of them read", s.Peer, s.Discarded)
			}
		}
		for _, a := range []struct{ router, node string }{{router4, node4}, {router6, node6}} {
			l.blast(t, l.router, blast{From: netip.MustParseAddr(a.router), To: netip.MustParseAddr(a.node), TTL: 255, Packet: junk, Count: count})
		}
		n.wait(t, "the router's own are discarded one by one", func(s seen) bool { return s.Discarded["version"] == count })
	})
}

func TestAFloodIsCountedAndEnds(t *testing.T) {
	l := newLab(t, "flood")
	r, n := meet(t, l, routers[0].start)
	junk := make([]byte, packetSize)
	const count = 100000
	const slack = 1000 // the router's good packets that the kernel dropped meanwhile
	for _, a := range []struct{ router, node string }{{router4, node4}, {router6, node6}} {
		l.blast(t, l.router, blast{From: netip.MustParseAddr(a.router), To: netip.MustParseAddr(a.node), TTL: 255, Packet: junk, Count: count})
	}
	up(t, r, n)
	line := n.last()
	read := line.Sessions[0].Discarded["length"] + line.Sessions[1].Discarded["length"]
	t.Logf("of %d packets %d were read and %d dropped by the kernel; flaps %d and %d", 2*count, read,
		line.Drops.Kernel, line.Sessions[0].Flaps, line.Sessions[1].Flaps)
	// A slow sender is kept up with, so drops are not certain.
	if read == 0 || read+line.Drops.Kernel > 2*count+slack {
		t.Errorf("read %d, dropped %d: want them counted, and no more than there were", read, line.Drops.Kernel)
	}
}
