package bfd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/netns"
	"github.com/landfall-cdn/landfall/internal/testneed"
)

// The lab: a router, a node and a stranger on a switch, so that an end
// does not see that the other's cable is cut.
const (
	router4   = "10.77.0.1"
	router6   = "fd77::1"
	node4     = "10.77.0.11"
	node6     = "fd77::11"
	stranger4 = "10.77.0.66"
	stranger6 = "fd77::66"
)

// waitLimit bounds every wait for a condition. It is long, as machines
// that test are busy; nothing takes that long when all is well.
const waitLimit = 90 * time.Second

type lab struct {
	router, node, stranger, hub *netns.Namespace
	dir                         string // for the router's files
}

func newLab(t *testing.T, name string) *lab {
	t.Helper()
	testneed.Linux(t)
	testneed.Root(t)
	testneed.Command(t, "ip", "iproute2")
	testneed.Command(t, "bridge", "iproute2")
	set, err := netns.NewSet("lfbfd")
	must(t, err)
	t.Cleanup(func() { must(t, set.Close()) })
	l := &lab{}
	if l.hub, err = set.Add(name + "-hub"); err != nil {
		t.Fatal(err)
	}
	l.ip(t, l.hub, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	l.ip(t, l.hub, "link", "set", "br0", "up")
	for _, host := range []struct {
		at     **netns.Namespace
		name   string
		v4, v6 string
	}{{&l.router, "router", router4, router6}, {&l.node, "node", node4, node6}, {&l.stranger, "stranger", stranger4, stranger6}} {
		*host.at, err = set.Add(name + "-" + host.name)
		must(t, err)
		must(t, set.Link(
			netns.End{Namespace: *host.at, Interface: "lan", Addresses: []netip.Prefix{
				netip.MustParsePrefix(host.v4 + "/24"), netip.MustParsePrefix(host.v6 + "/64"),
			}},
			netns.End{Namespace: l.hub, Interface: host.name},
		))
		l.ip(t, l.hub, "link", "set", host.name, "master", "br0")
	}
	// A socket's path is at most 108 bytes, which t.TempDir may exceed.
	l.dir, err = os.MkdirTemp("", "lf")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(l.dir)) })
	return l
}

func (l *lab) ip(t *testing.T, ns *netns.Namespace, args ...string) {
	t.Helper()
	if out, err := ns.Command(t.Context(), "ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// cut has the switch drop what comes from the node and goes to it, or
// forward it again.
func (l *lab) cut(t *testing.T, cut bool) {
	t.Helper()
	state := "3"
	if cut {
		state = "0"
	}
	if out, err := l.hub.Command(t.Context(), "bridge", "link", "set", "dev", "node", "state", state).CombinedOutput(); err != nil {
		t.Fatalf("bridge link set: %v: %s", err, out)
	}
}

// blast has a host send packets to the node.
func (l *lab) blast(t *testing.T, ns *netns.Namespace, b blast) {
	t.Helper()
	cmd := l.self(t, ns, "blast", b)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("blast: %v: %s", err, out)
	}
}

// self returns this test binary in a role, in a namespace.
func (l *lab) self(t *testing.T, ns *netns.Namespace, role string, input any) *exec.Cmd {
	t.Helper()
	told, err := json.Marshal(input)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	cmd := ns.Command(t.Context(), self)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, inputEnv+"="+string(told))
	return cmd
}

// node is a running node process.
type node struct {
	cmd   *exec.Cmd
	peers int

	// Guarded by mu.
	mu   sync.Mutex
	line nodeLine // the newest
}

func (l *lab) startNode(t *testing.T, peers ...string) *node {
	t.Helper()
	var told []Peer
	for _, p := range peers {
		told = append(told, Peer{Address: netip.MustParseAddr(p)})
	}
	n := &node{peers: len(peers), cmd: l.self(t, l.node, "node", told)}
	start(t, n.cmd, func(raw []byte) {
		var line nodeLine
		if json.Unmarshal(raw, &line) != nil {
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.line = line
	})
	return n
}

func (n *node) last() nodeLine {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.line
}

// wait waits until all sessions of the node are as wanted.
func (n *node) wait(t *testing.T, what string, want func(s seen) bool) {
	t.Helper()
	wait(t, what, func() bool {
		sessions := n.last().Sessions
		return len(sessions) == n.peers && !slices.ContainsFunc(sessions, func(s seen) bool { return !want(s) })
	}, func() string { return fmt.Sprintf("%+v", n.last()) })
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
			} else {
				fmt.Fprintf(log, "%s\n", scan.Bytes())
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

// wait returns when the condition holds, and fails the test with what is
// seen instead when it does not within waitLimit.
func wait(t *testing.T, what string, condition func() bool, instead func() string) {
	t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-limit.C:
			t.Fatalf("waited %v in vain until %s; there is\n%s", waitLimit, what, instead())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
