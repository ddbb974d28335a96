package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// rungCmd has a node announce itself another way.
type rungCmd struct {
	adminFlags
	overrideFlags
	Name string `arg:"" help:"Name of the node."`
	Plan bool   `help:"Print what would change, and change nothing."`
}

func (k *rungCmd) to(c *console, rung string) error {
	req, err := k.request()
	if err != nil {
		return err
	}
	a, err := k.api(c)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(c.out, format+"\n", args...) }
	if k.Plan {
		return k.plan(c, a, rung, say)
	}
	req.Rung = rung
	if err := a.call(c.ctx, http.MethodPost, nodePath(k.Name, "announce"), req, &struct{}{}); err != nil {
		return err
	}
	say("%s is to announce itself as %s; landfall node list shows what it does", k.Name, rung)
	return nil
}

// plan prints what a withdrawal would meet. Other steps meet nothing.
func (k *rungCmd) plan(c *console, a *api, rung string, say func(string, ...any)) error {
	var plan pop.Plan
	if err := a.get(c.ctx, nodePath(k.Name, "plan"), &plan); err != nil {
		return err
	}
	say("PLAN   %s  announced as %s -> %s", k.Name, plan.Node.Announce, rung)
	if plan.Routes == nil || rung != "withdrawn" {
		return nil
	}
	routesPlan(say, *plan.Routes)
	say("       interlocks: %s", strings.Join(interlocks(*plan.Routes), ", "))
	if refused := inTheWay(*plan.Routes, k.Override); refused != "" {
		return fmt.Errorf("%w by %s", errRefused, refused)
	}
	return nil
}

type nodeDepreferCmd struct{ rungCmd }

// Run makes others better.
func (k *nodeDepreferCmd) Run(c *console) error { return k.to(c, "deprefer") }

type nodeWithdrawCmd struct{ rungCmd }

// Run withdraws, at once; a drain is gentler.
func (k *nodeWithdrawCmd) Run(c *console) error { return k.to(c, "withdrawn") }

type nodeAnnounceCmd struct{ rungCmd }

// Run takes deprefer and withdraw back.
func (k *nodeAnnounceCmd) Run(c *console) error { return k.to(c, "normal") }

type popCmd struct {
	Drain   popDrainCmd   `cmd:"" help:"Send the clients of all nodes of the PoP to other PoPs."`
	Undrain popUndrainCmd `cmd:"" help:"Take all nodes of the PoP back."`
	Prepend popPrependCmd `cmd:"" help:"Make the AS paths to the PoP longer, or as they were with 0."`
}

type popDrainCmd struct {
	adminFlags
	drainFlags
	Plan bool `help:"Print what would change, and change nothing."`
	JSON bool `name:"json" help:"Print JSON."`
}

// Run has every node drain, or none. It returns once they have begun.
func (k *popDrainCmd) Run(c *console) error {
	req, err := k.request()
	if err != nil {
		return err
	}
	a, err := k.api(c)
	if err != nil {
		return err
	}
	var plan pop.RoutePlan
	if err := a.get(c.ctx, "/v1/pop/plan", &plan); err != nil {
		return err
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(c.out, format+"\n", args...) }
	if k.JSON {
		_ = json.NewEncoder(c.out).Encode(map[string]any{"plan": plan}) // the drain goes on whoever reads
		say = func(string, ...any) {}
	}
	say("PLAN   the whole PoP")
	routesPlan(say, plan)
	say("       interlocks: %s", strings.Join(interlocks(plan), ", "))
	if refused := inTheWay(plan, k.Override); refused != "" {
		return fmt.Errorf("%w by %s", errRefused, refused)
	}
	if k.Plan {
		return nil
	}
	if err := a.call(c.ctx, http.MethodPost, "/v1/pop/drain", req, &struct{}{}); err != nil {
		return err
	}
	say("every node drains; watch with: landfall node list%s, undrain with: landfall pop undrain%s", k.hint(), k.hint())
	return nil
}

type popUndrainCmd struct{ adminFlags }

// Run takes all nodes back.
func (k *popUndrainCmd) Run(c *console) error {
	a, err := k.api(c)
	if err != nil {
		return err
	}
	if err := a.call(c.ctx, http.MethodPost, "/v1/pop/undrain", nil, &struct{}{}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, "all nodes of the PoP are active again")
	return err
}

type popPrependCmd struct {
	adminFlags
	N      int    `arg:"" help:"How many times the own AS number is added, 0 to 10."`
	Reason string `help:"Why; shown to whoever asks later."`
}

// Run makes the PoP less attractive to everybody.
func (k *popPrependCmd) Run(c *console) error {
	a, err := k.api(c)
	if err != nil {
		return err
	}
	req := pop.OrderRequest{Prepend: &k.N, Reason: k.Reason}
	if err := a.call(c.ctx, http.MethodPost, "/v1/pop/prepend", req, &struct{}{}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "all nodes of the PoP prepend %d; this holds over restarts\n", k.N)
	return err
}

type bgpCmd struct {
	Peers  bgpPeersCmd  `cmd:"" help:"List the sessions of the PoP's nodes with their routers."`
	Routes bgpRoutesCmd `cmd:"" help:"List what the PoP's nodes announce to which router."`

	RouterConfig bgpRouterConfigCmd `cmd:"" help:"Print what the router needs for the sessions of a node file, for BIRD 2 or FRR."`
}

type bgpFlags struct {
	adminFlags
	outputFlags
	Name string `arg:"" optional:"" help:"Name of a node; all of the PoP unless given."`
}

// ask returns what the nodes say that can be asked.
func (k *bgpFlags) ask(c *console) (out []pop.BGP, err error) {
	a, err := k.api(c)
	if err != nil {
		return nil, err
	}
	names := []string{k.Name}
	if k.Name == "" {
		var all pop.Nodes
		if err := a.get(c.ctx, "/v1/nodes", &all); err != nil {
			return nil, err
		}
		names = nil
		for _, n := range all.Nodes {
			if n.Relay != pop.RelayUnreachable {
				names = append(names, n.Name)
			}
		}
	}
	for _, name := range names {
		var b pop.BGP
		if err := a.get(c.ctx, nodePath(name, "bgp"), &b); err != nil {
			return nil, err
		}
		if b.Speaker != "" {
			_, _ = fmt.Fprintf(c.err, "landfall: warning: %s: %s\n", name, b.Speaker)
		}
		out = append(out, b)
	}
	return out, nil
}

type bgpPeersCmd struct{ bgpFlags }

// Run lists sessions.
func (k *bgpPeersCmd) Run(c *console) error {
	all, err := k.ask(c)
	if err != nil {
		return err
	}
	return k.write(c.out, all, func(t *tableWriter) {
		t.row("NODE", "PEER", "AS", "STATE", "FOR", "BFD", "RECEIVED", "PROBLEM")
		for _, b := range all {
			for _, p := range b.Peers {
				since := ""
				if p.Seconds > 0 {
					since = (time.Duration(p.Seconds) * time.Second).String()
				}
				t.row(b.Node, p.Address, p.ASN, p.State, since, p.BFD, p.Received, p.Problem)
			}
		}
	})
}

type bgpRoutesCmd struct{ bgpFlags }

// Run lists announcements.
func (k *bgpRoutesCmd) Run(c *console) error {
	all, err := k.ask(c)
	if err != nil {
		return err
	}
	return k.write(c.out, all, func(t *tableWriter) {
		t.row("NODE", "PREFIX", "PEER", "ATTRIBUTES")
		for _, b := range all {
			for _, r := range b.Routes {
				t.row(b.Node, r.Prefix, r.Peer, r.Attributes)
			}
		}
	})
}
