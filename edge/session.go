package edge

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/relay"
	"github.com/landfall-cdn/landfall/edge/exchange"
)

// bySession fills where the session is: at the node that the client's
// cookie names; or at one that owned it before, and holds it still; or at
// its owner. A node that is in the view and cannot be reached may have it,
// so it is only passed by.
func (f *placed) bySession(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	pop := f.s.conf.Pop
	table, _ := pop.Table()
	if f.known && f.names(table) {
		if f.cookie.Owner == pop.Self {
			return f.here(ctx, r)
		}
		return f.orPass(ctx, r)(f.ask(ctx, f.cookie.Owner, exchange.AskAnyway, r))
	}
	if f.site.Affinity.Fleet {
		for _, id := range pop.elsewhere(f.session) {
			if resp, err := f.askOwner(ctx, r, id, exchange.AskHome); !passable(ctx, r, err) {
				return resp, err
			}
		}
	}
	return f.byTable(ctx, r, table.Place(f.session))
}

// byTable finds a session of this PoP. An owner from before that cannot be
// reached may hold it, so then the owner answers only if it holds it itself.
func (f *placed) byTable(ctx context.Context, r *exchange.Request, p affinity.Place) (*exchange.Response, error) {
	held := f.s.conf.Pop.Sessions
	missed := false
	for _, id := range p.Previous {
		if id == 0 {
			break
		}
		if id == f.s.conf.Pop.Self {
			if held.Held(f.session, time.Now()) {
				return f.here(ctx, r)
			}
			continue
		}
		resp, err := f.ask(ctx, id, exchange.AskHeld, r)
		if !passable(ctx, r, err) {
			return resp, err
		}
		_, declined := errors.AsType[*relay.Declined](err)
		missed = missed || !declined
	}
	switch {
	case missed && p.Mine && !held.Held(f.session, time.Now()):
		return f.passing(ctx, r)
	case p.Owner == 0 || p.Mine:
		return f.here(ctx, r)
	case missed:
		return f.orPass(ctx, r)(f.ask(ctx, p.Owner, exchange.AskHeld, r))
	}
	return f.orPass(ctx, r)(f.askOwner(ctx, r, p.Owner, exchange.AskSession))
}

// names reports whether the client's cookie names a node that can have the
// session still.
func (f *placed) names(table *affinity.Table) bool {
	id := f.cookie.Owner
	if f.s.conf.Pop.sibling(id) {
		return f.site.Affinity.Fleet
	}
	return table.Listed(id) && !table.Gone(id)
}

// orPass returns an answer of another node, or passes that node by.
func (f *placed) orPass(ctx context.Context, r *exchange.Request) func(*exchange.Response, error) (*exchange.Response, error) {
	return func(resp *exchange.Response, err error) (*exchange.Response, error) {
		if passable(ctx, r, err) {
			return f.passing(ctx, r)
		}
		return resp, err
	}
}

// mostHints is how many nodes are asked for a session one after the other,
// each named by the one before.
const mostHints = 4

// askOwner asks the node that owns the session by this node's table, or that
// may know. Tables differ for a moment after a change, and another PoP's is
// not known: a node that does not have the session names the one that it
// takes for the owner, and when those who were named lead back to one that
// was asked, that one answers anyway.
func (f *placed) askOwner(ctx context.Context, r *exchange.Request, owner affinity.NodeID, what exchange.Ask) (*exchange.Response, error) {
	var asked [mostHints]affinity.NodeID
	for n := range asked {
		if owner == f.s.conf.Pop.Self {
			return f.here(ctx, r)
		}
		asked[n] = owner
		resp, err := f.ask(ctx, owner, what, r)
		declined, ok := errors.AsType[*relay.Declined](err)
		if !ok || declined.Owner == 0 {
			return resp, err
		}
		if owner = declined.Owner; slices.Contains(asked[:], owner) {
			break
		}
	}
	if owner == f.s.conf.Pop.Self {
		return f.here(ctx, r)
	}
	return f.ask(ctx, owner, exchange.AskAnyway, r)
}
