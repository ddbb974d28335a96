package node

import (
	"slices"

	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/bgp/routerconf"
	"github.com/landfall-cdn/landfall/configs"
)

// BGPOf is what a node file says about BGP, without reading the keys: a
// session that has one has routerconf.Password for it.
func BGPOf(c *configs.BGP) (bgp.Config, error) {
	without := *c
	without.Peers = slices.Clone(c.Peers)
	for i := range without.Peers {
		without.Peers[i].Password = nil
	}
	out, err := bgpConfig(&without)
	if err != nil {
		return out, err
	}
	for i := range out.Peers {
		if c.Peers[i].Password != nil {
			out.Peers[i].Password = routerconf.Password
		}
	}
	return out, nil
}
