package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/bgp/bfd"
	"github.com/landfall-cdn/landfall/bgp/ladder"
	"github.com/landfall-cdn/landfall/bgp/speaker"
	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/internal/group"
)

// announcer is what tells the world where the node's addresses are.
type announcer struct {
	*ladder.Announcer
	conf    bgp.Config
	speaker *speaker.Client
	bfd     *bfd.Server // nil when no peer wants it
	ready   func() bool
	readyC  chan struct{}
}

// readyPoll is how often a node that is not ready yet looks again.
const readyPoll = 100 * time.Millisecond

func (n *Node) openBGP() error {
	if n.conf.BGP == nil {
		return nil
	}
	conf, err := bgpConfig(n.conf.BGP)
	if err != nil {
		return err
	}
	conf.VIPs = n.reachable(conf)
	maps.DeleteFunc(conf.Prefixes, func(p netip.Prefix, _ bgp.Attrs) bool { return !slices.Contains(conf.VIPs, p) })
	if err := conf.Validate(); err != nil {
		return fmt.Errorf("bgp: %w", err)
	}
	a := &announcer{conf: conf, ready: n.checks.Ready, readyC: make(chan struct{})}
	if a.bfd, err = n.openBFD(); err != nil {
		return err
	}
	log := n.log.Named("bgp")
	a.speaker, err = speaker.NewClient(speaker.ClientConfig{
		BGP: conf, Start: speaker.Self(speakerArgs(conf)...), Log: log, Alive: func() bool { return a.Alive() },
	})
	if err != nil {
		return err
	}
	kept := newOrderFile(n.conf.State)
	order, err := kept.load()
	if err != nil {
		return err
	}
	lc := ladder.Config{
		BGP: conf, Speaker: a.speaker, Ready: a.readyC, Rules: ladder.DefaultRules(), Order: order, Keep: kept.save,
		Node: n.conf.Node.ID, Name: n.conf.Node.Name, Pop: n.conf.Node.Pop,
		Checks: n.announceChecks(), Purges: n.store.Purges, Log: log, Registerer: n.metrics,
	}
	if n.pop.peers != nil {
		lc.Fleet = fleet{n.pop}
	}
	if a.Announcer, err = ladder.New(lc); err != nil {
		return err
	}
	n.announcer = a
	return nil
}

// openBFD prepares a session with each router that has one in the file.
func (n *Node) openBFD() (*bfd.Server, error) {
	var peers []bfd.Peer
	for _, p := range n.conf.BGP.Peers {
		if p.BFD != nil {
			peers = append(peers, bfd.Peer{Address: p.Address, TX: p.BFD.TX, Multiplier: p.BFD.Multiplier})
		}
	}
	if len(peers) == 0 {
		return nil, nil
	}
	return bfd.New(bfd.Config{Peers: peers, Log: n.log.Named("bfd"), Registerer: n.metrics})
}

// parts are started in this order: when routes are withdrawn, BFD may say
// goodbye. Before that it would take them away at once.
func (a *announcer) parts() []group.Part {
	var parts []group.Part
	if a.bfd != nil {
		parts = append(parts, group.Part{Name: "bfd", Run: a.runBFD, Stop: stopSlack})
	}
	return append(parts, group.Part{Name: "bgp", Run: a.Run, Stop: a.StopLimit() + stopSlack})
}

// speakerArgs are the arguments that make this program a speaker.
func speakerArgs(conf bgp.Config) []string {
	if len(conf.Listen) > 0 {
		return []string{"speaker", "--listen"}
	}
	return []string{"speaker"}
}

func bgpConfig(c *configs.BGP) (bgp.Config, error) {
	read := &attrsReader{}
	out := bgp.Config{
		ASN: c.ASN, RouterID: c.RouterID, VIPs: c.VIPs, Listen: c.Listen,
		Attrs: read.attrs(configs.Attributes{
			MED: c.MED, Prepend: c.Prepend, Communities: c.Communities, LargeCommunities: c.LargeCommunities, LocalPref: c.LocalPref,
		}),
		Prefixes: map[netip.Prefix]bgp.Attrs{},
		Deprefer: read.rung(c.Deprefer), Gshut: read.rung(c.Gshut),
	}
	for _, p := range c.Prefixes {
		out.Prefixes[p.Prefix] = read.attrs(configs.Attributes{
			MED: p.MED, Prepend: p.Prepend, Communities: p.Communities, LargeCommunities: p.LargeCommunities, LocalPref: p.LocalPref,
		})
	}
	for i, p := range c.Peers {
		peer := bgp.PeerConfig{
			Address: p.Address, ASN: p.ASN, HoldTime: p.HoldTime, Multihop: p.Multihop, NoTTLSecurity: !p.TTLSecurity,
			Passive: p.Passive, AddPath: p.AddPath,
			Attrs: read.attrs(configs.Attributes{
				MED: p.MED, Prepend: p.Prepend, Communities: p.Communities, LargeCommunities: p.LargeCommunities, LocalPref: p.LocalPref,
			}),
		}
		if p.Deprefer != nil {
			peer.Deprefer = read.attrs(*p.Deprefer)
		}
		if p.Gshut != nil {
			peer.Gshut = read.attrs(*p.Gshut)
		}
		if p.Password != nil {
			password, err := p.Password.Read()
			if err != nil {
				return out, fmt.Errorf("bgp.peers[%d].password: %w", i, err)
			}
			peer.Password = string(password)
		}
		out.Peers = append(out.Peers, peer)
	}
	return out, errors.Join(read.errs...)
}

// attrsReader translates path attributes. Errors are for nodes that were
// not read from a file, which had been checked.
type attrsReader struct{ errs []error }

func (r *attrsReader) attrs(c configs.Attributes) bgp.Attrs {
	out := bgp.Attrs{Prepend: c.Prepend, MED: c.MED, MEDAdd: c.MEDAdd, LocalPref: c.LocalPref}
	for _, text := range c.Communities {
		v, err := bgp.ParseCommunity(text)
		out.Communities, r.errs = append(out.Communities, v), append(r.errs, err)
	}
	for _, text := range c.LargeCommunities {
		v, err := bgp.ParseLargeCommunity(text)
		out.Large, r.errs = append(out.Large, v), append(r.errs, err)
	}
	return out
}

func (r *attrsReader) rung(c *configs.Attributes) *bgp.Attrs {
	if c == nil {
		return nil
	}
	out := r.attrs(*c)
	return &out
}

// reachable returns the VIPs of the families that some peer speaks. The
// others cannot be announced, which is no reason to announce none.
func (n *Node) reachable(conf bgp.Config) (out []netip.Prefix) {
	for _, vip := range conf.VIPs {
		if slices.ContainsFunc(conf.Peers, func(p bgp.PeerConfig) bool { return p.Address.Is4() == vip.Addr().Is4() }) {
			out = append(out, vip)
			continue
		}
		n.log.Warn("a VIP is not announced: no BGP peer is of its address family", zap.Stringer("vip", vip))
	}
	return out
}

// Run watches for the node to become ready beside the announcer itself.
func (a *announcer) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); a.watch(ctx) }()
	err := a.Announcer.Run(ctx, ready)
	cancel()
	<-watched
	return err
}

func (a *announcer) watch(ctx context.Context) {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if a.ready() {
			close(a.readyC)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// runBFD keeps the sessions, and ends them with a word to the routers: its
// part stops after that which withdraws the routes.
func (a *announcer) runBFD(ctx context.Context, ready func()) error {
	sessions, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var farewell sync.WaitGroup
	farewell.Go(func() {
		select {
		case <-ctx.Done():
		case <-sessions.Done(): // it failed
			return
		}
		limit, cancel := context.WithTimeout(sessions, farewellTime)
		defer cancel()
		_ = a.bfd.AdminDown(limit) // a router that misses it notices the silence
		end()
	})
	err := a.bfd.Run(sessions, ready)
	end()
	farewell.Wait()
	return err
}
