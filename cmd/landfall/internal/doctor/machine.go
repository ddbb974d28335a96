package doctor

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

const (
	// leastMTU is that of an Ethernet; tunnels have less.
	leastMTU = 1500
	// fewFiles and wantedFiles are descriptors: a connection needs one, and
	// one to an origin or another node while it is not answered from memory.
	fewFiles    = 1024
	wantedFiles = 65536
)

// judged is a finding that is ok unless something is wrong.
func judged(check, good string, bad []string, verdict, means, do string) []Finding {
	if len(bad) == 0 {
		return []Finding{{Check: check, Verdict: OK, Text: good}}
	}
	return []Finding{{check, verdict, strings.Join(bad, "; "), means, do}}
}

func (f *Facts) has(a netip.Addr) bool {
	return slices.ContainsFunc(f.Addresses, func(own Address) bool { return own.Addr() == a })
}

// vips: a VIP that is not bound is announced and not answered.
func vips(f *Facts) []Finding {
	if f.Conf.BGP == nil {
		return nil
	}
	var bad []string
	var add []string
	for _, vip := range f.Conf.BGP.VIPs {
		if vip.IsSingleIP() && !f.has(vip.Addr()) {
			bad = append(bad, vip.String()+" is not an address of this machine")
			add = append(add, "ip address add "+vip.String()+" dev lo")
		}
	}
	return judged("vips", fmt.Sprintf("all of %d are bound here", len(f.Conf.BGP.VIPs)), bad, Fail,
		"packets for the VIP would be brought here and refused; the node checks that and stays withdrawn", strings.Join(add, "; "))
}

// listeners: somebody has to answer at each VIP.
func listeners(f *Facts) []Finding {
	if f.Conf.BGP == nil {
		return nil
	}
	all := slices.Concat(f.Conf.Listen.HTTPS, f.Conf.Listen.HTTP)
	var bad []string
	for _, vip := range f.Conf.BGP.VIPs {
		if !slices.ContainsFunc(all, func(l netip.AddrPort) bool {
			return covers(l.Addr(), vip) || coveredElsewhere(vip, f.Conf.BGP.VIPs, all)
		}) {
			bad = append(bad, "nothing listens at "+vip.String())
		}
	}
	return judged("listeners", "each VIP has one", bad, Fail,
		"clients that are brought here by that announcement are refused", "name the VIP in listen.https and listen.http, or take it out of bgp.vips")
}

// covers tells whether a listener takes connections for a VIP: a wildcard of
// IPv6 takes those of IPv4 too.
func covers(l netip.Addr, vip netip.Prefix) bool {
	return vip.Contains(l) || l.IsUnspecified() && (l.Is6() || vip.Addr().Is4())
}

// coveredElsewhere lets a network pass whose listeners are another VIP's.
func coveredElsewhere(vip netip.Prefix, vips []netip.Prefix, all []netip.AddrPort) bool {
	return !vip.IsSingleIP() && slices.ContainsFunc(vips, func(inner netip.Prefix) bool {
		return inner.IsSingleIP() && vip.Contains(inner.Addr()) &&
			slices.ContainsFunc(all, func(l netip.AddrPort) bool { return covers(l.Addr(), inner) })
	})
}

// lowPorts: ports below 1024 take a capability.
func lowPorts(f *Facts) []Finding {
	var low []string
	for _, l := range slices.Concat(f.Conf.Listen.HTTPS, f.Conf.Listen.HTTP) {
		if l.Port() < 1024 {
			low = append(low, l.String())
		}
	}
	if f.Conf.BGP != nil {
		for _, a := range f.Conf.BGP.Listen {
			low = append(low, netip.AddrPortFrom(a, 179).String())
		}
	}
	if len(low) == 0 || f.LowPorts {
		return judged("low ports", "allowed, or not used", nil, "", "", "")
	}
	return judged("low ports", "", []string{"not allowed to this account: " + strings.Join(low, ", ")}, Fail,
		"the node cannot open these sockets", "give the node CAP_NET_BIND_SERVICE, in a systemd unit with AmbientCapabilities=CAP_NET_BIND_SERVICE")
}

// ports: what is in the way of the BGP listener. A node that runs has it.
func ports(f *Facts) []Finding {
	if len(f.Ports) == 0 {
		return nil
	}
	var bad []string
	for _, at := range slices.SortedFunc(maps.Keys(f.Ports), netip.AddrPort.Compare) {
		err := f.Ports[at]
		if err == nil || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EADDRINUSE) && f.Running != nil {
			continue // the second is lowPorts'
		}
		bad = append(bad, fmt.Sprintf("%s: %v", at, err))
	}
	return judged("port 179", "free, or the node's", bad, Fail,
		"routers cannot open sessions, or open them to another program", "stop the other BGP daemon of this machine, or leave out bgp.listen")
}

func md5(f *Facts) []Finding {
	if len(f.MD5) == 0 {
		return nil
	}
	var bad []string
	for _, a := range slices.SortedFunc(maps.Keys(f.MD5), netip.Addr.Compare) {
		if err := f.MD5[a]; err != nil {
			bad = append(bad, fmt.Sprintf("%s: %v", a, err))
		}
	}
	return judged("tcp md5", "the kernel takes keys", bad, Fail,
		"sessions with a password would come up without one, so the node refuses to start", "use a kernel with CONFIG_TCP_MD5SIG, and unset GODEBUG=multipathtcp")
}

// links: a router is next to the node unless multihop says otherwise.
func links(f *Facts) []Finding {
	if f.Conf.BGP == nil {
		return nil
	}
	var bad []string
	for _, p := range f.Conf.BGP.Peers {
		if p.Multihop == 0 && !slices.ContainsFunc(f.Addresses, func(own Address) bool {
			return !own.IsSingleIP() && own.Contains(p.Address) && own.Addr() != p.Address
		}) {
			bad = append(bad, p.Address.String()+" is on no network of this machine")
		}
	}
	return judged("peers on link", "all routers are next to this machine", bad, Fail,
		"TTL security and BFD work with neighbours only; the node refuses to start", "give an interface an address next to the router, or say multihop in bgp.peers")
}

// routes: the ways to routers and other nodes.
func routes(f *Facts) []Finding {
	if len(f.Routes) == 0 {
		return nil
	}
	var bad []string
	for _, a := range slices.SortedFunc(maps.Keys(f.Routes), netip.Addr.Compare) {
		if err := f.Routes[a].Err; err != nil {
			bad = append(bad, fmt.Sprintf("%s: %v", a, err))
		}
	}
	return judged("routes", fmt.Sprintf("there is one to each of %d routers and nodes", len(f.Routes)), bad, Fail,
		"the session, or the PoP, does not come up", "ip route get ADDRESS; add a route, or bring the interface up")
}

// mtu: a path that is narrower than others drops large packets in silence.
func mtu(f *Facts) []Finding {
	sizes := map[int]string{}
	for _, r := range f.Routes {
		for _, own := range f.Addresses {
			if r.Err == nil && own.Addr() == r.Source && !own.Addr().IsLoopback() {
				sizes[own.MTU] = own.Interface
			}
		}
	}
	var bad []string
	for _, size := range slices.Sorted(maps.Keys(sizes)) {
		if size < leastMTU || len(sizes) > 1 {
			bad = append(bad, fmt.Sprintf("%s has %d", sizes[size], size))
		}
	}
	return judged("mtu", fmt.Sprintf("at least %d, and the same towards all", leastMTU), bad, Warn,
		"large packets between nodes or to clients may be lost without a word", "ip link set dev INTERFACE mtu 1500, the same on all nodes and routers")
}

func clock(f *Facts) []Finding {
	var bad []string
	if f.Clock != nil {
		bad = append(bad, f.Clock.Error())
	}
	return judged("clock", "kept in time", bad, Warn,
		"certificates and keys have dates; nodes bear with an hour's difference of keys, authorities with less", "run chrony or systemd-timesyncd")
}

func files(f *Facts) []Finding {
	verdict, bad := Warn, []string(nil)
	if f.Files != 0 && f.Files < wantedFiles {
		bad = append(bad, fmt.Sprintf("a process may have %d", f.Files))
	}
	if f.Files < fewFiles {
		verdict = Fail
	}
	return judged("descriptors", fmt.Sprintf("at least %d", wantedFiles), bad, verdict,
		"so many connections at most, to clients, origins and nodes together; close to it the node makes itself less preferred", "LimitNOFILE=1048576 in the systemd unit, or ulimit -Hn")
}

func state(f *Facts) []Finding {
	var bad []string
	if f.State != nil {
		bad = append(bad, f.State.Error())
	}
	return judged("state folder", f.Conf.State+" can be written", bad, Fail,
		"certificates, the last good sites and what operators ordered would not outlive the process", "make it the account's that the node runs as: chown, chmod 700")
}

// secrets: whoever reads the PoP's can read and answer everything in it.
func secrets(f *Facts) []Finding {
	if len(f.Secrets) == 0 {
		return nil
	}
	var bad []string
	for _, key := range slices.Sorted(maps.Keys(f.Secrets)) {
		switch s := f.Secrets[key]; {
		case s.Err != nil:
			bad = append(bad, key+": "+s.Err.Error())
		case s.Mode.Perm()&0o007 != 0:
			bad = append(bad, fmt.Sprintf("%s: everybody on this machine may open it (%v)", key, s.Mode.Perm()))
		}
	}
	return judged("secrets", "readable here, and not by everybody", bad, Fail,
		"the node does not start, or others can take part in the PoP and in its sessions", "chown to the node's account, chmod 600")
}
