package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/landfall-cdn/landfall/bgp/routerconf"
	"github.com/landfall-cdn/landfall/cmd/landfall/internal/node"
	"github.com/landfall-cdn/landfall/configs"
)

type bgpRouterConfigCmd struct {
	Config   string       `required:"" type:"path" placeholder:"FILE" help:"Node file."`
	For      string       `enum:"bird,frr" default:"bird" help:"bird for BIRD 2, or frr (${default})."`
	Peer     []netip.Addr `placeholder:"ADDRESS" help:"Addresses of one router among bgp.peers; all are one router's unless given."`
	Address  []netip.Addr `placeholder:"ADDRESS" help:"Unicast addresses of the node; those of this machine unless given."`
	NodeOnly bool         `help:"Leave out what a router needs once, for one that has a node already."`
}

// Run prints what a router needs. It changes nothing and asks nobody.
func (k *bgpRouterConfigCmd) Run(c *console) error {
	conf, diags := configs.LoadNode(k.Config)
	_, _ = fmt.Fprint(c.err, diags)
	if diags.HasErrors() {
		return errors.New("the node file is refused")
	}
	if conf.BGP == nil {
		return fmt.Errorf("%w: %s has no bgp: there is nothing for a router to know", errRefused, k.Config)
	}
	of, err := routerconfNode(conf)
	if err != nil {
		return err
	}
	if of.Addresses, err = k.addresses(); err != nil {
		return err
	}
	text, err := routerconf.Write(of, routerconf.Options{For: k.For, Peers: k.Peer, NodeOnly: k.NodeOnly})
	if err != nil {
		return fmt.Errorf("%w: --peer: %w", errUsage, err)
	}
	for _, router := range routerconf.Missing(of) {
		_, _ = fmt.Fprintf(c.err, "landfall: warning: the node's address towards %s is not known; give it with --address, or run this on the node\n", router)
	}
	_, err = c.out.Write([]byte(text))
	return err
}

// addresses are the node's own: those that are given, else this machine's.
func (k *bgpRouterConfigCmd) addresses() (out []netip.Prefix, err error) {
	if len(k.Address) == 0 {
		return machineAddresses()
	}
	for _, a := range k.Address {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

func routerconfNode(conf *configs.Node) (routerconf.Node, error) {
	of, err := node.BGPOf(conf.BGP)
	if err != nil {
		return routerconf.Node{}, err
	}
	out := routerconf.Node{Name: conf.Node.Name, BGP: of, BFD: map[netip.Addr]routerconf.BFD{}}
	for _, p := range conf.BGP.Peers {
		if p.BFD != nil {
			out.BFD[p.Address] = routerconf.BFD{TX: p.BFD.TX, Multiplier: p.BFD.Multiplier}
		}
	}
	return out, nil
}

// machineAddresses are the addresses of this machine with their networks.
func machineAddresses() (out []netip.Prefix, err error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p)
		}
	}
	return out, nil
}
