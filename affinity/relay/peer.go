package relay

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
)

const (
	// firstPause and lastPause are how long a node is left alone after it
	// could not be reached, or was lost at once: from one to the other,
	// doubled every time.
	firstPause = 25 * time.Millisecond
	lastPause  = time.Second
)

// peer is one node that is followed: what connects to it, and again whenever
// the connection is lost.
type peer struct {
	// Static.
	p    *Peers
	id   affinity.NodeID
	addr netip.AddrPort

	dropOnce sync.Once
	dropped  chan struct{} // closed when it is followed no more

	// Set by run, read without a lock: nil when there is no connection that
	// takes requests.
	conn atomic.Pointer[client]

	// Owned by run.
	known, reached bool // what Config.Reached was told last, if anything
}

func newPeer(p *Peers, id affinity.NodeID, addr netip.AddrPort) *peer {
	return &peer{p: p, id: id, addr: addr, dropped: make(chan struct{})}
}

// drop ends run. A connection that is in use ends when nothing is in flight
// any more, or with Run.
func (n *peer) drop() { n.dropOnce.Do(func() { close(n.dropped) }) }

// run connects, and connects again, until the node is dropped.
func (n *peer) run(ctx context.Context) {
	dialing, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, n.drop)()
	n.p.work.Go(func() { <-n.dropped; cancel() })
	defer n.drop()
	for wait := firstPause; ; {
		c, err := n.p.connect(ctx, dialing, n)
		if dialing.Err() != nil {
			if c != nil {
				c.retire()
			}
			return
		}
		if err != nil {
			n.report(false, err)
		} else if n.use(c) > n.p.conf.Limits.RelayDead {
			wait = firstPause
		}
		if isClosed(n.dropped) {
			return
		}
		pause(dialing, wait/2+rand.N(wait)) //nolint:gosec // spreads, and protects nothing
		wait = min(2*wait, lastPause)
	}
}

// use has a connection take requests until it is lost or takes no more, and
// returns how long that was.
func (n *peer) use(c *client) time.Duration {
	n.conn.Store(c)
	n.report(true, nil)
	select {
	case <-c.leaving:
	case <-n.dropped:
	}
	n.conn.Store(nil)
	select {
	case <-c.done:
		n.report(false, ErrLost)
	default: // it says goodbye, and another may have taken its place
	}
	took := time.Since(c.began)
	c.retire()
	return took
}

// report tells whether the node can be reached, when that is new.
func (n *peer) report(ok bool, why error) {
	if n.known && n.reached == ok || isClosed(n.dropped) {
		return
	}
	n.known, n.reached = true, ok
	if !ok {
		n.p.conf.Log.Warn("another node cannot be reached", zap.Uint8("node", uint8(n.id)), zap.Stringer("at", n.addr), zap.Error(why))
	}
	if n.p.conf.Reached != nil {
		n.p.conf.Reached(n.id, ok)
	}
}
