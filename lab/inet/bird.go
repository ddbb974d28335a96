package inet

import (
	"fmt"
	"net/netip"
	"strings"
)

// Policy is what a border does to the announcements of its PoP beyond what
// the nodes ask for: how an operator steers at the router.
type Policy struct {
	// Prepend is how often the PoP's AS is put in front once more, 0 to 8.
	Prepend int `json:"prepend,omitempty"`
	// MED replaces the nodes', when it is not nil.
	MED *uint32 `json:"med,omitempty"`
	// Communities are added, such as 64496:80.
	Communities []string `json:"communities,omitempty"`
}

// GracefulShutdown is the community of RFC 8326.
const GracefulShutdown = "65535:0"

// MaxPrepend bounds what the border translates of the nodes' prepending, and
// Policy.Prepend.
const MaxPrepend = 8

// holdTime is that of every session, in seconds: the backstop behind BFD
// towards nodes, and all there is between networks.
const holdTime = 9

// birdConf is the configuration of a router for BIRD 2. dir is the folder
// of the router's files.
func birdConf(p *Plan, r *Router, dir string, policy Policy) string {
	var b strings.Builder
	fmt.Fprintf(&b, `log "%s/bird.log" { warning, error, fatal, bug, auth, info, remote };
router id %s;
timeformat log iso long ms;
timeformat protocol iso long ms;
protocol device { scan time 10; }
protocol bfd {
  interface "lan" { min rx interval 100 ms; min tx interval 100 ms; idle tx interval 1000 ms; multiplier 3; };
}
`, dir, r.ID)
	for _, f := range Families {
		birdFamily(&b, r, f)
		if r.Role == Border {
			birdBorder(&b, r, f, policy)
		}
	}
	for _, l := range p.linksOf(r.Name) {
		other := p.Router(l.other(r.Name))
		for _, f := range Families {
			own, far := l.end(r.Name, f)
			birdSession(&b, session{
				name: other.Name, family: f, template: "outside", own: own.Addr(), far: far.Addr(), asn: other.ASN,
				in: birdImport(r, f), out: birdExport(r, other, f),
			})
		}
	}
	for _, n := range p.PopNodes(r.Name) {
		for _, f := range Families {
			birdSession(&b, session{
				name: n.Name, family: f, template: "inside", own: r.lan(f).Addr(), far: n.Address(f), asn: n.ASN,
				in: "filter nodes_" + string(f), out: "none",
			})
		}
	}
	return b.String()
}

// birdFamily has what every router has: the kernel's table, its own
// networks, and what sessions have in common.
func birdFamily(b *strings.Builder, r *Router, f Family) {
	channel := pick(f, "ipv4", "ipv6")
	fmt.Fprintf(b, `
protocol kernel kernel_%[1]s { merge paths on limit 16; metric 50; %[2]s { import none; export where source = RTS_BGP; }; }
protocol static static_%[1]s { %[2]s;
`, f, channel)
	if r.Role == Transit {
		fmt.Fprintf(b, "  route %s unreachable;\n", everywhere(f))
	} else {
		fmt.Fprintf(b, "  route %s unreachable;\n", r.lan(f).Masked())
	}
	b.WriteString("}\n")
	// Local preference as providers let their customers choose it; graceful
	// shutdown (RFC 8326) is below whatever else is asked for.
	fmt.Fprintf(b, `filter provider_%[1]s {
  if (%[2]d, 80) ~ bgp_community then bgp_local_pref = 80;
  if (%[2]d, 120) ~ bgp_community then bgp_local_pref = 120;
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
  accept;
}
`, f, r.ASN)
	if f == V4 {
		fmt.Fprintf(b, `template bgp outside { local as %d; hold time %d; connect delay time 1; connect retry time 1; error wait time 1, 1; }
`, r.ASN, holdTime)
	}
	if f == V4 && r.Role == Border {
		// The nodes open the sessions, so that one that starts is heard at once.
		fmt.Fprintf(b, `template bgp inside { local as %d; hold time %d; passive on; ttl security on; graceful restart off; bfd on; error wait time 1, 1; }
`, r.ASN, holdTime)
	}
}

// everywhere is the default route.
func everywhere(f Family) netip.Prefix {
	return pick(f, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
}

type session struct {
	name     string
	family   Family
	template string
	own, far netip.Addr
	asn      uint32
	in, out  string // filters
}

func birdSession(b *strings.Builder, s session) {
	fmt.Fprintf(b, "protocol bgp %s_%s from %s { local %s; neighbor %s as %d; %s { import %s; export %s; }; }\n",
		s.name, s.family, s.template, s.own, s.far, s.asn, pick(s.family, "ipv4", "ipv6"), s.in, s.out)
}

// birdImport is what a router takes from another network.
func birdImport(r *Router, f Family) string {
	if r.Role == Border {
		return "where net = " + everywhere(f).String()
	}
	return "filter provider_" + string(f)
}

// birdExport is what a router tells another network.
func birdExport(r, to *Router, f Family) string {
	switch {
	case r.Role == Border:
		return "filter world_" + string(f)
	case r.Role != Transit: // it carries nobody else's traffic
		return fmt.Sprintf("where net = %s", r.lan(f).Masked())
	case to.Role == Border: // which has no use for the whole table
		return "where net = " + everywhere(f).String()
	case to.Role == Transit: // a peer gets what customers announce
		return fmt.Sprintf("where source = RTS_BGP && bgp_path.first != %d", to.ASN)
	}
	return "where source = RTS_BGP"
}

// birdBorder has the border's two filters: what nodes may announce, and
// what the world is told of it. The nodes' private AS does not leave the
// PoP; each prepended one is translated to one of ours, and MED, which
// BIRD takes away when nobody sets it, is set to what the node sent.
func birdBorder(b *strings.Builder, r *Router, f Family, policy Policy) {
	host := netip.PrefixFrom(f.VIP(), f.VIP().BitLen())
	fmt.Fprintf(b, `
filter nodes_%[1]s {
  if net != %[2]s && net != %[3]s then reject;
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
  accept;
}
filter world_%[1]s {
  if net = %[4]s then accept;
  if net != %[2]s || source != RTS_BGP then reject;
  int pad = bgp_path.len - 1 + %[5]d;
  bgp_path.empty;
`, f, f.Prefix(), host, r.lan(f).Masked(), policy.Prepend)
	for i := range MaxPrepend {
		fmt.Fprintf(b, "  if pad > %d then bgp_path.prepend(%d);\n", i, r.ASN)
	}
	if policy.MED != nil {
		fmt.Fprintf(b, "  bgp_med = %d;\n", *policy.MED)
	} else {
		b.WriteString("  if defined(bgp_med) then bgp_med = bgp_med + 0;\n")
	}
	for _, c := range policy.Communities {
		fmt.Fprintf(b, "  bgp_community.add((%s));\n", strings.Replace(c, ":", ", ", 1))
	}
	b.WriteString("  accept;\n}\n")
}
