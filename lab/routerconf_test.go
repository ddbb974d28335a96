package lab

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/internal/netns"
	"github.com/landfall-cdn/landfall/internal/testneed"
)

const halfNode = `
node:    { id: 1, name: fra-1 }
listen:  { https: ["198.51.100.10:443", "[2001:db8:10::1]:443"], http: ["198.51.100.10:80"] }
admin:   { listen: "127.0.0.1:9080" }
sites:   { dir: %[1]s/sites }
state:   %[1]s/state
log:     { access: %[1]s/access.log }
drain:   { timeout: 5s }
bgp:
  asn: 65001
  router_id: 10.77.0.11
  vips: ["198.51.100.10/32", "2001:db8:10::1/128"%[2]s]
  peers:
    - { address: 10.77.0.1, asn: 64500, password: { file: %[1]s/md5 }, bfd: { tx: 100ms, multiplier: 3 } }
    - { address: "fd77::1", asn: 64500, password: { file: %[1]s/md5 }, bfd: { tx: 100ms, multiplier: 3 } }
`

// halfRouter is a router that was given what the program prints for it.
type halfRouter interface {
	// start starts it with a configuration in a file.
	start(t *testing.T, at *netns.Namespace, dir, conf string)
	// fast tells that BFD is as far as it comes with this router, route what
	// it says of one.
	fast() bool
	route(prefix string) string
	// shunned is what route says where GRACEFUL_SHUTDOWN was honoured.
	shunned() string
}

// TestRouterConfigRuns has real routers run what the program prints for a
// node, and the node beside them: sessions with a key, TTL security and, with
// BIRD, BFD come up, the VIPs are in the router's kernel, and a node about to go is
// what its router likes least.
func TestRouterConfigRuns(t *testing.T) {
	for _, c := range []struct {
		name   string
		router halfRouter
	}{
		{"bird", &halfBIRD{}},
		{"frr", &halfFRR{}},
	} {
		t.Run(c.name, func(t *testing.T) { routerConfigRuns(t, c.name, c.router) })
	}
}

func routerConfigRuns(t *testing.T, name string, router halfRouter) {
	testneed.Linux(t)
	testneed.Root(t)
	testneed.Command(t, "ip", "iproute2")
	at, host := cable(t)
	must(t, host.Batch("addr add 198.51.100.10/32 dev lo", "addr add 198.51.100.11/32 dev lo", "addr add 2001:db8:10::1/128 dev lo nodad"))
	dir, err := os.MkdirTemp("", "lf") // a socket's path is at most 108 bytes
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Mkdir(filepath.Join(dir, "sites"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "sites", "a.yaml"), []byte(siteDoc("a.example", "https://origin.example")), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "md5"), []byte("correct-horse\n"), 0o600))
	file := filepath.Join(dir, "node.yaml")
	must(t, os.WriteFile(file, fmt.Appendf(nil, halfNode, dir, ""), 0o600))

	printed, err := host.Command(t.Context(), binary, "bgp", "router-config", "--config", file, "--for", name).Output()
	must(t, err)
	shown, err := os.ReadFile("../bgp/routerconf/testdata/usual." + name + ".conf")
	must(t, err)
	if string(printed) != string(shown) {
		t.Errorf("what is printed is not what the documentation shows:\n%s", printed)
	}
	conf := filepath.Join(dir, "router.conf")
	must(t, os.WriteFile(conf, []byte(strings.ReplaceAll(string(printed), "CHANGE-ME", "correct-horse")), 0o644))
	router.start(t, at, dir, conf)

	// The node announces more than its router was told of.
	must(t, os.WriteFile(file, fmt.Appendf(nil, halfNode, dir, `, "198.51.100.11/32"`), 0o600))
	launch(t, host.Command(t.Context(), binary, "run", "--config", file))
	kernel := func(family, prefix string) bool {
		out, _ := at.Command(t.Context(), "ip", family, "route", "show", prefix).CombinedOutput()
		return strings.Contains(string(out), "via")
	}
	waitFor(t, "route in the router's kernel", func() bool {
		return kernel("-4", "198.51.100.10/32") && kernel("-6", "2001:db8:10::1/128")
	})
	waitFor(t, "BFD", func() bool { return router.fast() })
	told, err := host.Command(t.Context(), binary, "bgp", "routes").CombinedOutput()
	must(t, err)
	if !strings.Contains(string(told), "198.51.100.11/32") || kernel("-4", "198.51.100.11/32") {
		t.Errorf("the router takes what is none of the VIPs that it was told of, or was not told that:\n%s", told)
	}
	out, err := host.Command(t.Context(), binary, "pop", "drain", "--reason", "test", "--override", "last-announcer", "--override", "min-nodes").CombinedOutput()
	if err != nil {
		t.Fatalf("drain: %v\n%s", err, out)
	}
	waitFor(t, "the least preferred route", func() bool { return strings.Contains(router.route("198.51.100.10/32"), router.shunned()) })
}

type halfBIRD struct{ birdc, socket string }

func (b *halfBIRD) start(t *testing.T, at *netns.Namespace, dir, conf string) {
	t.Helper()
	bird := testneed.Command(t, "bird", "bird2")
	b.birdc, b.socket = testneed.Command(t, "birdc", "bird2"), filepath.Join(dir, "ctl")
	if out, err := exec.Command(bird, "-p", "-c", conf).CombinedOutput(); err != nil {
		t.Fatalf("BIRD does not take it: %v\n%s", err, out)
	}
	launch(t, at.Command(t.Context(), bird, "-f", "-c", conf, "-s", b.socket, "-P", filepath.Join(dir, "pid")))
}

func (b *halfBIRD) ask(args ...string) string {
	out, _ := exec.Command(b.birdc, append([]string{"-s", b.socket}, args...)...).CombinedOutput()
	return string(out)
}

func (b *halfBIRD) fast() bool {
	return strings.Count(b.ask("show", "bfd", "sessions"), " Up ") == 2
}
func (b *halfBIRD) route(prefix string) string { return b.ask("show", "route", prefix, "all") }
func (b *halfBIRD) shunned() string            { return "BGP.local_pref: 0\n" }

type halfFRR struct{ client, dir string }

func (f *halfFRR) start(t *testing.T, at *netns.Namespace, dir, conf string) {
	t.Helper()
	f.client, f.dir = testneed.Command(t, "vtysh", "frr"), filepath.Join(dir, "frr")
	account, err := user.Lookup("frr")
	testneed.That(t, err == nil, "the user frr (Debian package frr)")
	uid, err := strconv.Atoi(account.Uid)
	must(t, err)
	gid, err := strconv.Atoi(account.Gid)
	must(t, err)
	must(t, os.Mkdir(f.dir, 0o755))
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chown(f.dir, uid, gid))
	if out, err := exec.Command(f.client, "--vty_socket", f.dir, "-C", "-f", conf).CombinedOutput(); err != nil {
		t.Fatalf("FRR does not take it: %v\n%s", err, out)
	}
	for _, daemon := range [][]string{{"zebra"}, {"bgpd"}} {
		args := append([]string{
			"-f", "/dev/null", "-i", filepath.Join(f.dir, daemon[0]+".pid"), "-z", filepath.Join(f.dir, "zserv.api"),
			"--vty_socket", f.dir, "-A", "127.0.0.1", "-P", "0", "-u", "frr", "-g", "frr", "--log", "stdout",
		}, daemon[1:]...)
		launch(t, at.Command(t.Context(), testneed.Command(t, daemon[0], "frr"), args...))
		waitFor(t, daemon[0], func() bool {
			_, err := os.Stat(filepath.Join(f.dir, daemon[0]+".vty"))
			return err == nil
		})
	}
	if out, err := f.vtysh("-f", conf); err != nil || strings.Contains(out, "%") {
		t.Fatalf("FRR does not take it: %v\n%s", err, out)
	}
}

func (f *halfFRR) vtysh(args ...string) (string, error) {
	out, err := exec.Command(f.client, append([]string{"--vty_socket", f.dir}, args...)...).CombinedOutput()
	return string(out), err
}

func (f *halfFRR) ask(question string) string {
	out, _ := f.vtysh("-c", question)
	return out
}

// fast: FRR has no BFD beside TTL security.
func (f *halfFRR) fast() bool                 { return true }
func (f *halfFRR) route(prefix string) string { return f.ask("show bgp ipv4 unicast " + prefix) }
func (f *halfFRR) shunned() string            { return "localpref 0," }
