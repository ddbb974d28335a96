package routerconf

import (
	"fmt"
	"strings"

	"github.com/landfall-cdn/landfall/bgp"
)

const (
	// maxRoutes is how many routes a router takes from a node before it ends
	// the session: as many as a node can announce. It counts those that the
	// filter refuses, too.
	maxRoutes = bgp.MaxVIPs
	// restartMinutes is how long FRR then waits.
	restartMinutes = 1
	// frrNothing refuses everything, gshut finds GRACEFUL_SHUTDOWN.
	frrNothing = "landfall-nothing"
	frrGshut   = "landfall-gshut"
)

// frrNoBFD is why. FRR 8.4 has BFD or ttl-security: with that it takes the
// node for one that is several hops away, and BFD with those is another
// protocol (RFC 5883).
const frrNoBFD = ` ! No BFD: with ttl-security FRR speaks that for several hops (RFC 5883) only,
 ! which the node does not; ttl_security: false at the node's peer gives it up
 ! for BFD. The hold time is how long a silent node is kept.
`

// frr writes for FRR, as vtysh reads it.
func (h *half) frr() string {
	var b strings.Builder
	fmt.Fprintf(&b, "! FRR: the router's half of the sessions with the node %s, AS %d.\n!\n", h.Name, h.BGP.ASN)
	if h.once {
		h.frrOnce(&b)
	}
	for _, f := range h.families() {
		h.frrFilter(&b, f)
	}
	for _, asn := range h.asns() {
		h.frrSessions(&b, asn)
	}
	return b.String()
}

// frrOnce is what all nodes share.
func (h *half) frrOnce(b *strings.Builder) {
	fmt.Fprintf(b, "! Once on each router.\n")
	fmt.Fprintf(b, "bgp community-list standard %s seq 5 permit graceful-shutdown\n", frrGshut)
	fmt.Fprintf(b, "route-map %s deny 10\nexit\n", frrNothing)
	for _, asn := range h.asns() {
		fmt.Fprintf(b, "router bgp %d\n bgp bestpath as-path multipath-relax\n", asn)
		for _, f := range h.families() {
			fmt.Fprintf(b, " address-family %s unicast\n  maximum-paths %d\n  maximum-paths ibgp %d\n exit-address-family\n", channel(f), MaxPaths, MaxPaths)
		}
		b.WriteString("exit\n")
	}
	b.WriteString("!\n")
}

func (h *half) frrMap(f string) string { return h.id + "-vips-" + f }

// frrFilter takes the VIPs and nothing else.
func (h *half) frrFilter(b *strings.Builder, f string) {
	name, ip := h.frrMap(f), "ip"
	if f == "v6" {
		ip = "ipv6"
	}
	vips := h.vips(f == "v4")
	if len(vips) == 0 {
		return
	}
	for i, vip := range vips {
		fmt.Fprintf(b, "%s prefix-list %s seq %d permit %s\n", ip, name, 5*(i+1), vip)
	}
	fmt.Fprintf(b, "route-map %s permit 10\n match %s address prefix-list %s\n match community %s\n set local-preference 0\nexit\n", name, ip, name, frrGshut)
	fmt.Fprintf(b, "route-map %s permit 20\n match %s address prefix-list %s\nexit\n!\n", name, ip, name)
}

func (h *half) frrSessions(b *strings.Builder, asn uint32) {
	fmt.Fprintf(b, "router bgp %d\n", asn)
	for i := range h.sessions {
		if s := &h.sessions[i]; s.router.ASN == asn {
			h.frrSession(b, s)
		}
	}
	for _, f := range h.families() {
		fmt.Fprintf(b, " address-family %s unicast\n", channel(f))
		for i := range h.sessions {
			if s := &h.sessions[i]; s.router.ASN == asn {
				h.frrFamily(b, s, f)
			}
		}
		b.WriteString(" exit-address-family\n")
	}
	b.WriteString("exit\n")
}

func (h *half) frrSession(b *strings.Builder, s *session) {
	if unknown(s.node) {
		fmt.Fprintf(b, " ! %s: the node's address on the network of %s\n", s.node, s.router.Address)
	}
	line := func(format string, args ...any) {
		fmt.Fprintf(b, " neighbor %s "+format+"\n", append([]any{s.node}, args...)...)
	}
	line("remote-as %d", h.BGP.ASN)
	line("description landfall node %s", h.Name)
	line("update-source %s", s.router.Address)
	hold := int(s.router.Hold().Seconds())
	line("timers %d %d", max(1, hold/3), hold)
	switch {
	case s.ttlSecurity():
		line("ttl-security hops 1")
	case s.router.Multihop > 0 && !h.BGP.Internal(s.router):
		line("ebgp-multihop %d", s.router.Multihop)
	}
	if s.router.Password != "" {
		fmt.Fprintf(b, " ! the key in the node's bgp.peers[].password\n")
		line("password %s", Password)
	}
	if s.waits {
		line("passive")
	}
	line("graceful-restart-disable")
	switch {
	case s.bfd == nil:
	case s.ttlSecurity():
		b.WriteString(frrNoBFD)
	default:
		line("bfd %d %d %d", s.bfd.Multiplier, s.bfd.TX.Milliseconds(), s.bfd.TX.Milliseconds())
	}
}

// frrFamily is what a session carries of a family: its own, and no other.
func (h *half) frrFamily(b *strings.Builder, s *session, family string) {
	line := func(format string, args ...any) {
		fmt.Fprintf(b, "  neighbor %s "+format+"\n", append([]any{s.node}, args...)...)
	}
	if s.family() != family {
		if family == "v4" { // which FRR has every session carry
			fmt.Fprintf(b, "  no neighbor %s activate\n", s.node)
		}
		return
	}
	line("activate")
	filter := frrNothing
	if len(h.vips(s.v4())) > 0 {
		filter = h.frrMap(family)
	}
	line("route-map %s in", filter)
	line("route-map %s out", frrNothing)
	line("maximum-prefix %d restart %d force", maxRoutes, restartMinutes)
}
