package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/landfall-cdn/landfall/cmd/landfall/internal/node"
	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/internal/demo"
	"github.com/landfall-cdn/landfall/internal/group"
	"github.com/landfall-cdn/landfall/internal/obs"
)

type devCmd struct {
	Listen netip.AddrPort `default:"127.0.0.1:8443" help:"HTTPS, over TCP and UDP."`
	HTTP   netip.AddrPort `default:"127.0.0.1:8080" help:"Plain HTTP."`
	Admin  netip.AddrPort `default:"127.0.0.1:9080" help:"Health, metrics and the API."`
	Peer   netip.AddrPort `default:"127.0.0.1:7443" help:"With --nodes: the relay between nodes."`
	Gossip netip.AddrPort `default:"127.0.0.1:7946" help:"With --nodes: the gossip between nodes."`
	Nodes  int            `default:"1" help:"Number of nodes, 1 to 16, each a process of its own; every address above is the first one's, and its port is counted up for the others."`
	Origin *url.URL       `placeholder:"URL" help:"Origin of your own instead of the demo, such as http://127.0.0.1:3000."`
	Dir    string         `type:"path" default:"${config_dir}" help:"Folder for the local CA, the site document and the access log."`
}

// defaultDir is where the dev verb keeps its files.
func defaultDir() string {
	base, err := os.UserConfigDir()
	if err != nil {
		base = os.TempDir()
	}
	return filepath.Join(base, "landfall", "dev")
}

// Run runs a node with everything that it needs on this machine.
func (d *devCmd) Run(c *console) error {
	if d.Nodes < 1 || d.Nodes > maxDevNodes {
		return fmt.Errorf("%w: --nodes %d: expected 1 to %d", errUsage, d.Nodes, maxDevNodes)
	}
	if o := d.Origin; o != nil && (o.Scheme != "http" && o.Scheme != "https" || o.String() != o.Scheme+"://"+o.Host && o.String() != o.Scheme+"://"+o.Host+"/") {
		return fmt.Errorf("%w: --origin %s: give scheme and host, and nothing else, such as http://127.0.0.1:3000", errUsage, o.Redacted())
	}
	for _, dir := range []string{d.Dir, d.sitesDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if d.Nodes != 1 {
		return d.runPop(c)
	}
	log := obs.NewLogger(zapcore.AddSync(c.err), zapcore.WarnLevel)
	defer obs.Redirect(log)()
	before, origin, err := d.origin()
	if err != nil {
		return err
	}
	conf, err := d.node()
	if err != nil {
		return err
	}
	fitMemory(conf, log)
	var n *node.Node
	n, err = node.New(conf, node.Options{Log: log, Version: version, Fallback: "demo", Before: before, Started: func() { d.greet(c, n, origin) }})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.sitesDir(), "demo.yaml"), d.site(origin), 0o600); err != nil {
		return err
	}
	return n.Run(c.ctx, c.urgent)
}

func (d *devCmd) sitesDir() string { return filepath.Join(d.Dir, "sites") }

// lock keeps a second dev away from the folder: it would write its own
// site over the first one's.
func (d *devCmd) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(d.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another landfall dev uses %s; stop it, or give --dir", d.Dir), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing it unlocks it
}

// origin starts the demo origin, unless there is one already.
func (d *devCmd) origin() ([]group.Part, *url.URL, error) {
	if d.Origin != nil {
		return nil, &url.URL{Scheme: d.Origin.Scheme, Host: d.Origin.Host}, nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen for the demo origin: %w", err)
	}
	o := demo.New(demo.Config{})
	part := group.Part{Name: "demo origin", Stop: 10 * time.Second, Run: func(ctx context.Context, ready func()) error {
		ready()
		return o.Run(ctx, ln)
	}}
	return []group.Part{part}, &url.URL{Scheme: "http", Host: ln.Addr().String()}, nil
}

// site is the document of the demo site. It is a file like any other: a
// change to it while the node runs takes effect at once.
func (d *devCmd) site(origin *url.URL) []byte {
	var b strings.Builder
	b.WriteString("# Written by `landfall dev` at each start. Edit it while the node runs and see.\n")
	b.WriteString("kind: Site\nname: demo\n")
	fmt.Fprintf(&b, "hostnames: [%s]\n", strings.Join(d.hostnames(), ", "))
	b.WriteString("tls: { cert: internal }\n")
	fmt.Fprintf(&b, "origins:\n  - { name: main, url: %q }\n", origin)
	b.WriteString("cache: { stale_while_revalidate: 10s, stale_if_error: 1h, key: { query: { exclude: [\"utm_*\"] } } }\n")
	return []byte(b.String())
}

func (d *devCmd) hostnames() []string {
	names := []string{"localhost", "127.0.0.1", `"::1"`}
	if addr := d.Listen.Addr(); !addr.IsUnspecified() && !addr.IsLoopback() {
		names = append(names, fmt.Sprintf("%q", addr))
	}
	return names
}

// both adds the other loopback address: browsers take localhost for ::1
// first, and fall back to 127.0.0.1 over TCP but not over QUIC.
func both(addr netip.AddrPort) []string {
	list := []string{strconv.Quote(addr.String())}
	if addr.Addr() != netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr.Port() == 0 {
		return list
	}
	probe, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return list // a machine without IPv6
	}
	_ = probe.Close() // it held nothing
	return append(list, strconv.Quote(netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port()).String()))
}

// node is the node file that one would write for this.
func (d *devCmd) node() (*configs.Node, error) {
	text := fmt.Sprintf(`
node:    { id: 1, name: dev, pop: dev }
listen:  { https: [%s], http: [%s] }
admin:   { listen: %q }
sites:   { dir: %q }
state:   %q
origins: { allow: ["0.0.0.0/0", "::/0"] }
log:     { access: %q }
drain:   { timeout: 5s }
`, strings.Join(both(d.Listen), ", "), strings.Join(both(d.HTTP), ", "), d.Admin, d.sitesDir(), filepath.Join(d.Dir, "state"), filepath.Join(d.Dir, "access.log"))
	conf, diags := configs.ParseNode(filepath.Join(d.Dir, "node.yaml"), []byte(text))
	if diags.HasErrors() {
		return nil, errors.New(diags.String())
	}
	return conf, nil
}

// greet says what is where.
func (d *devCmd) greet(c *console, n *node.Node, origin *url.URL) {
	https, ca := n.HTTPS()[0].Port(), n.RootFile()
	what := "your origin"
	if d.Origin == nil {
		what = "the demo origin; --origin URL puts one of yours behind this node"
	}
	_, _ = fmt.Fprintf(c.out, `Landfall %s is serving.

  site    https://localhost:%d/       HTTP/1.1, HTTP/2 and HTTP/3, certificate of a local CA
  plain   http://localhost:%d/        redirects to https
  admin   http://%s/healthz/ready and /metrics
  origin  %s   %s
  files   %s   access.log, sites/demo.yaml (edit it: changes take effect at once)

Ask twice, and see the second answer come from the cache:
  curl -sD- -o/dev/null --http1.1 --cacert '%s' https://localhost:%d/
  curl -sD- -o/dev/null --http2   --cacert '%s' https://localhost:%d/
  curl -sD- -o/dev/null --http3   --cacert '%s' https://localhost:%d/     (a curl with HTTP/3)

Ctrl-C stops it.
`, version, https, n.HTTP()[0].Port(), n.Admin(), origin, what, d.Dir, ca, https, ca, https, ca, https)
}
