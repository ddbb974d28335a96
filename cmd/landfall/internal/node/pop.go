package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/members"
	"github.com/landfall-cdn/landfall/affinity/relay"
	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/edge"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/group"
	"github.com/landfall-cdn/landfall/tls/identity"
)

// popPart is the node's part in its PoP: from gossip to a table, and from a
// table to who is asked. A node without pop in its file is a PoP of one.
type popPart struct {
	// Static after openPop.
	node     *Node
	self     affinity.Member
	identity *identity.Identity // nil alone
	members  *members.Members   // nil alone
	peers    *relay.Peers       // nil alone
	server   *relay.Server      // nil alone
	sessions *sessions.Table
	// siblings are nodes of other PoPs: where they are, and in which.
	siblings    map[affinity.NodeID]netip.AddrPort
	siblingPops map[affinity.NodeID]string

	drain   *drain
	changed chan struct{} // has room for one
	builds  prometheus.Observer
	failed  prometheus.Counter
	untold  prometheus.Counter
	herald  *herald // nil alone

	// publishing orders those who make tables.
	publishing sync.Mutex
	// Swapped whole by publish, read without a lock.
	current atomic.Pointer[tabled]
}

func (n *Node) openPop() error {
	conf := n.conf
	p := &popPart{
		node: n, sessions: sessions.New(n.conf.Limits, n.counters, n.metrics),
		self: affinity.Member{
			Node: affinity.Node{ID: affinity.NodeID(conf.Node.ID), Name: conf.Node.Name},
			L4:   affinity.Active, L7: affinity.Active, Peer: conf.Listen.Peer,
		},
		siblings: map[affinity.NodeID]netip.AddrPort{}, siblingPops: map[affinity.NodeID]string{},
		changed: make(chan struct{}, 1),
	}
	n.pop = p
	p.register(n.metrics)
	if conf.Pop == nil {
		return p.publish(affinity.View{Generation: 1, Members: []affinity.Member{p.self}})
	}
	p.self.Weight = conf.Pop.Weight
	p.self.L4, p.self.L7 = affinity.Joining, affinity.Joining
	if err := p.publish(affinity.View{Generation: 1, Members: []affinity.Member{p.self}}); err != nil {
		return err
	}
	return p.join(conf.Pop)
}

// forEdge is what the path of a request needs of all this.
func (p *popPart) forEdge() *edge.Pop {
	out := &edge.Pop{
		Self: p.self.ID, Name: p.node.conf.Node.Pop, Table: p.table, Sessions: p.sessions,
		CookieKeys: p.node.ring.CookieKey, Relay: alone{},
	}
	if out.Alone = p.peers == nil; !out.Alone {
		out.Relay = p.peers
		for _, s := range p.node.conf.Pop.Siblings {
			out.Siblings = append(out.Siblings, edge.Sibling{ID: affinity.NodeID(s.ID), Pop: s.Pop})
		}
	}
	return out
}

// join prepares for other nodes.
func (p *popPart) join(conf *configs.Pop) (err error) {
	n := p.node
	if p.identity, err = n.identify(conf); err != nil {
		return err
	}
	for _, s := range conf.Siblings {
		p.siblings[affinity.NodeID(s.ID)] = s.Peer
		p.siblingPops[affinity.NodeID(s.ID)] = s.Pop
	}
	p.herald = &herald{
		tell:  func(ctx context.Context, payload []byte) error { return p.tell(ctx, callInvalidate, payload) },
		limit: n.conf.Limits.RelaySilence, untold: p.untold, wake: make(chan struct{}, 1),
	}
	p.peers = relay.New(relay.Config{
		Self:   p.self.ID,
		Client: func(id affinity.NodeID) *tls.Config { return p.identity.Client(uint8(id)) },
		Limits: n.conf.Limits, Counters: n.counters, Reached: p.reached,
		Log: n.log.Named("relay"), Registerer: n.metrics,
	})
	return nil
}

// identify makes the certificates that nodes know one another by.
func (n *Node) identify(conf *configs.Pop) (*identity.Identity, error) {
	if t := conf.TLS; t != nil {
		id, err := identity.Load(t.CA, t.Certificate, t.Key, n.conf.Node.Pop, n.conf.Node.ID)
		if err != nil {
			return nil, fmt.Errorf("pop.tls: %w", err)
		}
		return id, nil
	}
	return identity.Derive(n.secret, n.conf.Node.Pop, n.conf.Node.ID, time.Now())
}

// peerID returns who is at the other end of a connection: a node of this
// PoP, or a sibling of the node file. The secret alone makes no sibling.
func (p *popPart) peerID(cs tls.ConnectionState) (affinity.NodeID, error) {
	peer, err := identity.PeerOf(cs)
	if err != nil {
		return 0, err
	}
	id := affinity.NodeID(peer.ID)
	if _, sibling := p.siblings[id]; peer.Pop == p.node.conf.Node.Pop && !sibling || peer.Pop == p.siblingPops[id] {
		return id, nil
	}
	return 0, fmt.Errorf("%s is neither of PoP %s nor among pop.siblings", peer, p.node.conf.Node.Pop)
}

func (p *popPart) reached(id affinity.NodeID, ok bool) {
	if _, sibling := p.siblings[id]; !sibling {
		p.members.Reach(id, ok)
	}
}

// listen opens the sockets for other nodes: for gossip, and for what they
// bring.
func (p *popPart) listen() (err error) {
	if p.identity == nil {
		return nil
	}
	n := p.node
	p.server, err = relay.Listen(relay.ServerConfig{
		Addr: n.conf.Listen.Peer, TLS: p.identity.Server(), PeerID: p.peerID,
		Handler: n.edge, Calls: p.calls(), Limits: n.conf.Limits, Counters: n.counters,
		Drain: n.conf.Drain.Timeout, Log: n.log.Named("relay"),
	}, n.metrics)
	if err != nil {
		return err
	}
	conf := n.conf.Pop
	p.members, err = members.Listen(members.Config{
		Self: p.self, Pop: n.conf.Node.Pop, Version: n.opts.Version,
		Listen: conf.Listen, Join: conf.Join, Key: identity.GossipKey(n.secret, n.conf.Node.Pop),
		Publish: p.viewed, Sites: n.sites.hash, Purges: n.store.Purges,
		Log: n.log.Named("members"), Registerer: n.metrics,
	})
	if err != nil {
		return errors.Join(err, p.server.Close())
	}
	n.checks.Report("pop", p.members.Problems)
	return nil
}

// close gives the sockets back, of a node that never ran.
func (p *popPart) close() error {
	if p.members == nil {
		return nil
	}
	return errors.Join(p.members.Close(), p.server.Close())
}

// parts are started in this order: others are asked, and then told that
// this node is there. Being there is not yet owning: see active.
func (p *popPart) parts() []group.Part {
	if p.members == nil {
		return nil
	}
	return []group.Part{
		{Name: "relay to others", Run: p.peers.Run, Stop: stopSlack},
		{Name: "relay from others", Run: p.server.Run, Stop: p.node.conf.Drain.Timeout + stopSlack},
		{Name: "invalidations", Run: p.herald.Run, Stop: stopSlack},
		{Name: "certificates of the pop", Run: p.certificates, Stop: stopSlack},
		{Name: "farewell", Run: p.farewell, Stop: stopSlack},
		{Name: "members", Run: p.members.Run, Stop: stopSlack},
	}
}

// farewellTime is how long a node that has said that it leaves goes on
// answering others, who learn of it one after the other.
const farewellTime = 500 * time.Millisecond

// farewell ends that long after membership did.
func (p *popPart) farewell(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	if len(p.current.Load().view.Members) > 1 {
		<-time.After(farewellTime)
	}
	return nil
}

// certificates follows the table: who orders a name changes with it, and a
// node that is new has to be given what there is.
func (p *popPart) certificates(ctx context.Context, ready func()) error {
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.changed:
		}
		p.node.issuer.Reconsider()
		if err := p.node.issuer.Announce(ctx); err != nil && ctx.Err() == nil {
			p.node.log.Warn("not every node has every certificate yet; trying again later", zap.Error(err))
		}
	}
}

// invalidated is told which keys an unsafe request has made void here.
func (p *popPart) invalidated(keys []string) {
	if p.herald != nil {
		p.herald.announce(keys)
	}
}

// state tells the others how far this node takes part. A node alone goes on
// serving what reaches it, whatever it is in.
func (p *popPart) state(s affinity.State) {
	if p.members != nil {
		p.members.SetState(s, s)
	}
}

// alone is the relay of a node that has no others.
type alone struct{}

// Ask implements edge.Relay.
func (alone) Ask(_ context.Context, to affinity.NodeID, _ *exchange.Request) (*exchange.Response, error) {
	return nil, &relay.Unreached{Node: to, Why: relay.NotConnected}
}
