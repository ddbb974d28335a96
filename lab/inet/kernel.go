package inet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// kernelRoute is a route as ip(8) shows it.
type kernelRoute struct {
	Gateway  string    `json:"gateway"`
	Via      gateway   `json:"via"`
	Nexthops []gateway `json:"nexthops"`
}

type gateway struct {
	Gateway string `json:"gateway"`
	Host    string `json:"host"`
}

// Nexthops are the nodes that a border's kernel sends a family's anycast
// packets to.
func (l *Lab) Nexthops(ctx context.Context, border string, f Family) ([]string, error) {
	r := l.Plan.Router(border)
	if r == nil || r.Role != Border {
		return nil, fmt.Errorf("no border %s", border)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	vip := netip.PrefixFrom(f.VIP(), f.VIP().BitLen())
	out, err := ask(ctx, "ip", pick(f, "-4", "-6"), "-j", "-n", l.space(border).Name, "route", "show", vip.String())
	if err != nil {
		return nil, err
	}
	addrs, err := gateways(out)
	if err != nil {
		return nil, fmt.Errorf("route of %s at %s: %w", vip, border, err)
	}
	var nodes []string
	for _, n := range l.Plan.PopNodes(border) {
		for _, a := range addrs {
			if a == n.Address(f) {
				nodes = append(nodes, n.Name)
			}
		}
	}
	return nodes, nil
}

// gateways reads the next hops of the routes that ip(8) lists.
func gateways(text string) (out []netip.Addr, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var routes []kernelRoute
	if err := json.Unmarshal([]byte(text), &routes); err != nil {
		return nil, err
	}
	for _, r := range routes {
		for _, g := range append(r.Nexthops, gateway{r.Gateway, ""}, r.Via) {
			if a, err := netip.ParseAddr(g.Gateway); err == nil {
				out = append(out, a)
			}
		}
	}
	return out, nil
}
