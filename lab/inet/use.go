package inet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/landfall-cdn/landfall/lab/load"
)

// LoadConfig is a client of the lab for package load.
func (l *Lab) LoadConfig(network string, f Family) (load.Config, error) {
	if l.Plan.Client(network) == nil {
		return load.Config{}, fmt.Errorf("no client %s", network)
	}
	roots, err := l.Roots()
	if err != nil {
		return load.Config{}, err
	}
	from := l.Client(network)
	return load.Config{
		Dial: func(ctx context.Context, port int, addr netip.AddrPort) (net.Conn, error) {
			return Dial(ctx, from, port, addr)
		},
		ListenPacket: func() (net.PacketConn, error) { return ListenPacket(from, "udp") },
		Addr:         f.VIP(), HTTP: 80, HTTPS: 443, Host: Host, Roots: roots, Port: pick(f, 20000, 21000),
		Quick: PathQuick, Long: PathLong, LongByte: LongByte, LongSize: LongSize,
	}, nil
}

// Asked is the node whose admin address a command goes to that is about the
// nodes or PoPs among its words: another node of the same PoP, as the one
// that it is about may be in no state to answer.
func (l *Lab) Asked(words ...string) string {
	for _, w := range words {
		pop := w
		if n := l.Plan.Node(w); n != nil {
			pop = n.Pop
		}
		for _, n := range l.Plan.PopNodes(pop) {
			if n.Name != w {
				return n.Name
			}
		}
	}
	return l.Plan.Nodes[0].Name
}

// TakeBack undoes what an operator ordered: every node is active, announced
// as usual, and prepends nothing.
func (l *Lab) TakeBack(ctx context.Context) error {
	var errs []error
	for _, pop := range l.Plan.Pops() {
		asked := l.Plan.PopNodes(pop)[0].Name
		nodes, err := l.Nodes(ctx, asked)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		order := func(words ...string) {
			if out, err := l.Node(asked).Command(ctx, l.Program, words...).CombinedOutput(); err != nil {
				errs = append(errs, fmt.Errorf("landfall %s: %w: %s", strings.Join(words, " "), err, out))
			}
		}
		for _, n := range nodes {
			if n.Admin != "active" {
				order("node", "undrain", n.Name)
			} else if n.Announce != "normal" {
				order("node", "announce", n.Name)
			}
		}
		order("pop", "prepend", "0")
	}
	return errors.Join(errs...)
}
