package routerconf

import (
	"fmt"
	"strings"
)

// bird writes for BIRD 2.
func (h *half) bird() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# BIRD 2: the router's half of the sessions with the node %s, AS %d.\n", h.Name, h.BGP.ASN)
	if h.once {
		h.birdOnce(&b)
	}
	for _, f := range h.families() {
		h.birdFilter(&b, f)
	}
	for i := range h.sessions {
		h.birdSession(&b, &h.sessions[i])
	}
	return b.String()
}

// birdOnce is what a router has one of, however many nodes there are.
func (h *half) birdOnce(b *strings.Builder) {
	b.WriteString("\n# Once on each router; what it has already stays as it is, but for \"merge paths\".\n")
	if id := h.routerID(); id != "" {
		fmt.Fprintf(b, "router id %s;\n", id)
	} else {
		b.WriteString("router id ROUTER-ID; # an IPv4 address of the router\n")
	}
	b.WriteString("protocol device { }\n")
	for _, f := range h.families() {
		fmt.Fprintf(b, "protocol kernel { merge paths on limit %d; %s { import none; export where source = RTS_BGP; }; }\n", MaxPaths, channel(f))
	}
	if h.fast() {
		b.WriteString("protocol bfd { }\n")
	}
}

func channel(family string) string {
	if family == "v4" {
		return "ipv4"
	}
	return "ipv6"
}

// birdFilter takes the VIPs and nothing else.
func (h *half) birdFilter(b *strings.Builder, f string) {
	vips := h.vips(f == "v4")
	if len(vips) == 0 {
		return
	}
	texts := make([]string, len(vips))
	for i, vip := range vips {
		texts[i] = vip.String()
	}
	fmt.Fprintf(b, `
filter %s_vips_%s {
  if net !~ [ %s ] then reject;
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0; # GRACEFUL_SHUTDOWN, RFC 8326
  accept;
}
`, h.id, f, strings.Join(texts, ", "))
}

func (h *half) birdSession(b *strings.Builder, s *session) {
	line := func(format string, args ...any) { fmt.Fprintf(b, "  "+format+"\n", args...) }
	fmt.Fprintf(b, "\nprotocol bgp %s {\n", s.name)
	line("local %s as %d;", s.router.Address, s.router.ASN)
	if unknown(s.node) {
		line("neighbor %s as %d; # the node's address on the network of %s", s.node, h.BGP.ASN, s.router.Address)
	} else {
		line("neighbor %s as %d;", s.node, h.BGP.ASN)
	}
	line("hold time %d;", int(s.router.Hold().Seconds()))
	if s.router.Multihop > 0 {
		line("multihop %d;", s.router.Multihop)
	} else {
		line("direct;")
	}
	if s.ttlSecurity() {
		line("ttl security on;")
	}
	if s.router.Password != "" {
		line("password %q; # the key in the node's bgp.peers[].password", Password)
	}
	if s.waits {
		line("passive on; # the node opens the session")
	}
	line("graceful restart off; # a node that is gone answers nobody")
	if s.bfd != nil {
		ms := s.bfd.TX.Milliseconds()
		line("bfd { min rx interval %d ms; min tx interval %d ms; idle tx interval 1000 ms; multiplier %d; };", ms, ms, s.bfd.Multiplier)
	}
	filter := "none"
	if len(h.vips(s.v4())) > 0 {
		filter = fmt.Sprintf("filter %s_vips_%s", h.id, s.family())
	}
	line("%s {", channel(s.family()))
	line("  import %s;", filter)
	line("  receive limit %d action restart;", maxRoutes)
	line("  export none;")
	if s.router.AddPath {
		line("  add paths rx;")
	}
	line("};")
	b.WriteString("}\n")
}
