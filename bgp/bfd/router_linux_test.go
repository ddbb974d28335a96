package bfd

import (
	"encoding/json"
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

// view is what a router says of its session with an address.
type view struct {
	up bool
	// Milliseconds; 0 when the router does not say.
	interval, detection int
}

// router is a BFD implementation at the other end.
type router interface {
	// view returns the zero view when the router has no answer.
	view(peer string) view
	// all returns what it says, for people.
	all() string
}

// routers are the implementations that the tests know.
var routers = []struct {
	name  string
	start func(*testing.T, *lab) router
}{
	{"bird", func(t *testing.T, l *lab) router { return startBIRD(t, l, l.router) }},
	{"frr", startFRR},
}

const birdConf = `
log stderr all;
router id ` + router4 + `;
protocol device { }
protocol bfd {
  debug { states, events };
  interface "lan" { min rx interval 100 ms; min tx interval 100 ms; idle tx interval 1000 ms; multiplier 3; };
  neighbor ` + node4 + ` dev "lan";
  neighbor ` + node6 + ` dev "lan";
}
`

type bird struct{ client, socket string }

func startBIRD(t *testing.T, l *lab, at *netns.Namespace) *bird {
	t.Helper()
	dir, err := os.MkdirTemp(l.dir, "bird")
	must(t, err)
	b := &bird{testneed.Command(t, "birdc", "bird2"), filepath.Join(dir, "bird.ctl")}
	conf := filepath.Join(dir, "bird.conf")
	must(t, os.WriteFile(conf, []byte(birdConf), 0o600))
	start(t, at.Command(t.Context(), testneed.Command(t, "bird", "bird2"),
		"-f", "-c", conf, "-s", b.socket, "-P", filepath.Join(dir, "bird.pid")), nil)
	return b
}

func (b *bird) all() string {
	out, err := exec.Command(b.client, "-s", b.socket, "show", "bfd", "sessions").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s (%v)", out, err)
	}
	return string(out)
}

// view reads a line: address, interface, state, since, interval, timeout;
// the last two in seconds.
func (b *bird) view(peer string) (v view) {
	for line := range strings.Lines(b.all()) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != peer {
			continue
		}
		seconds := func(s string) int {
			d, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return 0
			}
			return int(d*1000 + 0.5)
		}
		return view{f[2] == "Up", seconds(f[len(f)-2]), seconds(f[len(f)-1])}
	}
	return view{}
}

const frrConf = `
bfd
 peer ` + node4 + ` interface lan
  receive-interval 100
  transmit-interval 100
  detect-multiplier 3
 exit
 peer ` + node6 + ` local-address ` + router6 + ` interface lan
  receive-interval 100
  transmit-interval 100
  detect-multiplier 3
 exit
exit
`

type frr struct{ client, dir string }

func startFRR(t *testing.T, l *lab) router {
	t.Helper()
	f := &frr{testneed.Command(t, "vtysh", "frr"), l.dir}
	account, err := user.Lookup("frr")
	testneed.That(t, err == nil, "the user frr (Debian package frr)")
	uid, err := strconv.Atoi(account.Uid)
	must(t, err)
	gid, err := strconv.Atoi(account.Gid)
	must(t, err)
	must(t, os.Chown(l.dir, uid, gid))
	common := func(name string) []string {
		return []string{
			"-f", "/dev/null", "-i", filepath.Join(l.dir, name+".pid"), "-z", filepath.Join(l.dir, "zserv.api"),
			"--vty_socket", l.dir, "-A", "127.0.0.1", "-P", "0", "-u", "frr", "-g", "frr", "--log", "stdout",
		}
	}
	start(t, l.router.Command(t.Context(), testneed.Command(t, "zebra", "frr"), common("zebra")...), nil)
	wait(t, "zebra listens", func() bool { // or bfdd tries again after 10 s only
		_, err := os.Stat(filepath.Join(l.dir, "zserv.api"))
		return err == nil
	}, f.all)
	start(t, l.router.Command(t.Context(), testneed.Command(t, "bfdd", "frr"),
		append(common("bfdd"), "--bfdctl", filepath.Join(l.dir, "bfdd.sock"))...), nil)
	conf := filepath.Join(l.dir, "frr.conf")
	must(t, os.WriteFile(conf, []byte(frrConf), 0o644))
	wait(t, "FRR takes its configuration", func() bool {
		out, err := f.vtysh("-f", conf)
		return err == nil && !strings.Contains(out, "failed") && strings.Contains(f.all(), node6)
	}, f.all)
	return f
}

func (f *frr) vtysh(args ...string) (string, error) {
	out, err := exec.Command(f.client, append([]string{"--vty_socket", f.dir}, args...)...).CombinedOutput()
	return string(out), err
}

func (f *frr) all() string {
	out, err := f.vtysh("-c", "show bfd peers json")
	if err != nil {
		return fmt.Sprintf("%s (%v)", out, err)
	}
	return out
}

func (f *frr) view(peer string) view {
	var peers []struct {
		Peer       string `json:"peer"`
		Status     string `json:"status"`
		Transmit   int    `json:"transmit-interval"`
		RemoteRX   int    `json:"remote-receive-interval"`
		RemoteTX   int    `json:"remote-transmit-interval"`
		RemoteMult int    `json:"remote-detect-multiplier"`
		Receive    int    `json:"receive-interval"`
	}
	if json.Unmarshal([]byte(f.all()), &peers) != nil {
		return view{}
	}
	for _, p := range peers {
		if p.Peer == peer {
			return view{p.Status == "up", max(p.Transmit, p.RemoteRX), p.RemoteMult * max(p.Receive, p.RemoteTX)}
		}
	}
	return view{}
}
