package speaker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/internal/netns"
	"github.com/landfall-cdn/landfall/internal/testneed"
)

// The lab: one router, one node, one cable. The router sends a route of
// each family too, which the node has to ignore.
const (
	routerASN = 64500
	nodeASN   = 64601
	router4   = "10.77.0.1"
	router6   = "fd77::1"
	node4     = "10.77.0.11"
	node6     = "fd77::11"
)

// waitLimit bounds every wait for a condition. It is long, as machines
// that test are busy; nothing takes that long when all is well.
const waitLimit = 90 * time.Second

type lab struct {
	router, node *netns.Namespace
	dir          string // for BIRD's files
	bird, client string // its programs
}

// newLab makes the namespaces and the cable.
func newLab(t *testing.T, name string) *lab {
	t.Helper()
	testneed.Linux(t)
	testneed.Root(t)
	testneed.Command(t, "ip", "iproute2")
	l := &lab{bird: testneed.Command(t, "bird", "bird2"), client: testneed.Command(t, "birdc", "bird2")}
	// Each lab has a set of its own: a set takes what has its prefix.
	set, err := netns.NewSet("lf-" + name + "-")
	must(t, err)
	t.Cleanup(func() { must(t, set.Close()) })
	l.router, err = set.Add("router")
	must(t, err)
	l.node, err = set.Add("node")
	must(t, err)
	must(t, set.Link(
		netns.End{Namespace: l.router, Interface: "lan", Addresses: []netip.Prefix{prefix(router4 + "/24"), prefix(router6 + "/64")}},
		netns.End{Namespace: l.node, Interface: "lan", Addresses: []netip.Prefix{prefix(node4 + "/24"), prefix(node6 + "/64")}},
	))
	// A socket's path is at most 108 bytes, which t.TempDir may exceed.
	l.dir, err = os.MkdirTemp("", "lf")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(l.dir)) })
	return l
}

const birdConf = `
log stderr all;
router id ` + router4 + `;
protocol device { }
protocol static feed4 { ipv4; route 203.0.113.0/24 blackhole; }
protocol static feed6 { ipv6; route 2001:db8:bad::/48 blackhole; }
template bgp edge {
  local as 64500;
  hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 1;
  ttl security on;
  %s
}
protocol bgp n4 from edge {
  neighbor ` + node4 + ` as 64601;
  ipv4 { import all; export where source = RTS_STATIC; };
}
protocol bgp n6 from edge {
  neighbor ` + node6 + ` as 64601;
  ipv6 { import all; export where source = RTS_STATIC; };
}
`

// startBIRD runs the router; options go into both sessions.
func (l *lab) startBIRD(t *testing.T, options string) {
	t.Helper()
	l.startRouter(t, "bird", fmt.Sprintf(birdConf, options))
}

// startRouter runs a router with a configuration.
func (l *lab) startRouter(t *testing.T, name, text string) {
	t.Helper()
	conf := filepath.Join(l.dir, name+".conf")
	must(t, os.WriteFile(conf, []byte(text), 0o600))
	start(t, l.router.Command(t.Context(), l.bird, "-f", "-c", conf, "-s", l.socket(name), "-P", filepath.Join(l.dir, name+".pid")), nil)
	wait(t, "BIRD is up", func() bool { return strings.Contains(l.ask(name, "show", "status"), "up and running") })
}

func (l *lab) socket(name string) string { return filepath.Join(l.dir, name+".ctl") }

// birdc returns the answer of the router to a command, or why there is
// none.
func (l *lab) birdc(args ...string) string { return l.ask("bird", args...) }

// ask is birdc of one of several routers.
func (l *lab) ask(name string, args ...string) string {
	out, err := exec.Command(l.client, append([]string{"-s", l.socket(name)}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s (%v)", out, err)
	}
	return string(out)
}

// hasRoutes tells whether the router has all of the node's VIPs, or none.
func (l *lab) hasRoutes(all bool) bool {
	out := l.birdc("show", "route")
	return strings.Contains(out, "BIRD") &&
		strings.Contains(out, "\n198.51.100.10/32 ") == all && strings.Contains(out, "\n2001:db8:10::/48 ") == all
}

func (l *lab) established(protocol string) bool {
	return strings.Contains(l.birdc("show", "protocols", protocol), "Established")
}

// netstat returns a counter of a host, such as one of segments dropped for
// their signature.
func netstat(t *testing.T, ns *netns.Namespace, counter string) int {
	t.Helper()
	out, err := ns.Command(t.Context(), "cat", "/proc/net/netstat").Output()
	must(t, err)
	lines := strings.Split(string(out), "\n")
	names, values := strings.Fields(lines[0]), strings.Fields(lines[1])
	for i, name := range names {
		if name == counter {
			var n int
			_, err := fmt.Sscan(values[i], &n)
			must(t, err)
			return n
		}
	}
	t.Fatalf("no counter %s", counter)
	return 0
}

// node is a running node process.
type node struct {
	cmd *exec.Cmd

	// Guarded by mu.
	mu   sync.Mutex
	line nodeLine // the newest
}

func labConfig() nodeConfig {
	return nodeConfig{
		BGP: bgp.Config{
			ASN: nodeASN, RouterID: netip.MustParseAddr(node4),
			VIPs:  []netip.Prefix{prefix("198.51.100.10/32"), prefix("2001:db8:10::/48")},
			Attrs: bgp.Attrs{MED: new(uint32(50)), Communities: []bgp.Community{64500<<16 | 20}},
			Peers: []bgp.PeerConfig{
				{Address: netip.MustParseAddr(router4), ASN: routerASN},
				{Address: netip.MustParseAddr(router6), ASN: routerASN},
			},
		},
		Settle: time.Second,
	}
}

func (l *lab) startNode(t *testing.T, cfg nodeConfig, env ...string) *node {
	t.Helper()
	told, err := json.Marshal(cfg)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	n := &node{cmd: l.node.Command(t.Context(), self)}
	n.cmd.Env = append(append(os.Environ(), roleEnv+"=node", nodeEnv+"="+string(told)), env...)
	start(t, n.cmd, n.read)
	return n
}

func (n *node) read(line []byte) {
	var l nodeLine
	if json.Unmarshal(line, &l) != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.line = l
}

func (n *node) last() nodeLine {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.line
}

func (n *node) signal(t *testing.T, s os.Signal) {
	t.Helper()
	must(t, n.cmd.Process.Signal(s))
}

// inService waits until the router has the VIPs.
func (l *lab) inService(t *testing.T, n *node) {
	t.Helper()
	wait(t, "the router has the VIPs", func() bool {
		if line := n.last(); line.Returned {
			t.Fatalf("the announcer returned: %s", line.Error)
		}
		return l.hasRoutes(true)
	})
	wait(t, "the node knows", func() bool {
		s := n.last().Status
		return s.AppliedGeneration == 1 && len(s.Peers) == 2 &&
			s.Peers[0].State == bgp.Established && s.Peers[1].State == bgp.Established
	})
}

// start runs cmd until the test ends, with its output in the test's log
// should that fail; each line of its standard output goes to lines, if
// that is given.
func start(t *testing.T, cmd *exec.Cmd, lines func([]byte)) {
	t.Helper()
	log := &logBuffer{}
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var work sync.WaitGroup
	work.Go(func() {
		for scan := bufio.NewScanner(stdout); scan.Scan(); {
			if lines != nil {
				lines(scan.Bytes())
			}
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone
		work.Wait()
		_ = cmd.Wait() // however it ended, the test has its own view of that
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(cmd.Args, " "), log)
		}
	})
}

// logBuffer keeps what several processes write to one pipe.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// wait returns when the condition holds, and fails the test when it does
// not within waitLimit.
func wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-limit.C:
			t.Fatalf("waited %v in vain until %s", waitLimit, what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
