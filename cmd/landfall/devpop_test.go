package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/configs"
)

// devOf is the verb with addresses that are free.
func devOf(t *testing.T, nodes int) *devCmd {
	t.Helper()
	free := netip.MustParseAddrPort("127.0.0.1:0")
	d := &devCmd{Listen: free, HTTP: free, Admin: free, Peer: free, Gossip: free, Nodes: nodes, Dir: t.TempDir()}
	if err := os.Mkdir(d.sitesDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestNodeFiles reads what dev writes as a node does.
func TestNodeFiles(t *testing.T) {
	d := devOf(t, 3)
	nodes, err := d.nodes()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.writePop(nodes); err != nil {
		t.Fatal(err)
	}
	used := map[netip.AddrPort]bool{}
	var gossip []string
	var first *configs.Node
	for i, n := range nodes {
		conf, diags := configs.LoadNode(n.file())
		if conf == nil {
			t.Fatal(diags)
		}
		if diags = append(diags, configs.CheckSet(nil, conf)...); len(diags) > 0 {
			t.Error(diags)
		}
		if first == nil {
			first = conf
		}
		if int(conf.Node.ID) != i+1 || conf.Node.Name != n.name || conf.Node.Pop != "dev" {
			t.Errorf("node %d: %+v", i+1, conf.Node)
		}
		if conf.Sites != first.Sites || conf.Pop.Secret != first.Pop.Secret || !slices.Equal(conf.Pop.Join, first.Pop.Join) {
			t.Errorf("node %d: sites %v, %+v", i+1, conf.Sites, conf.Pop)
		}
		if i > 0 && (conf.State == first.State || conf.Log.Access == first.Log.Access) {
			t.Errorf("node %d: state %s, access log %s are the first's", i+1, conf.State, conf.Log.Access)
		}
		gossip = append(gossip, conf.Pop.Listen.String())
		for _, a := range slices.Concat(conf.Listen.HTTPS, conf.Listen.HTTP, []netip.AddrPort{conf.Listen.Peer, conf.Admin.Listen, conf.Pop.Listen}) {
			if used[a] {
				t.Errorf("node %d: %v is taken", i+1, a)
			}
			used[a] = true
		}
	}
	if !slices.Equal(gossip, first.Pop.Join) {
		t.Errorf("gossip at %v, join %v", gossip, first.Pop.Join)
	}
	site, diags := configs.ParseSite(filepath.Join(d.sitesDir(), "demo.yaml"), d.site(&url.URL{Scheme: "http", Host: "127.0.0.1:3000"}), configs.Options{})
	if site == nil || len(configs.CheckSet([]*configs.Site{site}, first)) > 0 {
		t.Error(diags)
	}
}

// TestPortsAreCountedUp from the flags'.
func TestPortsAreCountedUp(t *testing.T) {
	var nodes []devNode
	var first netip.AddrPort
	err := errors.New("nothing was tried")
	for range 50 { // somebody may have one of three ports in a row
		if err == nil {
			break
		}
		d := devOf(t, 1)
		one, free := d.nodes()
		if free != nil {
			t.Fatal(free)
		}
		first = one[0].admin
		d.Nodes, d.Admin = 3, first
		nodes, err = d.nodes()
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		if want := int(first.Port()) + i; int(n.admin.Port()) != want {
			t.Errorf("node %d: admin at %v, want port %d", n.id, n.admin, want)
		}
	}
}

func TestAddressesThatCannotBe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := addrOf(ln)
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, tc := range []struct {
		name   string
		change func(*devCmd)
		says   string
		usage  bool
	}{
		{"taken", func(d *devCmd) { d.Peer = taken }, "--peer " + taken.String() + ", for node 1: listen tcp " + taken.String(), false},
		{"taken by UDP", func(d *devCmd) { d.Gossip = socket.LocalAddr().(*net.UDPAddr).AddrPort() }, "listen udp", false},
		{"beyond the last port", func(d *devCmd) { d.Admin = netip.MustParseAddrPort("127.0.0.1:65535") }, "there is no port 65536", true},
		{"the same twice", func(d *devCmd) {
			nodes, err := d.nodes()
			if err != nil {
				t.Fatal(err)
			}
			d.Nodes, d.HTTP, d.Admin = 1, nodes[0].http, nodes[0].http
		}, "is --http of dev-1 already", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := devOf(t, 2)
			tc.change(d)
			_, err := d.nodes()
			if err == nil || !strings.Contains(err.Error(), tc.says) || errors.Is(err, errUsage) != tc.usage {
				t.Errorf("%v, want %q", err, tc.says)
			}
		})
	}
}

// TestSecretStays: it is made once, and for its owner alone.
func TestSecretStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pop.key")
	var before []byte
	for range 2 {
		if err := writeSecret(file); err != nil {
			t.Fatal(err)
		}
		secret, err := configs.Secret{File: file}.Read()
		if err != nil || len(secret) != 44 || before != nil && !bytes.Equal(secret, before) {
			t.Errorf("%q, before %q, %v", secret, before, err)
		}
		before = secret
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// fleetOf is a fleet of shells in place of nodes.
func fleetOf(t *testing.T, errs *bytes.Buffer, scripts ...string) *fleet {
	t.Helper()
	f := &fleet{console: &console{ctx: t.Context(), err: errs}, err: &shared{out: errs}, exits: make(chan *child, len(scripts))}
	for i, script := range scripts {
		f.add(devNode{name: string(rune('a' + i))}, exec.Command("sh", "-c", script))
	}
	return f
}

// TestNodeThatDoesNotStart ends the others, and says what it said.
func TestNodeThatDoesNotStart(t *testing.T) {
	var errs bytes.Buffer
	f := fleetOf(t, &errs, "trap 'exit 0' TERM; while :; do sleep 0.01; done", "echo no such thing >&2; exit 1")
	err := f.run(t.Context(), func() { t.Error("ready") })
	if err == nil || !strings.Contains(err.Error(), "b did not start: exit status 1") || !strings.Contains(errs.String(), "b: no such thing\n") {
		t.Errorf("%v\n%s", err, errs.String())
	}
	for _, c := range f.children {
		if !c.ended {
			t.Errorf("%s goes on", c.node.name)
		}
	}
}

// TestStopBeforeReady ends what was started, without a word.
func TestStopBeforeReady(t *testing.T) {
	var errs bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	f := fleetOf(t, &errs, "sleep 60", "sleep 60")
	cancel()
	if err := f.run(ctx, func() { t.Error("ready") }); err != nil || errs.Len() > 0 {
		t.Errorf("%v\n%s", err, errs.String())
	}
}

func addrOf(ln net.Listener) netip.AddrPort { return ln.Addr().(*net.TCPAddr).AddrPort() }
