package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// asked: whether the node answers all that it is asked.
func asked(f *Facts) []Finding {
	var bad []string
	if f.Running.Err != nil {
		bad = append(bad, f.Running.Err.Error())
	}
	return judged("node", "runs, and answers at "+f.Conf.Admin.Listen.String(), bad, Fail,
		"another program has the admin address, or the node is another version", "look at the node's log; landfall version")
}

func sessions(f *Facts) []Finding {
	if f.Conf.BGP == nil {
		return nil
	}
	var bad []string
	for _, p := range f.Running.BGP.Peers {
		if p.State != "established" {
			bad = append(bad, strings.TrimSpace(p.Address+" is "+p.State+" "+p.Problem))
		}
	}
	if f.Running.BGP.Speaker != "" {
		bad = append(bad, "the speaker stays down: "+f.Running.BGP.Speaker)
	}
	return judged("bgp sessions", fmt.Sprintf("%d established", len(f.Running.BGP.Peers)), bad, Fail,
		"that router does not send traffic here", "compare the router with: landfall bgp router-config; then docs/operate/runbooks/session-down.md")
}

func bfd(f *Facts) []Finding {
	if f.Conf.BGP == nil {
		return nil
	}
	want := map[string]bool{}
	for _, p := range f.Conf.BGP.Peers {
		if p.BFD != nil {
			want[p.Address.String()] = true
		}
	}
	var bad []string
	for _, p := range f.Running.BGP.Peers {
		if want[p.Address] && p.BFD != "up" {
			bad = append(bad, p.Address+" is "+p.BFD)
		}
	}
	return judged("bfd", fmt.Sprintf("%d up", len(want)), bad, Warn,
		"when this node falls silent, the router notices after the hold time only", "switch BFD on at the router, and let UDP port 3784 through; FRR has it with ttl_security: false only")
}

// announced: whether what is announced is what is wanted.
func announced(f *Facts) []Finding {
	if f.Conf.BGP == nil {
		return nil
	}
	a := f.Running.Announce
	var bad []string
	if a.Rung != a.Wanted {
		bad = append(bad, a.Rung+", and is to be "+a.Wanted)
	}
	if a.Held != "" {
		bad = append(bad, a.Held)
	}
	for _, r := range a.Refusals {
		bad = append(bad, r.Interlock+": "+r.Reason)
	}
	return judged("announcement", a.Rung+", as wanted", bad, Warn,
		"checks or an operator want the node elsewhere than it is", "curl http://"+f.Conf.Admin.Listen.String()+"/healthz/announce says why; landfall node announce "+f.Conf.Node.Name+" forgives falls")
}

// told: what routers were told. Whether they took it, they alone know: an
// established session to which a route went is all that can be seen here.
func told(f *Facts) []Finding {
	if f.Conf.BGP == nil {
		return nil
	}
	count := map[string]int{}
	for _, r := range f.Running.BGP.Routes {
		count[r.Peer]++
	}
	var bad []string
	for _, p := range f.Running.BGP.Peers {
		if p.Received > 0 {
			bad = append(bad, fmt.Sprintf("%s sends %d routes, which cost memory", p.Address, p.Received))
		}
		if p.State == "established" && count[p.Address] == 0 && f.Running.Announce.Rung != "withdrawn" {
			bad = append(bad, p.Address+" was told no route")
		}
	}
	return judged("routes told", fmt.Sprintf("%d; whether a router took them, ask it: birdc show route, or vtysh", len(f.Running.BGP.Routes)), bad, Warn,
		"the router sends no traffic here, or sends the node what it has no use for", "export none at the router; a VIP needs a peer of its family")
}

// silentAfter is how old the word of another node may be, in seconds, to
// count on it: a record comes every second.
const silentAfter = 5

// fleet: nodes of other PoPs that are not heard promise nothing.
func fleet(f *Facts) []Finding {
	if f.Conf.Pop == nil || f.Conf.BGP == nil || len(f.Conf.Pop.Siblings) == 0 {
		return nil
	}
	var bad []string
	for _, s := range f.Conf.Pop.Siblings {
		if !slices.ContainsFunc(f.Running.Announce.Others, func(o Other) bool { return o.Node == s.ID && o.Age <= silentAfter }) {
			bad = append(bad, fmt.Sprintf("node %d of %s is not heard", s.ID, s.Pop))
		}
	}
	return judged("fleet", fmt.Sprintf("all %d nodes of other PoPs are heard", len(f.Conf.Pop.Siblings)), bad, Warn,
		"interlocks do not count on them, and may keep this node, or its PoP, from leaving", "start it, or let its listen.peer through; all PoPs need one pop.secret")
}

// members: whether nodes see one another.
func members(f *Facts) []Finding {
	if f.Conf.Pop == nil {
		return nil
	}
	var bad []string
	sites := map[string]bool{}
	for _, n := range f.Running.Nodes {
		if n.Relay == pop.RelayUnreachable || n.L7 == "gone" {
			bad = append(bad, fmt.Sprintf("%s is %s, relay %s", n.Name, n.L7, n.Relay))
		}
		if n.Sites != "" {
			sites[n.Sites] = true
		}
	}
	if len(f.Running.Nodes) < 2 && len(f.Conf.Pop.Join) > 0 {
		bad = append(bad, "this node has found no other, and pop.join names some")
	}
	if len(sites) > 1 {
		bad = append(bad, "the nodes have different sites")
	}
	return judged("members", fmt.Sprintf("%d nodes see one another", len(f.Running.Nodes)), bad, Warn,
		"keys and sessions of a node that is not seen are others'; interlocks may keep this one from leaving", "landfall node list; let pop.listen (TCP and UDP) and listen.peer (TCP) through; compare pop.secret")
}
