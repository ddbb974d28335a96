package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

type nodeCmd struct {
	List    nodeListCmd    `cmd:"" help:"List the nodes of the PoP: what is wanted of them, how they are, what they hold."`
	Drain   nodeDrainCmd   `cmd:"" help:"Send a node's clients, keys and sessions away, and show how it goes."`
	Undrain nodeUndrainCmd `cmd:"" help:"Take a node back."`

	Deprefer nodeDepreferCmd `cmd:"" help:"Make a node's routes less preferred than others'."`
	Withdraw nodeWithdrawCmd `cmd:"" help:"Withdraw a node's routes at once; drain is gentler."`
	Announce nodeAnnounceCmd `cmd:"" help:"Announce a node as usual, after deprefer or withdraw."`
}

type nodeListCmd struct {
	adminFlags
	outputFlags
}

// Run lists the nodes.
func (k *nodeListCmd) Run(c *console) error {
	a, err := k.api(c)
	if err != nil {
		return err
	}
	var all pop.Nodes
	if err := a.get(c.ctx, "/v1/nodes", &all); err != nil {
		return err
	}
	if err := k.write(c.out, all, func(t *tableWriter) { nodeTable(t, all.Nodes) }); err != nil {
		return err
	}
	for _, w := range disagreements(all.Nodes) {
		_, _ = fmt.Fprintln(c.err, "landfall: warning:", w)
	}
	return nil
}

func nodeTable(t *tableWriter, nodes []pop.Node) {
	t.row("NAME", "ID", "POP", "ADMIN", "HEALTH", "ANNOUNCE", "L4", "L7", "WEIGHT", "SHARE", "SESSIONS", "CONNECTIONS", "IN FLIGHT", "RELAY", "VERSION", "SITES", "AGE")
	for _, n := range nodes {
		sessions, connections, inFlight := "", "", ""
		if l := n.Load; l != nil {
			sessions, connections, inFlight = fmt.Sprint(l.Sessions), fmt.Sprint(l.Connections), fmt.Sprint(l.InFlight)
		}
		t.row(n.Name, n.ID, n.Pop, n.Admin, n.Health, n.Announce, n.L4, n.L7, n.Weight, percent(n.Share),
			sessions, connections, inFlight, n.Relay, n.Version, short(n.Sites), seconds(n.Age).Round(100*time.Millisecond))
	}
}

// disagreements are what the nodes of one PoP should have in common and
// have not.
func disagreements(nodes []pop.Node) (out []string) {
	for _, what := range []struct {
		name string
		of   func(pop.Node) string
	}{
		{"sites", func(n pop.Node) string { return short(n.Sites) }},
		{"versions", func(n pop.Node) string { return n.Version }},
	} {
		var seen []string
		who := map[string][]string{}
		for _, n := range nodes {
			v := what.of(n)
			if v == "" {
				continue
			}
			if who[v] == nil {
				seen = append(seen, v)
			}
			who[v] = append(who[v], n.Name)
		}
		if len(seen) < 2 {
			continue
		}
		var parts []string
		for _, v := range seen {
			parts = append(parts, fmt.Sprintf("%s on %s", v, strings.Join(who[v], ", ")))
		}
		out = append(out, fmt.Sprintf("the nodes have different %s: %s", what.name, strings.Join(parts, "; ")))
	}
	return out
}

type nodeUndrainCmd struct {
	adminFlags
	Name string `arg:"" help:"Name of the node."`
}

// Run takes a node back.
func (k *nodeUndrainCmd) Run(c *console) error {
	a, err := k.api(c)
	if err != nil {
		return err
	}
	if err := a.call(c.ctx, http.MethodPost, nodePath(k.Name, "undrain"), nil, &struct{}{}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s is active again\n", k.Name)
	return err
}

func percent(p float64) string { return fmt.Sprintf("%.1f%%", p) }

// short is as much of a hash as tells a few apart.
func short(hash string) string { return hash[:min(len(hash), 8)] }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
