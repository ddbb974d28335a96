package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/bgp/ladder"
	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// errNoBGP is the error of orders about routes to a node that has none.
var errNoBGP = fmt.Errorf("%w: the node announces nothing; its file has no bgp", pop.ErrRefused)

// overridesOf checks what an operator wants to pass.
func overridesOf(o pop.Overrides, reason string) (out []ladder.Override, err error) {
	for _, name := range o.Names {
		i := ladder.Interlock(name)
		if !slices.Contains(ladder.Interlocks, i) {
			return nil, fmt.Errorf("%w: override: %q is no interlock that can be overridden; those are %v", pop.ErrRefused, name, ladder.Interlocks)
		}
		out = append(out, ladder.Override{Interlock: i, Reason: reason, Until: time.Now().Add(o.For)})
	}
	return out, nil
}

func drainOrderOf(d pop.Departure) (drainOrder, error) {
	overrides, err := overridesOf(d.Overrides, d.Reason)
	return drainOrder{Deadline: d.Deadline, Converge: d.Converge, Reason: d.Reason, Overrides: overrides}, err
}

// orderRoutes changes what this node announces.
func (p *popPart) orderRoutes(ctx context.Context, o routeOrder) error {
	a := p.node.announcer
	if a == nil {
		return errNoBGP
	}
	if _, _, on := p.drain.drains(); on && o.Floor != nil {
		return fmt.Errorf("%w: the node drains; undrain it first", pop.ErrRefused)
	}
	order := a.Current()
	if o.Floor != nil {
		order.Floor, order.Wide, order.Drain, order.Reason = *o.Floor, false, false, o.Reason
	}
	if o.Prepend != nil {
		order.Prepend = *o.Prepend
	}
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	return refusedBy(a.Order(ctx, order, o.Overrides))
}

// planRoutes judges a step without taking it.
func (p *popPart) planRoutes(step ladder.Step) pop.RoutePlan {
	out := pop.RoutePlan{Now: map[string]int{}, After: map[string]int{}, Refusals: []pop.Refusal{}, Passed: []string{}, Prefixes: []string{}}
	a := p.node.announcer
	if a == nil {
		return out
	}
	plan := a.Plan(step)
	out.Now, out.After = plan.Now, plan.After
	for _, r := range plan.Refusals {
		out.Refusals = append(out.Refusals, pop.Refusal{Interlock: string(r.Interlock), Reason: r.Reason})
	}
	for _, i := range plan.Passed {
		out.Passed = append(out.Passed, string(i))
	}
	for _, vip := range a.conf.VIPs {
		out.Prefixes = append(out.Prefixes, vip.String())
	}
	return out
}

// PlanRoutes implements pop.Routes.
func (o operator) PlanRoutes(ctx context.Context, name string, wide bool) (out pop.RoutePlan, err error) {
	m, err := o.find(name)
	if err != nil {
		return out, err
	}
	step := ladder.Step{To: bgp.Gshut, Wide: wide}
	if m.ID == o.self.ID {
		return o.planRoutes(step), nil
	}
	err = o.call(ctx, m.ID, callPlan, step, &out)
	return out, err
}

// ChangeRoutes implements pop.Routes.
func (o operator) ChangeRoutes(ctx context.Context, name string, c pop.Change) error {
	m, err := o.find(name)
	if err != nil {
		return err
	}
	order := routeOrder{Floor: new(bgp.Rung), Reason: c.Reason}
	if err := order.Floor.UnmarshalText([]byte(c.Rung)); err != nil {
		return err
	}
	if order.Overrides, err = overridesOf(c.Overrides, c.Reason); err != nil {
		return err
	}
	return o.routesOf(ctx, m.ID, order)
}

func (o operator) routesOf(ctx context.Context, id affinity.NodeID, order routeOrder) error {
	if id == o.self.ID {
		return o.orderRoutes(ctx, order)
	}
	return o.order(ctx, id, callOrder, order)
}

// present are the nodes of the PoP that are there.
func (o operator) present() (out []affinity.Member) {
	for _, m := range o.current.Load().view.Members {
		if m.L7 != affinity.Gone || m.ID == o.self.ID {
			out = append(out, m)
		}
	}
	return out
}

// DrainPop implements pop.Routes. Nodes go one after the other, on promises
// of other PoPs; when one may not, none does.
func (o operator) DrainPop(ctx context.Context, d pop.Departure) error {
	order, err := drainOrderOf(d)
	if err != nil {
		return err
	}
	if o.node.announcer == nil {
		return errNoBGP
	}
	order.Wide = true
	nodes := o.present()
	for i, m := range nodes {
		err := o.drainNode(ctx, m.ID, order)
		if err == nil {
			continue
		}
		err = fmt.Errorf("%w; no node drains", err)
		for _, gone := range nodes[:i] {
			err = errors.Join(err, o.undrainNode(ctx, gone.ID))
		}
		return err
	}
	return nil
}

// UndrainPop implements pop.Routes.
func (o operator) UndrainPop(ctx context.Context) error {
	return o.eachNode(func(m affinity.Member) error { return o.undrainNode(ctx, m.ID) })
}

// PrependPop implements pop.Routes.
func (o operator) PrependPop(ctx context.Context, n int, reason string) error {
	if n < 0 || n > bgp.MaxPrepend {
		return fmt.Errorf("%w: prepend: %d; expected 0 to %d", pop.ErrRefused, n, bgp.MaxPrepend)
	}
	return o.eachNode(func(m affinity.Member) error {
		return o.routesOf(ctx, m.ID, routeOrder{Prepend: &n, Reason: reason})
	})
}

// eachNode goes on after an error, and returns all of them.
func (o operator) eachNode(do func(affinity.Member) error) error {
	var errs []error
	for _, m := range o.present() {
		if err := do(m); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

// BGP implements pop.Routes.
func (o operator) BGP(ctx context.Context, name string) (out pop.BGP, err error) {
	m, err := o.find(name)
	switch {
	case err != nil:
		return out, err
	case m.ID == o.self.ID:
		return o.describeBGP(), nil
	}
	err = o.call(ctx, m.ID, callBGP, nil, &out)
	return out, err
}

// describeBGP is what this node says of its sessions and announcements.
func (p *popPart) describeBGP() pop.BGP {
	out := pop.BGP{Node: p.self.Name, Peers: []pop.Peer{}, Routes: []pop.Route{}}
	a := p.node.announcer
	if a == nil {
		return out
	}
	status, rung := a.speaker.Status(), a.Status().Rung
	out.Speaker = status.Down
	announced := a.conf.Announcement(rung, bgp.Attrs{Prepend: a.Current().Prepend})
	states := a.bfdStates()
	for i, s := range status.Peers {
		peer := pop.Peer{Address: s.Address.String(), ASN: s.ASN, State: s.State.String(), Received: s.Received, BFD: "off", Problem: strings.Join(s.Problems(), "; ")}
		if s.State == bgp.Established {
			peer.Seconds = int64(time.Since(s.Since).Seconds())
		}
		if state, ok := states[s.Address]; ok {
			peer.BFD = state
		}
		out.Peers = append(out.Peers, peer)
		for _, vip := range a.conf.VIPs {
			attrs, ok := announced[vip]
			if !ok || vip.Addr().Is4() != s.Address.Is4() || s.State != bgp.Established {
				continue
			}
			out.Routes = append(out.Routes, pop.Route{
				Prefix: vip.String(), Peer: peer.Address, Attributes: a.conf.ToPeer(a.conf.Peers[i], rung, attrs).String(),
			})
		}
	}
	return out
}

// bfdStates are the words for the sessions that there are.
func (a *announcer) bfdStates() map[netip.Addr]string {
	out := map[netip.Addr]string{}
	if a.bfd != nil {
		for _, s := range a.bfd.Status() {
			out[s.Peer] = s.State.String()
		}
	}
	return out
}

// serveAnnounce says what is announced, what is wanted, and why. Its status
// is 503 while traffic is to go elsewhere.
func (n *Node) serveAnnounce(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	var body any = map[string]any{"announce": pop.AnnounceNone, "reasons": []string{"the node file has no bgp"}}
	if n.announcer != nil {
		s := n.announcer.Status()
		body = s
		if s.Rung >= bgp.Gshut {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(body) // a client that left needs no answer
}
