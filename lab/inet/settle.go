package inet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// settlePoll is how often an unsettled lab is looked at.
const settlePoll = 50 * time.Millisecond

// Settle waits until the lab is as it should be, with its spare links down:
// every session established, none over a spare link, whose routes lead nowhere,
// every node announced and active, every client at its nearest PoP. The
// error of one that ctx does not give the time says what is missing.
func (l *Lab) Settle(ctx context.Context) error {
	who := NewWho(l)
	poll := time.NewTicker(settlePoll)
	defer poll.Stop()
	var missing []string
	for {
		now := l.missing(ctx, who)
		if len(now) == 0 {
			return nil
		}
		if ctx.Err() == nil || missing == nil { // a look that was cut short says nothing
			missing = now
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("lab %s does not settle (%w): %s", l.Name, ctx.Err(), strings.Join(missing[:min(len(missing), 6)], "; "))
		}
	}
}

// missing is what is not as it should be; it looks at what comes last only
// once the rest is there.
func (l *Lab) missing(ctx context.Context, who *Who) []string {
	for _, look := range []func(context.Context, *Who) []string{l.missingSessions, l.missingRoutes, l.missingNodes, l.missingLandings} {
		if missing := look(ctx, who); len(missing) > 0 {
			return missing
		}
	}
	return nil
}

func (l *Lab) missingSessions(ctx context.Context, _ *Who) (missing []string) {
	sessions, err := l.Sessions(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	for _, s := range sessions {
		if s.Established == l.spare(s) {
			missing = append(missing, fmt.Sprintf("session of %s with %s over %s: %s", s.Router, s.Peer, s.Family, s.State))
		}
	}
	if want := 2*2*(len(l.Plan.Links)-1) + 2*len(l.Plan.Nodes); len(sessions) < want { // both ends, both families, and one end towards nodes
		missing = append(missing, fmt.Sprintf("%d of %d sessions", len(sessions), want))
	}
	return missing
}

func (l *Lab) missingRoutes(ctx context.Context, _ *Who) (missing []string) {
	for _, pop := range l.Plan.Pops() {
		for _, f := range Families {
			nodes, err := l.Nexthops(ctx, pop, f)
			if err != nil {
				return []string{err.Error()}
			}
			for _, n := range l.Plan.PopNodes(pop) {
				if !slices.Contains(nodes, n.Name) {
					missing = append(missing, fmt.Sprintf("route to %s at border %s over %s", n.Name, pop, f))
				}
			}
		}
	}
	return missing
}

func (l *Lab) missingNodes(ctx context.Context, _ *Who) (missing []string) {
	for _, pop := range l.Plan.Pops() {
		asked := l.Plan.PopNodes(pop)
		nodes, err := l.Nodes(ctx, asked[0].Name)
		if err != nil {
			return []string{err.Error()}
		}
		for _, n := range asked {
			i := slices.IndexFunc(nodes, func(s NodeState) bool { return s.Name == n.Name })
			if i < 0 || nodes[i].L7 != "active" || nodes[i].Admin != "active" || nodes[i].Announce != "normal" || nodes[i].Relay == "unreachable" {
				missing = append(missing, n.Name+" is not active, or not announced as usual")
			}
		}
	}
	return missing
}

func (l *Lab) missingLandings(ctx context.Context, who *Who) (missing []string) {
	for _, landing := range l.Landings(ctx, who) {
		client := l.Plan.Client(landing.Client)
		switch {
		case landing.Problem != "":
			missing = append(missing, landing.Problem)
		case client.Home != "" && landing.Pop != client.Home:
			missing = append(missing, fmt.Sprintf("client %s lands at %s over %s, not at %s", client.Name, landing.Pop, landing.Family, client.Home))
		}
	}
	return missing
}

// Landing is where a client's connections go.
type Landing struct {
	Client string   `json:"client"`
	Family Family   `json:"family"`
	Pop    string   `json:"pop,omitempty"`
	Node   string   `json:"node,omitempty"`
	Path   []uint32 `json:"as_path,omitempty"` // from the client's network to the PoP
	// Problem says why there is no landing.
	Problem string `json:"problem,omitempty"`
}

// Landings are those of all clients, for both families.
func (l *Lab) Landings(ctx context.Context, who *Who) []Landing {
	out := make([]Landing, 0, len(l.Plan.Clients)*len(Families))
	for _, c := range l.Plan.Clients {
		for _, f := range Families {
			out = append(out, Landing{Client: c.Name, Family: f})
		}
	}
	var all sync.WaitGroup
	for i := range out {
		all.Go(func() { l.land(ctx, who, &out[i]) })
	}
	all.Wait()
	return out
}

func (l *Lab) land(ctx context.Context, who *Who, to *Landing) {
	node, err := who.Land(ctx, to.Client, to.Family)
	if err != nil {
		to.Problem = fmt.Sprintf("client %s over %s: %v", to.Client, to.Family, err)
	} else {
		to.Node, to.Pop = node, l.Plan.Node(node).Pop
	}
	to.Path, _, _ = l.Path(ctx, to.Client, to.Family) // no path is seen as none
}

// NodeState is what the PoP says of a node, as the admin address has it.
type NodeState struct {
	Name     string  `json:"name"`
	Pop      string  `json:"pop"`
	Admin    string  `json:"admin"`
	Health   string  `json:"health"`
	Announce string  `json:"announce"`
	L7       string  `json:"l7"`
	Relay    string  `json:"relay"`
	Share    float64 `json:"share_percent"`
}

// Nodes are the nodes of a PoP as one of them knows them.
func (l *Lab) Nodes(ctx context.Context, asked string) ([]NodeState, error) {
	var all struct {
		Nodes []NodeState `json:"nodes"`
	}
	err := l.admin(ctx, asked, "/v1/nodes", &all)
	return all.Nodes, err
}

// admin asks a node at its admin address, which only its own namespace
// reaches.
func (l *Lab) admin(ctx context.Context, node, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return Dial(ctx, l.Node(node), 0, netip.MustParseAddrPort(Admin))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+Admin+path, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("ask node %s: %w", node, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return errors.Join(json.Unmarshal(text, out))
}
