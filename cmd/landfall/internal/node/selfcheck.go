package node

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/bgp/ladder"
)

const (
	// selfTime bounds one look at the node's own VIP. It is less than the
	// interval of checks.
	selfTime = 1500 * time.Millisecond
	// looksMax is how many addresses are looked at: each look is a handshake.
	// Of further VIPs it is known that they are bound.
	looksMax = 8
)

// announceChecks are what the announcement hangs on, each with the class
// that says what its failing may do.
func (n *Node) announceChecks() []ladder.Check {
	var checks []ladder.Check
	looks := n.servedVIPs()
	for _, vip := range looks[:min(len(looks), looksMax)] {
		checks = append(checks, ladder.Check{
			Name: "vip " + vip.String(), Class: ladder.SelfHard,
			Run: func() error { return n.checkVIP(vip) },
		})
	}
	return append(checks,
		ladder.Check{Name: "addresses", Class: ladder.SelfHard, Run: func() error { return n.checkBound(net.InterfaceAddrs) }},
		ladder.Check{Name: "descriptors", Class: ladder.SelfSoft, Run: n.checkDescriptors},
		ladder.Check{Name: "members", Class: ladder.Pop, Run: n.checkMembers},
		ladder.Check{Name: "dependencies", Class: ladder.Shared, Run: n.checkDependencies},
	)
}

// servedVIPs are where a client would come in: the single addresses among
// the VIPs, and those of a VIP's network that the node listens on by name.
func (n *Node) servedVIPs() (out []netip.AddrPort) {
	listeners := append(append([]netip.AddrPort{}, n.conf.Listen.HTTPS...), n.conf.Listen.HTTP...)
	for _, vip := range n.conf.BGP.VIPs {
		for _, l := range listeners {
			at := l
			if vip.IsSingleIP() && l.Addr().IsUnspecified() && (l.Addr().Is6() || vip.Addr().Is4()) {
				at = netip.AddrPortFrom(vip.Addr(), l.Port())
			}
			if vip.Contains(at.Addr()) && !slices.Contains(out, at) {
				out = append(out, at)
			}
		}
	}
	return out
}

// isSelf tells whether a client is checkVIP.
func (n *Node) isSelf(client netip.Addr) bool {
	return n.conf.BGP != nil && slices.ContainsFunc(n.conf.BGP.VIPs, func(vip netip.Prefix) bool { return vip.Contains(client) })
}

// checkVIP is a client of this node: it comes from the VIP and goes to the
// VIP, so that an address that is not bound here is noticed and another
// node's is not taken for it. It asks for a host that nobody has, which the
// node answers by itself (421) without a cache or an origin.
func (n *Node) checkVIP(vip netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(context.Background(), selfTime)
	defer cancel()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(vip.Addr(), 0))}
	conn, err := d.DialContext(ctx, "tcp", vip.String())
	if err != nil {
		return fmt.Errorf("connect to the VIP from itself: %w; is it bound on this machine?", err)
	}
	defer conn.Close()
	n.selfLooks.Add(1)
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if n.isHTTPS(vip.Port()) {
		client := tls.Client(conn, &tls.Config{
			ServerName: n.sites.someHost(), NextProtos: []string{"http/1.1"},
			InsecureSkipVerify: true, //nolint:gosec // whether the certificate is good is no question of whether the node serves
		})
		if err := client.HandshakeContext(ctx); err != nil {
			return refusedPolitely(err)
		}
		conn = client
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: self.invalid\r\nUser-Agent: landfall-self-check\r\nConnection: close\r\n\r\n")); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return refusedPolitely(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		return fmt.Errorf("answers %s, expected %d", resp.Status, http.StatusMisdirectedRequest)
	}
	return nil
}

// checkBound fails while a VIP that is one address is on no interface: what
// routers send here for it is dropped.
func (n *Node) checkBound(interfaces func() ([]net.Addr, error)) error {
	addrs, err := interfaces()
	if err != nil {
		return fmt.Errorf("list the addresses of this machine: %w", err)
	}
	bound := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			bound[p.Addr()] = true
		}
	}
	var missing []string
	for _, vip := range n.conf.BGP.VIPs {
		if vip.IsSingleIP() && !bound[vip.Addr()] {
			missing = append(missing, vip.Addr().String())
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("on no interface of this machine: %s; add them to lo", strings.Join(missing, ", "))
	}
	return nil
}

// refusedPolitely takes an alert for an answer: a site that wants a client's
// certificate refuses ours, and serves.
func refusedPolitely(err error) error {
	var alert tls.AlertError
	var op *net.OpError
	if errors.As(err, &alert) || errors.As(err, &op) && op.Op == "remote error" {
		return nil
	}
	return fmt.Errorf("TLS on the VIP: %w", err)
}

func (n *Node) isHTTPS(port uint16) bool {
	for _, l := range n.conf.Listen.HTTPS {
		if l.Port() == port {
			return true
		}
	}
	return false
}

// checkDescriptors fails while the node is close to accepting nobody.
func (n *Node) checkDescriptors() error {
	used, limit := uint64(n.front.Counts().Connections()), fileLimit()
	if limit > 0 && used*10 > limit*9 {
		return fmt.Errorf("%d connections of %d descriptors", used, limit)
	}
	return nil
}

// checkMembers fails while more than half of the PoP's nodes are gone: those
// that are left get what all had.
func (n *Node) checkMembers() error {
	view := n.pop.current.Load().view
	gone := 0
	for _, m := range view.Members {
		if m.L7 == affinity.Gone {
			gone++
		}
	}
	if 2*gone > len(view.Members) {
		return fmt.Errorf("%d of %d nodes of PoP %s are gone", gone, len(view.Members), n.conf.Node.Pop)
	}
	return nil
}

// checkDependencies tells what is wrong around the node. It is shared by
// all, and so moves nothing.
func (n *Node) checkDependencies() error {
	problems := n.checks.Verdict().Problems
	if len(problems) == 0 {
		return nil
	}
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = p.Name + ": " + p.Text
	}
	return errors.New(strings.Join(texts, "; "))
}
