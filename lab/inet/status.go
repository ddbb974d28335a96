package inet

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Status is a lab as it is.
type Status struct {
	Name    string `json:"name"`
	Routers string `json:"routers"`
	Dir     string `json:"dir"`
	// Supervisor is the process that keeps the lab.
	Supervisor int `json:"supervisor"`
	// Landings are where the clients' connections go.
	Landings []Landing   `json:"landings"`
	Pops     []PopStatus `json:"pops"`
	// Down are the sessions that are not established.
	Down []Session `json:"sessions_down"`
}

// PopStatus is a PoP as it is.
type PopStatus struct {
	Name string `json:"name"`
	// Announced are the families that its border announces to its provider.
	Announced []Family `json:"announced"`
	// Paths are the AS paths by which its provider reaches the VIPs.
	Provider string              `json:"provider"`
	Paths    map[Family][]uint32 `json:"provider_paths"`
	Nodes    []NodeStatus        `json:"nodes"`
}

// NodeStatus is a node as it is.
type NodeStatus struct {
	Name string `json:"name"`
	Pid  int    `json:"pid"` // 0: it does not run
	// Admin, Health and Announce are what the PoP says of it.
	Admin    string `json:"admin"`
	Health   string `json:"health"`
	Announce string `json:"announce"`
	// Routes are the families that the border sends it packets of.
	Routes []Family `json:"routes"`
}

// Status looks at everything once.
func (l *Lab) Status(ctx context.Context) (*Status, error) {
	pids, err := l.Pids(ctx)
	if err != nil {
		return nil, err
	}
	s := &Status{Name: l.Name, Routers: l.Routers, Dir: l.Dir, Supervisor: pids[Supervisor], Landings: l.Landings(ctx, NewWho(l)), Down: []Session{}}
	sessions, err := l.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	for _, session := range sessions {
		if !session.Established {
			s.Down = append(s.Down, session)
		}
	}
	for _, pop := range l.Plan.Pops() {
		ps, err := l.popStatus(ctx, pop, pids)
		if err != nil {
			return nil, err
		}
		s.Pops = append(s.Pops, ps)
	}
	return s, nil
}

func (l *Lab) popStatus(ctx context.Context, pop string, pids map[string]int) (PopStatus, error) {
	out := PopStatus{Name: pop, Provider: l.provider(pop), Announced: []Family{}, Paths: map[Family][]uint32{}}
	for _, n := range l.Plan.PopNodes(pop) {
		out.Nodes = append(out.Nodes, NodeStatus{Name: n.Name, Pid: pids[n.Name], Admin: "unknown", Health: "unknown", Announce: "unknown", Routes: []Family{}})
	}
	for _, f := range Families {
		yes, err := l.Announced(ctx, pop, f)
		if err != nil {
			return out, err
		}
		if yes {
			out.Announced = append(out.Announced, f)
		}
		if path, found, err := l.Path(ctx, out.Provider, f); err != nil {
			return out, err
		} else if found {
			out.Paths[f] = path
		}
		names, err := l.Nexthops(ctx, pop, f)
		if err != nil {
			return out, err
		}
		for i := range out.Nodes {
			if slices.Contains(names, out.Nodes[i].Name) {
				out.Nodes[i].Routes = append(out.Nodes[i].Routes, f)
			}
		}
	}
	l.popSays(ctx, &out)
	return out, nil
}

// popSays fills in what the first node that answers says of all.
func (l *Lab) popSays(ctx context.Context, out *PopStatus) {
	for _, asked := range out.Nodes {
		if asked.Pid == 0 {
			continue
		}
		nodes, err := l.Nodes(ctx, asked.Name)
		if err != nil {
			continue // one that hangs
		}
		for _, n := range nodes {
			for i := range out.Nodes {
				if to := &out.Nodes[i]; to.Name == n.Name {
					to.Admin, to.Health, to.Announce = n.Admin, n.Health, n.Announce
				}
			}
		}
		return
	}
}

// provider is the transit of a PoP.
func (l *Lab) provider(pop string) string {
	for _, k := range l.Plan.linksOf(pop) {
		if !k.Spare {
			return k.Left
		}
	}
	return ""
}

// Draw draws the lab.
func (s *Status) Draw(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Lab %s: routers run %s, files are in %s\n\n", s.Name, s.Routers, s.Dir)
	clients := [][]string{s.client("e1"), s.client("e3"), s.client("e2")}
	sideBySide(&b, clients, 32)
	b.WriteString(`        \                 /             \                 /
         \               /               \               /
       t1 64496 ------------- peers ------------- t2 64497      o: the origin, at both
          |    \                                     |
          |     '------- t1-b: down unless -------.  |
          |              a scenario needs it       \ |
`)
	var pops [][]string
	for i := range s.Pops {
		pops = append(pops, s.Pops[i].lines())
	}
	sideBySide(&b, pops, 48)
	for _, d := range s.Down {
		fmt.Fprintf(&b, "session down: %s with %s over %s: %s\n", d.Router, d.Peer, d.Family, d.State)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// client is what is drawn of a client.
func (s *Status) client(name string) []string {
	lines := []string{"client in " + name}
	for _, l := range s.Landings {
		if l.Client != name {
			continue
		}
		if l.Problem != "" {
			lines = append(lines, fmt.Sprintf("%s  lands nowhere", l.Family))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s  %s  by %s", l.Family, l.Node, words(l.Path)))
	}
	return lines
}

// lines is what is drawn of a PoP.
func (p *PopStatus) lines() []string {
	lines := []string{fmt.Sprintf("PoP %s, AS %d", p.Name, CDN)}
	for _, f := range Families {
		state := "not announced"
		if slices.Contains(p.Announced, f) {
			state = "announced"
		}
		path, ok := p.Paths[f]
		best := "none"
		if ok {
			best = words(path)
		}
		lines = append(lines, fmt.Sprintf("%s  %s; %s goes by %s", f, state, p.Provider, best))
	}
	lines = append(lines, "", "node  admin     health    announce   routes")
	for _, n := range p.Nodes {
		if n.Pid == 0 {
			n.Admin, n.Health, n.Announce = "-", "ended", "-"
		}
		routes := "none"
		if len(n.Routes) > 0 {
			routes = fmt.Sprint(n.Routes)
		}
		lines = append(lines, fmt.Sprintf("%-5s %-9s %-9s %-10s %s", n.Name, n.Admin, n.Health, n.Announce, strings.Trim(routes, "[]")))
	}
	return lines
}

func words(path []uint32) string {
	out := make([]string, len(path))
	for i, as := range path {
		out[i] = strconv.FormatUint(uint64(as), 10)
	}
	return strings.Join(out, " ")
}

// sideBySide writes blocks of lines beside one another.
func sideBySide(b *strings.Builder, blocks [][]string, width int) {
	high := 0
	for _, block := range blocks {
		high = max(high, len(block))
	}
	for i := range high {
		var line strings.Builder
		for j, block := range blocks {
			if i < len(block) {
				fmt.Fprintf(&line, "%s%s", strings.Repeat(" ", max(0, j*width-line.Len())), block[i])
				if line.Len() >= (j+1)*width {
					line.WriteString(" ")
				}
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
