package speaker

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/bgp"
)

// blame decides whether a peer is to blame for the end of a speaker, and
// puts it in quarantine if so.
func (c *Client) blame(err error) bool {
	now := time.Now()
	i := c.docket.crash(now, c.seen)
	if i < 0 {
		return false
	}
	s := c.docket.suspects[i]
	c.cfg.Log.Error("peer in quarantine, as speakers end while it has a session",
		zap.Stringer("peer", s.address), zap.Duration("time", s.until.Sub(now)), zap.Int("times", s.times), zap.Error(err))
	c.quarantine(i, s.until)
	return true
}

// release lets a peer come back whose quarantine is over.
func (c *Client) release() {
	i := c.docket.release(time.Now())
	if i < 0 {
		return
	}
	c.cfg.Log.Warn("peer is back from quarantine", zap.Stringer("peer", c.docket.suspects[i].address))
	c.quarantine(i, time.Time{})
}

// quarantine notes until when a peer is in quarantine, zero for not at all,
// and tells speakers which peers to do without.
func (c *Client) quarantine(i int, until time.Time) {
	var err error
	c.update(func(s *bgp.Status) {
		peers := slices.Clone(s.Peers)
		peers[i].Quarantine = until
		if !until.IsZero() {
			peers[i].Quarantines++
		}
		s.Peers = peers
		err = c.setOrder(c.desired, c.docket.without())
	})
	if err != nil {
		// An order of this size went through with as many peers before.
		c.cfg.Log.Error("order not changed", zap.Error(err))
	}
}

// peers returns what a report says of the peers with what the data plane
// itself keeps of them. A peer that sends more than it should is logged
// when that begins.
func (c *Client) peers(old, reported []bgp.PeerStatus) []bgp.PeerStatus {
	for i := range min(len(old), len(reported)) {
		was, p := old[i], &reported[i]
		p.Alarms, p.Quarantine, p.Quarantines = was.Alarms, was.Quarantine, was.Quarantines
		if p.Received > bgp.MaxReceived && was.Received <= bgp.MaxReceived {
			p.Alarms++
			c.cfg.Log.Warn("peer sends routes, which are ignored and cost memory; have it export none",
				zap.Stringer("peer", p.Address), zap.Uint64("routes", p.Received), zap.Int("most", bgp.MaxReceived))
		}
	}
	return reported
}

// idlePeers returns what is left of the peers without a speaker.
func idlePeers(peers []bgp.PeerStatus) []bgp.PeerStatus {
	out := make([]bgp.PeerStatus, len(peers))
	for i, p := range peers {
		out[i] = bgp.PeerStatus{Address: p.Address, ASN: p.ASN, Alarms: p.Alarms, Quarantine: p.Quarantine, Quarantines: p.Quarantines}
	}
	return out
}
