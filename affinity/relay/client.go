package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// client is the end of a connection that asks.
type client struct {
	link
	p       *Peers
	ready   chan struct{} // closed when the other end has said HELLO
	leaving chan struct{} // closed when it takes no more requests

	// Guarded by mu.
	lastID  uint32
	left    bool  // leaving is closed
	waiting turns // not accepted yet when they were put in
	armed   bool  // the alarm will ring
}

func newClient(p *Peers, id affinity.NodeID, tc *tls.Conn, below *pipe) *client {
	c := &client{
		link: link{
			id: id, conn: tc, below: below, theirs: answerer, limits: &p.conf.Limits, counters: p.conf.Counters,
			met: p.met.link, log: p.conf.Log,
		},
		p:       p,
		ready:   make(chan struct{}),
		leaving: make(chan struct{}),
	}
	c.init(c)
	return c
}

// begin sends a request's head, or a call. It fills a in, and returns why the
// node is not reached, if it is not.
func (c *client) begin(a *asked, head func([]byte) []byte) error {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	unreached := func(why Why) error { return &Unreached{c.id, why} }
	switch {
	case c.end != nil:
		return unreached(NotConnected)
	case c.left:
		return unreached(Leaving)
	case c.mute.Load():
		return unreached(Silent)
	case len(c.streams) >= c.peer.streams:
		c.counters.Hit(limits.RelayStreams)
		return unreached(Busy)
	case len(c.out) > congested:
		return unreached(Busy)
	}
	s := &a.stream
	s.l, s.id, s.asked = &c.link, c.freeID(), a
	at := len(c.out)
	c.append(a.kind, s.id)
	c.out = head(c.out)
	if !c.fits(at) {
		return unreached(TooLarge)
	}
	s.allow(int64(c.firstWindow()))
	s.takes = false // not before the answer
	c.enter(s)
	a.sent, a.due = now, now.Add(c.limits.RelaySilence)
	c.wait(a)
	c.wake()
	return nil
}

// freeID returns the number of a new stream. Numbers come again after four
// thousand million.
func (c *client) freeID() uint32 {
	for {
		c.lastID++
		if _, taken := c.streams[c.lastID]; !taken && c.lastID != 0 {
			return c.lastID
		}
	}
}

// wait has a passed by unless it is accepted in time. All wait equally long,
// so the first is the next that is due.
func (c *client) wait(a *asked) {
	for first := c.waiting.front(); first != nil && !first.asked.pending(); first = c.waiting.front() {
		c.waiting.pop()
	}
	c.waiting.push(&a.stream)
	if !c.armed {
		c.armed = true
		c.alarm.Reset(c.limits.RelaySilence)
	}
}

// alarmed implements side.
func (c *client) alarmed() {
	now := time.Now()
	c.mu.Lock()
	idle := c.idle()
	c.expire(now)
	c.mu.Unlock()
	if idle {
		c.fail(errRetired)
	}
}

// expire passes by what is due.
func (c *client) expire(now time.Time) {
	c.armed = false
	for first := c.waiting.front(); first != nil; first = c.waiting.front() {
		a := first.asked
		if a.pending() && now.Before(a.due) {
			c.armed = true
			c.alarm.Reset(a.due.Sub(now))
			return
		}
		c.waiting.pop()
		if a.pending() {
			c.passBy(a)
		}
	}
}

// passBy gives up a request that was not accepted in time.
func (c *client) passBy(a *asked) {
	c.counters.Hit(limits.RelaySilence)
	if c.heard.Load() <= int64(a.sent.Sub(c.began)) {
		c.mute.Store(true) // the next ones need not wait
	}
	c.append(frameCancel, a.id)
	c.wake()
	a.over(&Unreached{c.id, Silent})
}

// ended implements side.
func (c *client) ended(error) {
	c.stopAsking()
	for _, s := range c.streams {
		s.asked.over(c.lost(s.asked))
	}
	c.waiting = turns{}
}

// lost is what the end of the connection means to a.
func (c *client) lost(a *asked) error {
	if a.pending() {
		return &Unreached{c.id, Lost}
	}
	err := fmt.Errorf("%s: %w: %w", nodeName(c.id), ErrLost, c.end)
	return &exchange.Error{Cause: exchange.ConnectionTerminated, Err: err}
}

// whyEnded returns why the connection is over; nil while it is not.
func (c *client) whyEnded() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// stopAsking notes that the other end takes no more requests. Under mu.
func (c *client) stopAsking() {
	if !c.left {
		c.left = true
		close(c.leaving)
	}
}

// retire closes the connection once nothing is in flight any more.
func (c *client) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopAsking()
	c.rest()
}

// rest is called when a stream has left. Under mu, where the connection cannot
// be closed: the alarm does it.
func (c *client) rest() {
	if c.idle() {
		c.alarm.Reset(0)
		c.armed = true
	}
}

// idle reports whether the connection is over once nobody uses it, and nobody
// does.
func (c *client) idle() bool { return c.left && len(c.streams) == 0 && c.end == nil }

// frame implements side.
func (c *client) frame(f frame, p []byte) error {
	switch f.kind {
	case frameHello:
		close(c.ready)
	case frameGoAway:
		c.retire()
	default:
		c.mu.Lock()
		defer c.mu.Unlock()
		// One that has ended here may not have ended there.
		if s := c.streams[f.stream]; s != nil {
			return s.asked.frame(f.kind, p)
		}
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// usable waits until the other end has said HELLO.
func (c *client) usable(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-c.done:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.end
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// connect dials a node, and proves that it is that one. The connection ends
// with ctx, the attempt with dialing.
func (p *Peers) connect(ctx, dialing context.Context, n *peer) (*client, error) {
	dialing, cancel := context.WithTimeoutCause(dialing, p.conf.Limits.RelayDead, errNoAnswer)
	defer cancel()
	nc, err := p.dial(dialing, n.addr)
	if err != nil {
		return nil, err
	}
	below := newPipe(nc)
	tc := tls.Client(below, ours(p.conf.Client(n.id)))
	if err = tc.HandshakeContext(dialing); err == nil && tc.ConnectionState().NegotiatedProtocol != ALPN {
		err = fmt.Errorf("it does not speak %q", ALPN)
	}
	if err != nil {
		_ = nc.Close() // of no more use
		return nil, err
	}
	below.gather()
	c := newClient(p, n.id, tc, below)
	p.work.Go(func() {
		defer context.AfterFunc(ctx, func() { c.fail(errRetired) })()
		c.run()
	})
	if err := c.usable(dialing); err != nil {
		c.fail(err)
		return nil, err
	}
	p.conf.Log.Info("connected to another node", zap.Uint8("node", uint8(n.id)), zap.Stringer("at", n.addr))
	return c, nil
}

// errNoAnswer is why a node that takes connections is no peer: it may have
// been stopped.
var errNoAnswer = errors.New("no answer within limits.relay_dead")
