package inet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// routing is the software of a router.
type routing interface {
	// daemons are its processes, in the order in which they start.
	daemons(l *Lab, r *Router) []daemon
	// configure writes the configuration; a router that runs takes it at
	// once when running is set.
	configure(ctx context.Context, l *Lab, r *Router, policy Policy, running bool) error
	// started does what is to be done once a router's daemons run.
	started(ctx context.Context, l *Lab, r *Router) error
	// sessions are the router's BGP sessions.
	sessions(ctx context.Context, l *Lab, r *Router) ([]Session, error)
	// path is the AS path of the router's best route, without its own AS.
	path(ctx context.Context, l *Lab, r *Router, prefix netip.Prefix) (path []uint32, found bool, err error)
	// hears reports whether a neighbour announces a prefix to the router.
	hears(ctx context.Context, l *Lab, r *Router, from string, prefix netip.Prefix) (bool, error)
	// fast reports whether a border has a BFD session that is up with every
	// one of its nodes that runs.
	fast(ctx context.Context, l *Lab, r *Router) (bool, error)
}

// daemon is one process of a router.
type daemon struct {
	name    string
	program string
	args    []string
	// socket is where it must take connections before the next is started;
	// "" for nowhere.
	socket string
}

// listening waits until a daemon takes connections.
func (d daemon) listening(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, daemonStart)
	defer cancel()
	poll := time.NewTicker(settlePoll)
	defer poll.Stop()
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			return conn.Close()
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not start; see logs/%s.log", d.name, d.name)
		}
	}
}

// daemonStart bounds how long a router's daemon may take to take commands.
const daemonStart = 10 * time.Second

// Session is a BGP session as one of its ends has it.
type Session struct {
	Router      string `json:"router"`
	Peer        string `json:"peer"`
	Family      Family `json:"family"`
	Established bool   `json:"established"`
	// State is the router's own word, with the reason when it has one.
	State string `json:"state"`
}

// askTime bounds a question to a router.
const askTime = 5 * time.Second

// ask runs a router's command line tool.
func ask(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// software returns what a kind of routers runs.
func software(kind string) (routing, error) {
	switch kind {
	case BIRD:
		return birdRouting{}, needs("bird2", "bird", "birdc")
	case FRR:
		return frrRouting{}, needs("frr", "vtysh", frrDaemons+"/bgpd", frrDaemons+"/zebra", frrDaemons+"/bfdd")
	}
	return nil, fmt.Errorf("routers %q: expected %s or %s", kind, BIRD, FRR)
}

// needs says which package has a program that is not here.
func needs(pkg string, programs ...string) error {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("the lab needs %s of the Debian package %s: apt-get install %s", p, pkg, pkg)
		}
	}
	return nil
}

// routing is the software of the lab's routers.
func (l *Lab) routing() routing {
	if l.Routers == FRR {
		return frrRouting{}
	}
	return birdRouting{}
}

// SetPolicy has a border do as a policy says; the zero policy is what it
// starts with.
func (l *Lab) SetPolicy(ctx context.Context, border string, policy Policy) error {
	r := l.Plan.Router(border)
	if r == nil || r.Role != Border {
		return fmt.Errorf("no border %s", border)
	}
	return l.routing().configure(ctx, l, r, policy, true)
}

// Sessions are the BGP sessions of all routers; over a spare link those that
// are up.
func (l *Lab) Sessions(ctx context.Context) (out []Session, err error) {
	for i := range l.Plan.Routers {
		r := &l.Plan.Routers[i]
		found, err := l.routing().sessions(ctx, l, r)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			if s.Established || !l.spare(s) {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// spare reports whether a session runs over a spare link.
func (l *Lab) spare(s Session) bool {
	return slices.ContainsFunc(l.Plan.linksOf(s.Router), func(k Link) bool { return k.Spare && k.other(s.Router) == s.Peer })
}

// Path is the AS path by which a router reaches the anycast network, empty
// and not found when it does not.
func (l *Lab) Path(ctx context.Context, router string, f Family) (path []uint32, found bool, err error) {
	r := l.Plan.Router(router)
	if r == nil {
		return nil, false, fmt.Errorf("no router %s", router)
	}
	return l.routing().path(ctx, l, r, f.Prefix())
}

// Announced reports whether a PoP's border announces the anycast network
// to its provider.
func (l *Lab) Announced(ctx context.Context, pop string, f Family) (bool, error) {
	if provider := l.Plan.Router(l.provider(pop)); provider != nil {
		return l.routing().hears(ctx, l, provider, pop, f.Prefix())
	}
	return false, fmt.Errorf("no PoP %s", pop)
}

// BFD reports whether nodes and borders watch one another with BFD.
func (l *Lab) BFD(ctx context.Context) (bool, error) {
	for _, pop := range l.Plan.Pops() {
		if up, err := l.routing().fast(ctx, l, l.Plan.Router(pop)); err != nil || !up {
			return false, err
		}
	}
	return true, nil
}

type birdRouting struct{}

func (birdRouting) daemons(l *Lab, r *Router) []daemon {
	dir := l.routerDir(r.Name)
	return []daemon{{r.Name, "bird", []string{"-f", "-c", filepath.Join(dir, "bird.conf"), "-s", filepath.Join(dir, "ctl"), "-P", filepath.Join(dir, "pid")}, ""}}
}

func (b birdRouting) configure(ctx context.Context, l *Lab, r *Router, policy Policy, running bool) error {
	dir := l.routerDir(r.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, "bird.conf")
	if err := os.WriteFile(file, []byte(birdConf(l.Plan, r, dir, policy)), 0o600); err != nil {
		return err
	}
	if _, err := ask(ctx, "bird", "-p", "-c", file); err != nil || !running {
		return err
	}
	out, err := b.ask(ctx, l, r, "configure")
	if err == nil && !strings.Contains(out, "Reconfigured") && !strings.Contains(out, "Reconfiguration in progress") {
		err = fmt.Errorf("router %s does not take its configuration: %s", r.Name, out)
	}
	return err
}

// started has nothing to do: BIRD has read its file.
func (birdRouting) started(context.Context, *Lab, *Router) error { return nil }

func (birdRouting) ask(ctx context.Context, l *Lab, r *Router, args ...string) (string, error) {
	return ask(ctx, "birdc", append([]string{"-s", filepath.Join(l.routerDir(r.Name), "ctl")}, args...)...)
}

func (b birdRouting) sessions(ctx context.Context, l *Lab, r *Router) ([]Session, error) {
	out, err := b.ask(ctx, l, r, "show", "protocols")
	if err != nil {
		return nil, err
	}
	return birdSessions(r.Name, out), nil
}

// birdSessions reads what birdc says to show protocols:
//
//	t1_v4      BGP        ---        up     2026-01-02 03:04:05.678  Established
func birdSessions(router, text string) (out []Session) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || f[1] != "BGP" {
			continue
		}
		i := strings.LastIndexByte(f[0], '_')
		if i < 0 {
			continue
		}
		s := Session{Router: router, Peer: f[0][:i], Family: Family(f[0][i+1:]), State: f[3]}
		if len(f) > 6 {
			s.State = strings.Join(f[6:], " ")
		}
		s.Established = s.State == "Established"
		out = append(out, s)
	}
	return out
}

func (b birdRouting) path(ctx context.Context, l *Lab, r *Router, prefix netip.Prefix) ([]uint32, bool, error) {
	out, err := b.ask(ctx, l, r, "show", "route", "primary", prefix.String(), "all")
	if err != nil {
		// birdc fails when there is no such route.
		if strings.Contains(err.Error(), "Network not found") {
			return nil, false, nil
		}
		return nil, false, err
	}
	path, found := birdPath(out)
	return path, found, nil
}

// birdPath reads the AS path from what birdc says of one route.
func birdPath(text string) (path []uint32, found bool) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "BGP.as_path:")
		if !ok {
			continue
		}
		for _, f := range strings.Fields(rest) {
			if n, err := strconv.ParseUint(f, 10, 32); err == nil {
				path = append(path, uint32(n))
			}
		}
		return path, true
	}
	return nil, false
}

func (b birdRouting) hears(ctx context.Context, l *Lab, r *Router, from string, prefix netip.Prefix) (bool, error) {
	f := V4
	if prefix.Addr().Is6() {
		f = V6
	}
	out, err := b.ask(ctx, l, r, "show", "route", prefix.String(), "protocol", from+"_"+string(f))
	if err != nil && strings.Contains(err.Error(), "Network not found") {
		return false, nil
	}
	return strings.Contains(out, prefix.String()), err
}

func (b birdRouting) fast(ctx context.Context, l *Lab, r *Router) (bool, error) {
	out, err := b.ask(ctx, l, r, "show", "bfd", "sessions")
	if err != nil {
		return false, err
	}
	up := 0
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "Up" {
			up++
		}
	}
	return up >= len(Families)*len(l.Plan.PopNodes(r.Name)), nil
}
