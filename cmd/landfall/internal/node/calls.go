package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/relay"
	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/bgp/ladder"
	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// What nodes tell and ask one another beside requests. A name and its
// message stay what they are, or get a new name: nodes of two versions meet
// in every roll-out.
const (
	callInvalidate = "invalidate" // keys that an unsafe request made void
	callShare      = "share"      // a challenge or a certificate
	callDescribe   = "describe"   // what the node says of itself
	callDrain      = "drain"
	callUndrain    = "undrain"
	callProgress   = "progress"
	callOrder      = "order"   // a routeOrder
	callPlan       = "plan"    // a ladder.Step, and its ladder.Plan
	callBGP        = "bgp"     // sessions and announcements
	callHistory    = "history" // who owned what before, for a node that joins
)

// tellTime bounds how long one node is waited for when all are told.
const tellTime = time.Second

// shared is the message of callShare.
type shared struct {
	Kind, Name string
	Data       []byte
}

// drainOrder is the message of callDrain.
type drainOrder struct {
	Deadline time.Duration
	// Converge is how long new connections may take to cease.
	Converge  time.Duration
	Wide      bool // the whole PoP drains
	Reason    string
	Overrides []ladder.Override
}

// routeOrder is the message of callOrder: what of the announcement is to be
// another way; nil stays as it is.
type routeOrder struct {
	Floor     *bgp.Rung
	Prepend   *int
	Reason    string
	Overrides []ladder.Override
}

// calls are what other nodes of the PoP may call here. Siblings bring
// requests, and what concerns the announcements of all.
func (p *popPart) calls() map[string]relay.CallFunc {
	out := map[string]relay.CallFunc{}
	for name, f := range p.handlers() {
		out[name] = func(ctx context.Context, from affinity.NodeID, payload []byte) ([]byte, error) {
			if _, sibling := p.siblings[from]; sibling {
				return nil, fmt.Errorf("%s is for nodes of PoP %s", name, p.node.conf.Node.Pop)
			}
			return f(ctx, from, payload)
		}
	}
	maps.Copy(out, p.announceCalls())
	return out
}

func (p *popPart) handlers() map[string]relay.CallFunc {
	return map[string]relay.CallFunc{
		callInvalidate: p.invalidate,
		callShare:      p.receive,
		callDescribe: func(context.Context, affinity.NodeID, []byte) ([]byte, error) {
			return json.Marshal(p.describe())
		},
		callDrain:   ordered(func(_ context.Context, o drainOrder) error { return p.drain.begin(o) }),
		callUndrain: ordered(func(context.Context, *struct{}) error { return p.drain.end() }),
		callOrder:   ordered(p.orderRoutes),
		callPlan: func(_ context.Context, _ affinity.NodeID, payload []byte) ([]byte, error) {
			var s ladder.Step
			if err := json.Unmarshal(payload, &s); err != nil {
				return nil, err
			}
			return json.Marshal(p.planRoutes(s))
		},
		callBGP: func(context.Context, affinity.NodeID, []byte) ([]byte, error) {
			return json.Marshal(p.describeBGP())
		},
		callHistory: func(context.Context, affinity.NodeID, []byte) ([]byte, error) {
			table, _ := p.table()
			return table.History(), nil
		},
		callProgress: func(context.Context, affinity.NodeID, []byte) ([]byte, error) {
			return json.Marshal(p.progress())
		},
	}
}

func (p *popPart) invalidate(_ context.Context, _ affinity.NodeID, payload []byte) ([]byte, error) {
	var keys []string
	if err := json.Unmarshal(payload, &keys); err != nil {
		return nil, err
	}
	p.node.store.Invalidate(keys)
	return nil, nil
}

func (p *popPart) receive(_ context.Context, _ affinity.NodeID, payload []byte) ([]byte, error) {
	var s shared
	if err := json.Unmarshal(payload, &s); err != nil {
		return nil, err
	}
	return nil, p.node.issuer.Receive(s.Kind, s.Name, s.Data)
}

// tell calls all nodes of the PoP that are not gone, at once, and waits for
// them.
func (p *popPart) tell(ctx context.Context, name string, payload []byte) error {
	if p.peers == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	var all sync.WaitGroup
	members := p.current.Load().view.Members
	errs := make([]error, len(members))
	for i, m := range members {
		if m.ID == p.self.ID || m.L7 == affinity.Gone {
			continue
		}
		all.Go(func() {
			if _, err := p.peers.Call(ctx, m.ID, name, payload); err != nil {
				errs[i] = fmt.Errorf("node %s: %w", m.Name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// sharing is how the nodes' certificates are one set. It implements
// issue.Share.
type sharing struct{ n *Node }

// Orders implements issue.Share: the node that owns a name orders its
// certificate.
func (s sharing) Orders(name string) bool {
	table, _ := s.n.pop.table()
	return table.Place("certificate " + name).Mine
}

// Publish implements issue.Share.
func (s sharing) Publish(ctx context.Context, kind, name string, data []byte) error {
	payload, err := json.Marshal(shared{kind, name, data})
	if err != nil {
		return err
	}
	return s.n.pop.tell(ctx, callShare, payload)
}

// obeyed is what a node answers to an order. What it refuses is no failure
// of the call.
type obeyed struct{ Refused string }

// ordered answers an order.
func ordered[T any](obey func(ctx context.Context, order T) error) relay.CallFunc {
	return func(ctx context.Context, _ affinity.NodeID, payload []byte) ([]byte, error) {
		var order T
		if len(payload) > 0 {
			if err := json.Unmarshal(payload, &order); err != nil {
				return nil, err
			}
		}
		err := obey(ctx, order)
		if errors.Is(err, pop.ErrRefused) {
			return json.Marshal(obeyed{Refused: strings.TrimPrefix(err.Error(), pop.ErrRefused.Error()+": ")})
		}
		if err != nil {
			return nil, err
		}
		return json.Marshal(obeyed{})
	}
}

// order has another node do something, and returns what that refuses as
// ErrRefused. It takes longer than a call: others may have to be asked.
func (p *popPart) order(ctx context.Context, to affinity.NodeID, name string, in any) error {
	var out obeyed
	if err := p.callWithin(ctx, 2*orderTime, to, name, in, &out); err != nil {
		return err
	}
	if out.Refused != "" {
		return fmt.Errorf("%w: %s", pop.ErrRefused, out.Refused)
	}
	return nil
}

// call calls one node and decodes what it says; out may be nil.
func (p *popPart) call(ctx context.Context, to affinity.NodeID, name string, in, out any) error {
	return p.callWithin(ctx, tellTime, to, name, in, out)
}

func (p *popPart) callWithin(ctx context.Context, limit time.Duration, to affinity.NodeID, name string, in, out any) error {
	payload, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := p.peers.Call(ctx, to, name, payload)
	if err != nil {
		return fmt.Errorf("%w: %w", pop.ErrNotHeard, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
