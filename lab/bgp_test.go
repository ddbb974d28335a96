package lab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/netns"
	"github.com/landfall-cdn/landfall/internal/testneed"
)

const birdConf = `
log stderr all;
router id 10.77.0.1;
protocol device { }
template bgp edge { local as 64500; hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 1; ttl security on; }
protocol bgp n4 from edge { neighbor 10.77.0.11 as 64601; ipv4 { import all; export none; }; }
protocol bgp n6 from edge { neighbor fd77::11 as 64601; ipv6 { import all; export none; }; }
`

const bgpNode = `
node:    { id: 1, name: bgp }
listen:  { https: ["0.0.0.0:443"], http: ["0.0.0.0:80"] }
admin:   { listen: "127.0.0.1:9080" }
sites:   { dir: %[1]s/sites }
state:   %[1]s/state
log:     { access: %[1]s/access.log }
drain:   { timeout: 5s }
bgp:
  asn: 64601
  router_id: 10.77.0.11
  vips: ["198.51.100.10/32", "2001:db8:10::1/128"]
  peers: [{ address: 10.77.0.1, asn: 64500 }, { address: "fd77::1", asn: 64500 }]
`

// TestAnnouncesOnceReady runs the program beside a real BIRD: nothing is
// announced while the node is not ready or its VIPs are not bound, the VIPs
// are once they are, the last announcer stays whatever happens to them then,
// and at SIGTERM they are withdrawn before it stops accepting.
func TestAnnouncesOnceReady(t *testing.T) {
	testneed.Linux(t)
	testneed.Root(t)
	bird, birdc := testneed.Command(t, "bird", "bird2"), testneed.Command(t, "birdc", "bird2")
	testneed.Command(t, "ip", "iproute2")
	router, host := cable(t)

	// A socket's path is at most 108 bytes.
	dir, err := os.MkdirTemp("", "lf")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.WriteFile(filepath.Join(dir, "bird.conf"), []byte(birdConf), 0o600))
	launch(t, router.Command(t.Context(), bird, "-f", "-c", dir+"/bird.conf", "-s", dir+"/ctl", "-P", dir+"/pid"))
	ask := func(args ...string) string {
		out, _ := exec.Command(birdc, append([]string{"-s", dir + "/ctl"}, args...)...).CombinedOutput()
		return string(out)
	}
	announced := func(want bool) bool {
		out := ask("show", "route")
		return strings.Contains(out, "198.51.100.10/32") == want && strings.Contains(out, "2001:db8:10::1/128") == want
	}
	waitFor(t, "BIRD", func() bool { return strings.Contains(ask("show", "status"), "up and running") })

	must(t, os.Mkdir(filepath.Join(dir, "sites"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "node.yaml"), fmt.Appendf(nil, bgpNode, dir), 0o600))
	node := launch(t, host.Command(t.Context(), binary, "run", "--config", filepath.Join(dir, "node.yaml")))
	waitFor(t, "sessions", func() bool { return strings.Count(ask("show", "protocols"), "Established") == 2 })
	if !announced(false) {
		t.Error("a node without a site, which is not ready, is announced")
	}
	must(t, os.WriteFile(filepath.Join(dir, "sites", "a.yaml"), []byte(siteDoc("a.example", "https://origin.example")), 0o600))
	why := func() string {
		out, _ := host.Command(t.Context(), "curl", "-s", "http://127.0.0.1:9080/healthz/announce").Output()
		return string(out)
	}
	waitFor(t, "the VIP that is not bound is named", func() bool { return strings.Contains(why(), "self-hard check vip 198.51.100.10:443") })
	if !announced(false) {
		t.Error("a VIP that is not bound here is announced")
	}
	bind(t, host, "add")
	waitFor(t, "announcement", func() bool { return announced(true) })
	bind(t, host, "delete")
	waitFor(t, "an interlock that keeps the last announcer", func() bool { return strings.Contains(why(), `"last-announcer"`) })
	if !announced(true) {
		t.Error("the last announcer is gone")
	}
	bind(t, host, "add")

	serves := func() bool {
		out, _ := host.Command(t.Context(), "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: a.example", "http://10.77.0.11/").Output()
		return string(out) == "308"
	}
	if !serves() {
		t.Error("the node does not serve")
	}
	must(t, node.cmd.Process.Signal(os.Interrupt))
	looked := time.Now() // before the withdrawal
	waitFor(t, "withdrawal", func() bool {
		now := time.Now()
		if announced(false) {
			return true
		}
		looked = now
		return false
	})
	// A machine that stood still has let the time pass for which it serves on.
	if !serves() && time.Since(looked) < time.Second {
		t.Error("the node stopped accepting before the world could know")
	}
	<-node.ended
	if code := node.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// bind gives the VIPs to a host, or takes them away.
func bind(t *testing.T, host *netns.Namespace, verb string) {
	t.Helper()
	for _, vip := range []string{"198.51.100.10/32", "2001:db8:10::1/128"} {
		args := []string{"address", verb, vip, "dev", "lo"}
		if verb == "add" {
			args = append(args, "nodad")
		}
		if out, err := host.Command(t.Context(), "ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
}

// cable makes a router and a host with a cable between them.
func cable(t *testing.T) (router, host *netns.Namespace) {
	t.Helper()
	set, err := netns.NewSet("lab")
	must(t, err)
	t.Cleanup(func() { must(t, set.Close()) })
	router, err = set.Add("router")
	must(t, err)
	host, err = set.Add("host")
	must(t, err)
	must(t, set.Link(
		netns.End{Namespace: router, Interface: "lan", Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24"), netip.MustParsePrefix("fd77::1/64")}},
		netns.End{Namespace: host, Interface: "lan", Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.11/24"), netip.MustParsePrefix("fd77::11/64")}},
	))
	return router, host
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
