package inet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// frrDaemons is where Debian puts the programs of FRR, and frrUser the user
// that they run as.
const (
	frrDaemons = "/usr/lib/frr"
	frrUser    = "frr"
)

// frrConf is the configuration of a router for FRR.
func frrConf(p *Plan, r *Router, dir string, policy Policy) string {
	var b strings.Builder
	fmt.Fprintf(&b, "hostname %s\nlog file %s/frr.log informational\n", r.Name, dir)
	frrFilters(&b, r, policy)
	if r.Role == Border {
		b.WriteString("bfd\n profile edge\n  receive-interval 100\n  transmit-interval 100\n  detect-multiplier 3\n exit\nexit\n!\n")
	}
	fmt.Fprintf(&b, `router bgp %d
 bgp router-id %s
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp bestpath as-path multipath-relax
 timers bgp %d %d
`, r.ASN, r.ID, holdTime/3, holdTime)
	var in []frrNeighbor
	for _, l := range p.linksOf(r.Name) {
		other := p.Router(l.other(r.Name))
		for _, f := range Families {
			_, far := l.end(r.Name, f)
			in = append(in, frrOutside(r, other, f, far.Addr()))
		}
	}
	for _, n := range p.PopNodes(r.Name) {
		for _, f := range Families {
			in = append(in, frrNeighbor{
				addr: n.Address(f), family: f, asn: n.ASN, in: "NODES-" + string(f), out: "NOTHING",
				extra: []string{"bfd", "bfd profile edge", "passive"},
			})
		}
	}
	for _, n := range in {
		fmt.Fprintf(&b, " neighbor %s remote-as %d\n neighbor %s timers connect 1\n neighbor %s advertisement-interval 0\n", n.addr, n.asn, n.addr, n.addr)
		for _, e := range n.extra {
			fmt.Fprintf(&b, " neighbor %s %s\n", n.addr, e)
		}
	}
	for _, f := range Families {
		fmt.Fprintf(&b, " address-family %s unicast\n  maximum-paths 16\n", pick(f, "ipv4", "ipv6"))
		if r.Role != Transit {
			fmt.Fprintf(&b, "  network %s\n", r.lan(f).Masked())
		}
		for _, n := range in {
			if n.family != f {
				continue
			}
			fmt.Fprintf(&b, "  neighbor %s activate\n  neighbor %s route-map %s in\n  neighbor %s route-map %s out\n", n.addr, n.addr, n.in, n.addr, n.out)
			if r.Role == Border && n.out != "NOTHING" {
				fmt.Fprintf(&b, "  neighbor %s remove-private-AS all\n", n.addr)
			}
			if n.giveDefault {
				fmt.Fprintf(&b, "  neighbor %s default-originate\n", n.addr)
			}
		}
		b.WriteString(" exit-address-family\n")
	}
	b.WriteString("exit\n")
	return b.String()
}

type frrNeighbor struct {
	addr        netip.Addr
	family      Family
	asn         uint32
	in, out     string
	giveDefault bool
	extra       []string
}

// frrOutside is a neighbour in another network.
func frrOutside(r, other *Router, f Family, far netip.Addr) frrNeighbor {
	n := frrNeighbor{addr: far, family: f, asn: other.ASN, in: "PROVIDER", out: "ALL"}
	switch {
	case r.Role == Border:
		n.in, n.out = "DEFAULT-"+string(f), "WORLD-"+string(f)
	case r.Role != Transit:
		n.out = "OWN-" + string(f)
	case other.Role == Border:
		n.out, n.giveDefault = "NOTHING", true
	}
	return n
}

// frrFilters has the lists and maps. A map is changed and never made anew:
// a session goes on with the one that was removed for some seconds, and bgpd
// dies of an UPDATE meanwhile.
func frrFilters(b *strings.Builder, r *Router, policy Policy) {
	fmt.Fprintf(b, `bgp community-list standard GSHUT seq 5 permit graceful-shutdown
bgp community-list standard LOW seq 5 permit %[1]d:80
bgp community-list standard HIGH seq 5 permit %[1]d:120
route-map PROVIDER permit 5
 match community GSHUT
 set local-preference 0
route-map PROVIDER permit 6
 match community LOW
 set local-preference 80
route-map PROVIDER permit 7
 match community HIGH
 set local-preference 120
route-map PROVIDER permit 10
exit
route-map ALL permit 10
exit
route-map NOTHING deny 10
exit
`, r.ASN)
	for _, f := range Families {
		ip := pick(f, "ip", "ipv6")
		fmt.Fprintf(b, "%s prefix-list DEFAULT-%s seq 5 permit %s\n", ip, f, everywhere(f))
		if r.Role == Transit {
			continue
		}
		fmt.Fprintf(b, "%s prefix-list OWN-%s seq 5 permit %s\n", ip, f, r.lan(f).Masked())
		fmt.Fprintf(b, "route-map OWN-%s permit 10\n match %s address prefix-list OWN-%s\nexit\n", f, ip, f)
		fmt.Fprintf(b, "route-map DEFAULT-%s permit 10\n match %s address prefix-list DEFAULT-%s\nexit\n", f, ip, f)
		if r.Role == Border {
			frrBorder(b, r, f, policy)
		}
	}
}

// frrBorder has the border's two maps. The nodes' private AS is taken away
// on the way out, and with it what they prepended: how often that was is
// noted in a community of the border's own on the way in.
func frrBorder(b *strings.Builder, r *Router, f Family, policy Policy) {
	ip := pick(f, "ip", "ipv6")
	host := netip.PrefixFrom(f.VIP(), f.VIP().BitLen())
	fmt.Fprintf(b, "%s prefix-list VIPS-%s seq 5 permit %s\n%s prefix-list VIPS-%s seq 10 permit %s\n", ip, f, f.Prefix(), ip, f, host)
	fmt.Fprintf(b, "%s prefix-list WORLD-%s seq 5 permit %s\n", ip, f, f.Prefix())
	for pad := range MaxPrepend + 1 {
		fmt.Fprintf(b, "bgp as-path access-list PAD%d seq 5 permit ^%s$\n", pad, strings.Repeat("[0-9]+ ", pad)+"[0-9]+")
		fmt.Fprintf(b, "bgp community-list standard PAD%d seq 5 permit %d:%d\n", pad, r.ASN, padMark+pad)
		if pad == 0 {
			continue
		}
		fmt.Fprintf(b, "route-map NODES-%s permit %d\n match as-path PAD%d\n match %s address prefix-list VIPS-%s\n set community %d:%d additive\n on-match goto 100\n", f, pad, pad, ip, f, r.ASN, padMark+pad)
	}
	fmt.Fprintf(b, "route-map NODES-%s permit 100\n match community GSHUT\n match %s address prefix-list VIPS-%s\n set local-preference 0\n", f, ip, f)
	fmt.Fprintf(b, "route-map NODES-%s permit 110\n match %s address prefix-list VIPS-%s\nexit\n", f, ip, f)
	for pad := MaxPrepend; pad >= 0; pad-- {
		total := min(pad+policy.Prepend, MaxPrepend)
		fmt.Fprintf(b, "route-map WORLD-%s permit %d\n match %s address prefix-list WORLD-%s\n", f, 10+MaxPrepend-pad, ip, f)
		if pad > 0 {
			fmt.Fprintf(b, " match community PAD%d\n", pad)
		}
		fmt.Fprintf(b, " set comm-list PADS delete\n no set as-path prepend\n no set metric\n no set community\n")
		if total > 0 {
			fmt.Fprintf(b, " set as-path prepend %s\n", strings.TrimSpace(strings.Repeat(fmt.Sprintf("%d ", r.ASN), total)))
		}
		if policy.MED != nil {
			fmt.Fprintf(b, " set metric %d\n", *policy.MED)
		}
		if len(policy.Communities) > 0 {
			fmt.Fprintf(b, " set community %s additive\n", strings.Join(policy.Communities, " "))
		}
	}
	fmt.Fprintf(b, "route-map WORLD-%s permit 100\n match %s address prefix-list OWN-%s\nexit\n", f, ip, f)
	for pad := 1; pad <= MaxPrepend; pad++ {
		fmt.Fprintf(b, "bgp community-list standard PADS seq %d permit %d:%d\n", 5*pad, r.ASN, padMark+pad)
	}
}

// padMark is the first of the communities that say how often a node
// prepended.
const padMark = 1000

type frrRouting struct{}

// daemons begin with zebra: another that starts before zebra takes
// connections tries again 10 s later, and until then knows no interface. A
// session over IPv6 that comes up meanwhile has no link-local next hop, and
// its routes are not taken.
func (frrRouting) daemons(l *Lab, r *Router) (out []daemon) {
	dir := l.routerDir(r.Name)
	programs := []string{"zebra", "bgpd"}
	if r.Role == Border {
		programs = []string{"zebra", "bfdd", "bgpd"}
	}
	zebra := filepath.Join(dir, "zserv.api")
	for _, p := range programs {
		d := daemon{
			name:    r.Name + "-" + p,
			program: filepath.Join(frrDaemons, p),
			args:    []string{"-f", "/dev/null", "-i", filepath.Join(dir, p+".pid"), "-z", zebra, "--vty_socket", dir, "-A", "127.0.0.1", "-P", "0", "-u", frrUser, "-g", frrUser},
		}
		switch p {
		case "zebra":
			d.socket = zebra
		case "bfdd":
			d.args = append(d.args, "--bfdctl", filepath.Join(dir, "bfdd.sock"))
		}
		out = append(out, d)
	}
	return out
}

// configure writes the configuration; daemons take it by vtysh, once they
// run.
func (frrRouting) configure(ctx context.Context, l *Lab, r *Router, policy Policy, running bool) error {
	dir := l.routerDir(r.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if !running {
		if err := own(dir); err != nil {
			return err
		}
	}
	file := filepath.Join(dir, "frr.conf")
	if err := os.WriteFile(file, []byte(frrConf(l.Plan, r, dir, policy)), 0o644); err != nil {
		return err
	}
	if !running {
		return nil
	}
	_, err := ask(ctx, "vtysh", "--vty_socket", dir, "-f", file)
	return err
}

// own gives a folder to the user that FRR runs as.
func own(dir string) error {
	u, err := user.Lookup(frrUser)
	if err != nil {
		return err
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	if errU != nil || errG != nil {
		return fmt.Errorf("user %s has the ids %s and %s", frrUser, u.Uid, u.Gid)
	}
	return os.Chown(dir, uid, gid)
}

// started hands the daemons of a router their configuration, once they
// take commands.
func (f frrRouting) started(ctx context.Context, l *Lab, r *Router) error {
	dir := l.routerDir(r.Name)
	for _, d := range f.daemons(l, r) {
		if err := d.listening(ctx, filepath.Join(dir, filepath.Base(d.program)+".vty")); err != nil {
			return err
		}
	}
	return f.configure(ctx, l, r, Policy{}, true)
}

// show asks for JSON.
func (frrRouting) show(ctx context.Context, l *Lab, r *Router, command string, out any) error {
	text, err := ask(ctx, "vtysh", "--vty_socket", l.routerDir(r.Name), "-c", command+" json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return fmt.Errorf("%s at %s: %w", command, r.Name, err)
	}
	return nil
}

func (f frrRouting) sessions(ctx context.Context, l *Lab, r *Router) (out []Session, err error) {
	var summary map[string]struct {
		Peers map[string]struct {
			State string `json:"state"`
		} `json:"peers"`
	}
	if err := f.show(ctx, l, r, "show bgp summary", &summary); err != nil {
		return nil, err
	}
	for family, af := range map[Family]string{V4: "ipv4Unicast", V6: "ipv6Unicast"} {
		for addr, p := range summary[af].Peers {
			out = append(out, Session{Router: r.Name, Peer: l.Plan.whose(addr), Family: family, State: p.State, Established: p.State == "Established"})
		}
	}
	return out, nil
}

// whose is the router or node that has an address.
func (p *Plan) whose(addr string) string {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	for _, n := range p.Nodes {
		if n.LAN4.Addr() == a || n.LAN6.Addr() == a {
			return n.Name
		}
	}
	for _, l := range p.Links {
		switch a {
		case l.Left4.Addr(), l.Left6.Addr():
			return l.Left
		case l.Right4.Addr(), l.Right6.Addr():
			return l.Right
		}
	}
	return addr
}

// frrRoute is a route as FRR shows it.
type frrRoute struct {
	Paths []struct {
		ASPath struct {
			String string `json:"string"`
		} `json:"aspath"`
		Bestpath struct {
			Overall bool `json:"overall"`
		} `json:"bestpath"`
		Peer struct {
			PeerID string `json:"peerId"`
		} `json:"peer"`
	} `json:"paths"`
}

func (f frrRouting) route(ctx context.Context, l *Lab, r *Router, prefix netip.Prefix) (out frrRoute, err error) {
	af := "ipv4"
	if prefix.Addr().Is6() {
		af = "ipv6"
	}
	err = f.show(ctx, l, r, fmt.Sprintf("show bgp %s unicast %s", af, prefix), &out)
	return out, err
}

func (f frrRouting) path(ctx context.Context, l *Lab, r *Router, prefix netip.Prefix) ([]uint32, bool, error) {
	route, err := f.route(ctx, l, r, prefix)
	if err != nil {
		return nil, false, err
	}
	for _, p := range route.Paths {
		if !p.Bestpath.Overall {
			continue
		}
		var path []uint32
		for _, word := range strings.Fields(p.ASPath.String) {
			if n, err := strconv.ParseUint(word, 10, 32); err == nil {
				path = append(path, uint32(n))
			}
		}
		return path, true, nil
	}
	return nil, false, nil
}

func (f frrRouting) hears(ctx context.Context, l *Lab, r *Router, from string, prefix netip.Prefix) (bool, error) {
	route, err := f.route(ctx, l, r, prefix)
	for _, p := range route.Paths {
		if l.Plan.whose(p.Peer.PeerID) == from {
			return true, err
		}
	}
	return false, err
}

func (f frrRouting) fast(ctx context.Context, l *Lab, r *Router) (bool, error) {
	var peers []struct {
		Status string `json:"status"`
	}
	if err := f.show(ctx, l, r, "show bfd peers", &peers); err != nil {
		return false, err
	}
	up := 0
	for _, p := range peers {
		if p.Status == "up" {
			up++
		}
	}
	return up >= len(Families)*len(l.Plan.PopNodes(r.Name)), nil
}
