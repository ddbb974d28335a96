package relay

import (
	"context"
	"math/rand/v2"
	"net/netip"
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

	// drop ends run: the node is followed no more. A connection that is in
	// use ends when nothing is in flight any more, or with Peers.Run.
	drop context.CancelFunc

	// Set by run, read without a lock: nil when there is no connection that
	// takes requests.
	conn atomic.Pointer[client]

	// Owned by run.
	known, reached bool // what Config.Reached was told last, if anything
}

// run connects, and connects again, until followed is done: the node was
// dropped. Connections end with ctx.
func (n *peer) run(ctx, followed context.Context) {
	for wait := firstPause; ; {
		c, err := n.p.connect(ctx, followed, n)
		switch {
		case err == nil:
			if n.use(followed, c) > n.p.conf.Limits.RelayDead {
				wait = firstPause
			}
		case followed.Err() == nil:
			n.report(false, err)
		}
		if followed.Err() != nil {
			return
		}
		pause(followed, wait/2+rand.N(wait))
		wait = min(2*wait, lastPause)
	}
}

// use has a connection take requests until it is lost, takes no more, or the
// node is dropped, and returns how long that was.
func (n *peer) use(followed context.Context, c *client) time.Duration {
	n.conn.Store(c)
	n.report(true, nil)
	select {
	case <-c.leaving:
	case <-followed.Done():
	}
	n.conn.Store(nil)
	// One that says goodbye may have a successor already: dialling will tell.
	if isClosed(c.done) && followed.Err() == nil {
		n.report(false, c.whyEnded())
	}
	took := time.Since(c.began)
	c.retire()
	return took
}

// report tells whether the node can be reached, when that is new.
func (n *peer) report(ok bool, why error) {
	if n.known && n.reached == ok {
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
