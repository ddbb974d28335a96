package edge

import (
	"errors"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
)

// declines decides whether a request that another node brought is answered
// here, and if not, whose it seems to be.
func (s *Server) declines(r *exchange.Request) (owner affinity.NodeID, declined bool) {
	pop := s.conf.Pop
	switch r.Asked {
	case exchange.AskHeld:
		return 0, !pop.Sessions.Held(r.Session, r.Arrived)
	case exchange.AskSession, exchange.AskHome:
		if pop.Sessions.Held(r.Session, r.Arrived) {
			return 0, false
		}
		table, _ := pop.Table()
		p := table.Place(r.Session)
		if before := p.Previous[0]; r.Asked == exchange.AskHome && p.Mine && before != 0 && before != pop.Self {
			return before, true
		}
		return p.Owner, p.Owner != 0 && !p.Mine
	default:
		return 0, false
	}
}

// decline sends a relayed request back to the node that brought it.
func (x *passage) decline(owner affinity.NodeID) {
	x.outcome = exchange.Refused
	x.w.(exchange.PeerWriter).Decline(uint8(owner))
}

// errNotStored is why a node that is asked for what it has stored declines.
var errNotStored = errors.New("not stored here, or not fresh")

// result answers from the store, or has it filled.
func (x *passage) result(p *cache.Policy) (*cache.Result, error) {
	if x.r.Asked != exchange.AskStored {
		return x.s.store.Serve(x.ctx, x.r, p, x.placed)
	}
	res, ok := x.s.store.Peek(x.r, p)
	if !ok {
		return nil, errNotStored
	}
	return res, nil
}

// tell tells another node what its copy is a copy of.
func (x *passage) tell(res *cache.Result) {
	if peer, ok := x.w.(exchange.PeerWriter); ok {
		peer.Copy(res.Copy(time.Now()))
	}
}
