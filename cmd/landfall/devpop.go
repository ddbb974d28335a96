package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/landfall-cdn/landfall/internal/group"
)

// maxDevNodes bounds --nodes: ports are counted up from each flag's.
const maxDevNodes = 16

// devNode is one node of a PoP on this machine.
type devNode struct {
	id                               int
	name, dir                        string
	https, http, admin, peer, gossip netip.AddrPort
}

// file is the node's node file.
func (n *devNode) file() string { return filepath.Join(n.dir, "node.yaml") }

// runPop runs several nodes, each in a process of its own.
func (d *devCmd) runPop(c *console) error {
	nodes, err := d.nodes()
	if err != nil {
		return err
	}
	if err := d.writePop(nodes); err != nil {
		return err
	}
	parts, origin, err := d.origin()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.sitesDir(), "demo.yaml"), d.site(origin), 0o600); err != nil {
		return err
	}
	f, err := newFleet(nodes, c)
	if err != nil {
		return err
	}
	parts = append(parts, group.Part{Name: "nodes", Stop: fleetStop, Run: f.run},
		group.Part{Name: "greeting", Stop: fleetStop, Run: greeting(func() { d.greetPop(c.out, f, origin) })})
	return group.Run(c.ctx, c.urgent, parts)
}

// nodes gives each node its addresses: the flags' for the first, and each
// port counted up for the others; port 0 is any free one. All are tried, so
// that a port that is taken is known before anything starts.
func (d *devCmd) nodes() (nodes []devNode, err error) {
	for id := 1; id <= d.Nodes; id++ {
		nodes = append(nodes, devNode{id: id, name: fmt.Sprintf("dev-%d", id), dir: filepath.Join(d.Dir, "nodes", strconv.Itoa(id))})
	}
	var tried probes
	defer func() { err = errors.Join(err, tried.close()) }()
	for _, flag := range []struct {
		name string
		base netip.AddrPort
		udp  bool
		of   func(*devNode) *netip.AddrPort
	}{
		{"--listen", d.Listen, true, func(n *devNode) *netip.AddrPort { return &n.https }},
		{"--http", d.HTTP, false, func(n *devNode) *netip.AddrPort { return &n.http }},
		{"--admin", d.Admin, false, func(n *devNode) *netip.AddrPort { return &n.admin }},
		{"--peer", d.Peer, false, func(n *devNode) *netip.AddrPort { return &n.peer }},
		{"--gossip", d.Gossip, true, func(n *devNode) *netip.AddrPort { return &n.gossip }},
	} {
		for i := range nodes {
			addr, err := counted(flag.base, i)
			if err == nil {
				addr, err = tried.try(addr, flag.udp, fmt.Sprintf("%s of %s", flag.name, nodes[i].name))
			}
			if err != nil {
				return nil, fmt.Errorf("%s %s, for node %d: %w", flag.name, flag.base, i+1, err)
			}
			*flag.of(&nodes[i]) = addr
		}
	}
	return nodes, nil
}

// counted returns the address whose port is n above base's.
func counted(base netip.AddrPort, n int) (netip.AddrPort, error) {
	if base.Port() == 0 {
		return base, nil
	}
	port := int(base.Port()) + n
	if port > 65535 {
		return base, fmt.Errorf("%w: there is no port %d; begin lower", errUsage, port)
	}
	return netip.AddrPortFrom(base.Addr(), uint16(port)), nil
}

// probes are sockets that show which addresses are free. They are open
// together, so that no address is given out twice.
type probes struct {
	open  []io.Closer
	whose map[netip.AddrPort]string
}

// try returns addr, with a port that is free when it has none.
func (p *probes) try(addr netip.AddrPort, udp bool, whose string) (netip.AddrPort, error) {
	if other, dup := p.whose[addr]; dup {
		return addr, fmt.Errorf("%w: %s is %s already; take the flags' ports further apart", errUsage, addr, other)
	}
	ln, err := net.Listen("tcp", addr.String())
	if err != nil {
		return addr, fmt.Errorf("%w; free it, or choose other ports", err)
	}
	p.open = append(p.open, ln)
	addr = netip.AddrPortFrom(addr.Addr(), ln.Addr().(*net.TCPAddr).AddrPort().Port())
	if udp {
		socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		if err != nil {
			return addr, fmt.Errorf("%w; free it, or choose other ports", err)
		}
		p.open = append(p.open, socket)
	}
	if p.whose == nil {
		p.whose = map[netip.AddrPort]string{}
	}
	p.whose[addr] = whose
	return addr, nil
}

func (p *probes) close() (err error) {
	for _, c := range p.open {
		err = errors.Join(err, c.Close())
	}
	return err
}

// writePop writes the node files, and the secret unless there is one.
func (d *devCmd) writePop(nodes []devNode) error {
	if err := writeSecret(d.secretFile()); err != nil {
		return err
	}
	for i := range nodes {
		if err := os.MkdirAll(nodes[i].dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(nodes[i].file(), d.nodeFile(nodes, &nodes[i]), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (d *devCmd) secretFile() string { return filepath.Join(d.Dir, "pop.key") }

// writeSecret makes a PoP's secret. One that is there stays: the root that a
// browser was told to trust follows from it.
func writeSecret(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	_, err = fmt.Fprintln(f, base64.StdEncoding.EncodeToString(secret))
	return errors.Join(err, f.Close())
}

// nodeFile is the node file that one would write for n.
func (d *devCmd) nodeFile(nodes []devNode, n *devNode) []byte {
	var join []string
	for i := range nodes {
		join = append(join, strconv.Quote(nodes[i].gossip.String()))
	}
	return fmt.Appendf(nil, "# Written by `landfall dev --nodes %d` at each start.\n"+`
node:    { id: %d, name: %s, pop: dev }
listen:  { https: [%s], http: [%s], peer: %q }
admin:   { listen: %q }
sites:   { dir: %q }
state:   ./state
cache:   { memory: 64MiB }
pop:     { listen: %q, join: [%s], secret: { file: %q } }
origins: { allow: ["0.0.0.0/0", "::/0"] }
log:     { level: warn, access: ./access.log }
drain:   { timeout: 5s }
`, len(nodes), n.id, n.name, strings.Join(both(n.https), ", "), strings.Join(both(n.http), ", "), n.peer, n.admin,
		d.sitesDir(), n.gossip, strings.Join(join, ", "), d.secretFile())
}

// greetPop says what is where, and what to try.
func (d *devCmd) greetPop(out io.Writer, f *fleet, origin *url.URL) {
	var b strings.Builder
	fmt.Fprintf(&b, "Landfall %s is serving: a PoP of %d nodes.\n\n", version, len(f.children))
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(t, "  node\tpid\tsite\tplain\tadmin")
	for _, c := range f.children {
		_, _ = fmt.Fprintf(t, "  %s\t%d\thttps://localhost:%d/\thttp://localhost:%d/\t%s\n", c.node.name, c.pid(), c.node.https.Port(), c.node.http.Port(), c.node.admin)
	}
	_ = t.Flush() // into memory
	first, last := f.children[0], f.children[len(f.children)-1]
	ca := filepath.Join(first.node.dir, "state", "ca", "root.crt")
	what := "your origin"
	if d.Origin == nil {
		what = "the demo origin; --origin URL puts one of yours behind the nodes"
	}
	fmt.Fprintf(&b, "\n  origin  %s   %s\n  files   %s   nodes/*/access.log, sites/demo.yaml (edit it: changes take effect at once)\n", origin, what, d.Dir)
	b.WriteString("\nAsk each for one page, and see that its owner alone goes to the origin:\n")
	for _, c := range f.children {
		// The port is a part of the key: as it stands in the URL, not as it is
		// connected to.
		fmt.Fprintf(&b, "  curl -sD- -o/dev/null --cacert '%s' --connect-to ::localhost:%d https://localhost:%d/\n", ca, c.node.https.Port(), first.node.https.Port())
	}
	fmt.Fprintf(&b, "\nWho owns it, and who the nodes are:\n  landfall ring locate --admin %s https://localhost:%d/\n  landfall node list --admin %s\n",
		first.node.admin, first.node.https.Port(), first.node.admin)
	fmt.Fprintf(&b, "\nSend one away and take it back; kill one, and see the others take over:\n  landfall node drain %s --admin %s --deadline 30s\n  landfall node undrain %s --admin %s\n  kill -9 %d\n",
		last.node.name, first.node.admin, last.node.name, first.node.admin, last.pid())
	b.WriteString("\nCtrl-C stops them all.\n")
	_, _ = io.WriteString(out, b.String())
}
