package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// ALPN is the protocol that nodes speak with one another (RFC 7301).
const ALPN = "landfall-relay/1"

// Config is what Peers are made of.
type Config struct {
	// Self is this node: it is neither followed nor asked.
	Self affinity.NodeID
	// Client returns the settings of a connection to a node. They carry this
	// node's certificate, and refuse every other node's. It must not be nil.
	Client   func(id affinity.NodeID) *tls.Config
	Limits   limits.Limits
	Counters *limits.Counters // nil counts nothing
	// Reached is told when a node can be reached, or no longer: the first
	// time it is known, and whenever it changes. For one node it is called by
	// one goroutine at a time, without a lock; meanwhile that node is not
	// dialled again. May be nil.
	Reached    func(id affinity.NodeID, ok bool)
	Log        *zap.Logger
	Registerer prometheus.Registerer // nil: unregistered
}

// Peers are the other nodes, as this one asks them. Its methods may be used
// by all at once.
type Peers struct {
	// Static after New.
	conf Config
	met  *askMetrics
	dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)

	// Set under mu, read without.
	peers [affinity.MaxNodes + 1]atomic.Pointer[peer]

	mu sync.Mutex
	// Guarded by mu.
	wanted  map[affinity.NodeID]netip.AddrPort
	running context.Context // nil before Run, and when it ends

	// work is what Run waits for at its end: the goroutines of peers, of their
	// connections and of uploads.
	work sync.WaitGroup
}

// New returns Peers that follow nobody.
func New(conf Config) *Peers {
	d := &net.Dialer{Timeout: conf.Limits.RelayDead}
	return &Peers{
		conf: conf,
		met:  newAskMetrics(conf.Registerer),
		dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", addr.String())
		},
	}
}

// Run keeps connections to the nodes that are followed until ctx is done.
// Then it closes them: what is in flight fails with ErrLost. It returns when
// everything it began has ended, uploads too, which end when the front end
// closes their body.
func (p *Peers) Run(ctx context.Context, ready func()) error {
	p.mu.Lock()
	p.running = ctx
	p.reconcile()
	p.mu.Unlock()
	ready()
	<-ctx.Done()
	p.mu.Lock()
	p.running = nil
	p.reconcile()
	p.mu.Unlock()
	p.work.Wait()
	return nil
}

// Follow says which nodes there are, and where they listen for others. New
// ones are dialled. Those that are missing are asked no more; what is in
// flight there goes on.
func (p *Peers) Follow(peers map[affinity.NodeID]netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = make(map[affinity.NodeID]netip.AddrPort, len(peers))
	for id, addr := range peers {
		if id != p.conf.Self && id != 0 {
			p.wanted[id] = addr
		}
	}
	p.reconcile()
}

// reconcile makes the peers those that are wanted, none unless Run runs.
func (p *Peers) reconcile() {
	for id := range p.peers {
		at := &p.peers[id]
		addr, wanted := p.wanted[affinity.NodeID(id)]
		wanted = wanted && p.running != nil
		if old := at.Load(); old != nil {
			if wanted && old.addr == addr {
				continue
			}
			at.Store(nil)
			old.drop()
		}
		if wanted {
			ctx := p.running
			followed, drop := context.WithCancel(ctx)
			n := &peer{p: p, id: affinity.NodeID(id), addr: addr, drop: drop}
			at.Store(n)
			p.work.Go(func() { n.run(ctx, followed) })
		}
	}
}

// Reachable reports whether there is a connection to a node over which it
// can be asked.
func (p *Peers) Reachable(id affinity.NodeID) bool { return p.client(id) != nil }

// client returns the connection to a node, nil when there is none to use.
func (p *Peers) client(id affinity.NodeID) *client {
	if n := p.peers[id].Load(); n != nil {
		return n.conn.Load()
	}
	return nil
}

// Ask brings a request to a node, r.Asked saying what is wanted of it, and
// returns its answer. The caller closes the response's Body, or its Tunnel.
// ctx is for the whole exchange: when it is done, the other node's is too.
//
// It returns an *Unreached when nothing was done there, and a *Declined when
// the answer is not that node's to give; r.Body is untouched by both. Any
// other error is an *exchange.Error: that of the node which was asked, or
// ErrLost when the connection died after the request was accepted. Then
// r.Body may still be read until it is closed.
func (p *Peers) Ask(ctx context.Context, to affinity.NodeID, r *exchange.Request) (*exchange.Response, error) {
	resp, err := p.ask(ctx, to, r)
	p.met.asked(err)
	return resp, err
}

// Why says why a node was not reached. The word is a label of metrics.
type Why uint8

// The reasons.
const (
	NotConnected Why = iota // there is no connection
	Silent                  // not accepted within limits.RelaySilence
	Lost                    // the connection died before the request was accepted
	Busy                    // it has limits.RelayStreams of our requests already
	Leaving                 // it takes no more requests
	TooLarge                // the request's head is larger than what it takes
	numWhys
)

// String returns the word.
func (w Why) String() string {
	return [numWhys]string{"not_connected", "silent", "lost", "busy", "leaving", "too_large"}[w]
}

// Unreached says that nothing was done at the node that was asked: the
// request, its body untouched, may be answered some other way.
type Unreached struct {
	Node affinity.NodeID
	Why  Why
}

// Error implements error.
func (u *Unreached) Error() string {
	return nodeName(u.Node) + " was not reached: " + [numWhys]string{
		"there is no connection to it",
		"it did not accept in time (limits.relay_silence)",
		"the connection was lost before it accepted",
		"it has as many requests of this node as it takes (limits.relay_streams)",
		"it is leaving",
		"the request's head is larger than it takes",
	}[u.Why]
}

// Declined says that the answer is not for the node to give that was asked.
// The request's body is untouched.
type Declined struct {
	// Owner is the node whose it seemed to be there; 0 when it did not know.
	Owner affinity.NodeID
}

// Error implements error.
func (d *Declined) Error() string {
	if d.Owner == 0 {
		return "the node that was asked declined"
	}
	return "the node that was asked declined, and named " + nodeName(d.Owner)
}

// ErrLost says that the connection to a node died after it had accepted: what
// it has done meanwhile is unknown.
var ErrLost = errors.New("the connection to the node was lost after it had accepted")
