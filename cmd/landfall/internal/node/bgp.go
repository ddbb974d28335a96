package node

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/bgp/speaker"
	"github.com/landfall-cdn/landfall/configs"
)

// announcer starts announcing once the node is ready.
type announcer struct {
	bgp    *bgp.Announcer
	ready  func() bool
	readyC chan struct{}
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
	if err := conf.Validate(); err != nil {
		return fmt.Errorf("bgp: %w", err)
	}
	a := &announcer{ready: n.checks.Ready, readyC: make(chan struct{})}
	client, err := speaker.NewClient(speaker.ClientConfig{BGP: conf, Start: speaker.Self("speaker"), Log: n.log.Named("bgp")})
	if err != nil {
		return err
	}
	a.bgp, err = bgp.NewAnnouncer(bgp.AnnouncerConfig{
		BGP: conf, Speaker: client, Ready: a.readyC, Log: n.log.Named("bgp"), Registerer: n.metrics,
	})
	n.announcer = a
	return err
}

func bgpConfig(c *configs.BGP) (bgp.Config, error) {
	out := bgp.Config{ASN: c.ASN, RouterID: c.RouterID, VIPs: c.VIPs}
	for i, p := range c.Peers {
		if p.Passive && len(out.Listen) == 0 {
			out.Listen = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
		}
		peer := bgp.PeerConfig{Address: p.Address, ASN: p.ASN, HoldTime: p.HoldTime, Multihop: p.Multihop, Passive: p.Passive}
		if p.Password != nil {
			password, err := p.Password.Read()
			if err != nil {
				return out, fmt.Errorf("bgp.peers[%d].password: %w", i, err)
			}
			peer.Password = string(password)
		}
		out.Peers = append(out.Peers, peer)
	}
	return out, nil
}

func (a *announcer) stopLimit() time.Duration { return a.bgp.StopLimit() + stopSlack }

// Run watches for the node to become ready beside the announcer itself.
func (a *announcer) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); a.watch(ctx) }()
	err := a.bgp.Run(ctx, ready)
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
