package pop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// town is visitors who come all the time.
type town struct {
	t      testing.TB
	origin *origin
	routes *routes
	queue  chan *visitor // whose turn it is

	mu       sync.Mutex
	visitors []*visitor
	failures []failure
	leaving  map[string]time.Time // nodes, by when they began to leave their sessions
	killed   *outage
	phases   []phase
}

// outage is from the death of a node until the others have one table and
// whatever was under way has ended.
type outage struct {
	node    string
	from    time.Time
	settled time.Time
}

// history returns a session's requests without those of an outage of the
// node that it was on: until a new owner is found, whoever the client has
// come to serves it.
func (w *town) history(session string) (visits []visit) {
	all := w.origin.visited(session)
	if w.killed == nil {
		return all
	}
	on := ""
	for _, v := range all {
		if v.at.Before(w.killed.from) {
			on = v.node
		} else if on == w.killed.node && v.at.Before(w.killed.settled) {
			continue
		}
		visits = append(visits, v)
	}
	return visits
}

// phase is what happens from a time on.
type phase struct {
	name string
	from time.Time
}

func (w *town) phase(name string) { w.phases = append(w.phases, phase{name, time.Now()}) }

// during names what happened at a time.
func (w *town) during(at time.Time) (name string) {
	for _, p := range w.phases {
		if p.from.Before(at) {
			name = fmt.Sprintf("%s, %v ago", p.name, at.Sub(p.from).Round(time.Millisecond))
		}
	}
	return name
}

// settle adds visitors of all kinds.
func (w *town) settle(prefix string, n int) (added []*visitor) {
	for i := range n {
		// Half of all browse.
		k := kind(i % (2 * int(numKinds)))
		if k >= numKinds {
			k = browses
		}
		added = append(added, newVisitor(fmt.Sprintf("%s%d", prefix, i), k))
	}
	w.mu.Lock()
	w.visitors = append(w.visitors, added...)
	w.mu.Unlock()
	for _, v := range added {
		w.queue <- v
	}
	return added
}

// run has so many of them come at a time, in turn.
func (w *town) run(ctx context.Context, together int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for i := range together {
		all.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(i)))
			for {
				select {
				case <-ctx.Done():
					return
				case v := <-w.queue:
					w.visit(context.WithoutCancel(ctx), v, r.IntN(1<<20))
					w.queue <- v
				}
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

func (w *town) visit(ctx context.Context, v *visitor, number int) {
	to := w.routes.pick(number)
	defer to.busy.Done()
	f := failure{visitor: v, at: to.node, began: time.Now()}
	f.err = v.visit(ctx, to.node)
	f.end = time.Now()
	v.rounds.Add(1)
	if f.err != nil {
		w.mu.Lock()
		w.failures = append(w.failures, f)
		w.mu.Unlock()
	}
}

// rounds waits until everybody has come so many times more.
func (w *town) rounds(n int64) {
	w.mu.Lock()
	all := slices.Clone(w.visitors)
	w.mu.Unlock()
	goal := make([]int64, len(all))
	for i, v := range all {
		goal[i] = v.rounds.Load() + n
	}
	waitFor(w.t, "visits", func() bool {
		for i, v := range all {
			if v.rounds.Load() < goal[i] {
				return false
			}
		}
		return true
	})
}

// failed returns the failures since it was asked last.
func (w *town) failed() []failure {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.failures
	w.failures = nil
	return f
}

// leaves notes that a node need not keep its sessions any longer.
func (w *town) leaves(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving[n.name] = time.Now()
}

// owners returns who has served each session last.
func (w *town) owners() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	owners := map[string]string{}
	for _, v := range w.visitors {
		if visits := w.origin.visited(v.session); len(visits) > 0 {
			owners[v.session] = visits[len(visits)-1].node
		}
	}
	return owners
}

// judge holds the history of every session to what was promised: one
// endpoint, and another node only when the one before had to leave.
func (w *town) judge() (moved int) {
	for _, v := range w.visitors {
		visits := w.history(v.session)
		for i := 1; i < len(visits); i++ {
			was, is := visits[i-1], visits[i]
			if is.endpoint != was.endpoint {
				w.t.Errorf("%s %s: %s went to %s after %s (nodes %s, %s)", v.session, v.kind, is.what, is.endpoint, was.endpoint, is.node, was.node)
			}
			if is.node == was.node {
				continue
			}
			moved++
			if left, ok := w.leaving[was.node]; !ok || is.at.Before(left) {
				w.t.Errorf("%s %s: visit %d of %d, to %s, was served by %s, and the one before, to %s, by %s, which had not left (%s)",
					v.session, v.kind, i, len(visits), is.cameTo, is.node, was.cameTo, was.node, w.during(is.at))
			}
		}
	}
	return moved
}

// TestSessions: whatever node a visitor comes to, its requests reach the
// origin through one node and one endpoint, while nodes join, leave and die.
func TestSessions(t *testing.T) {
	visitors, together := 500, 24
	if raceDetector {
		visitors, together = 60, 8
	}
	o := newOrigin(t, 3)
	p := newPop(t, map[string]string{
		"shop.yaml":   siteDoc("shop", o, "affinity: { by: cookie, name: session }"),
		"sticky.yaml": siteDoc("sticky", o, "affinity: { by: sticky }"),
	})
	p.start(t, 1, 2, 3, 4, 5)
	w := &town{t: t, origin: o, routes: &routes{}, queue: make(chan *visitor, 2*visitors), leaving: map[string]time.Time{}}
	for _, n := range p.nodes {
		w.routes.add(t, n)
	}
	w.phase("all begin")
	w.settle("visitor", visitors)
	stop := w.run(t.Context(), together)
	defer stop()
	w.rounds(2)
	report(t, "nothing changes", w.failed())

	for _, id := range []int{6, 7} {
		w.phase(fmt.Sprintf("n%d starts", id))
		p.launch(t, spec{id: id})
		p.agree(t)
		w.phase(fmt.Sprintf("n%d has joined", id))
		w.routes.add(t, p.node(id))
		w.rounds(1)
		report(t, "a node joins", w.failed())
	}
	for _, id := range []int{1, 6} {
		w.drain(p.node(id), p.node(2))
	}
	w.die(p.node(3), stop)
	total := 0
	for _, v := range w.visitors {
		total += int(v.rounds.Load())
	}
	for _, phase := range w.phases {
		t.Logf("%6v %s", phase.from.Sub(w.phases[0].from).Round(10*time.Millisecond), phase.name)
	}
	relayed := ""
	for _, result := range []string{"answered", "declined", "lost", "failed", "not_connected", "silent", "busy", "leaving"} {
		relayed += fmt.Sprintf(" %v %s", asks(p.running(), result), result)
	}
	t.Logf("relayed requests:%s", relayed)
	t.Logf("%d visitors made %d visits; sessions moved %d times", len(w.visitors), total, w.judge())
}

// asks counts what nodes brought to each other, by what came of it.
func asks(nodes []*node, result string) (sum float64) {
	for _, n := range nodes {
		sum += n.metric("landfall_relay_asks_total", `result="`+result+`"`)
	}
	return sum
}

// drain lets a node go, and looks at what becomes of sessions meanwhile:
// those that it has stay until it must leave, new ones go elsewhere.
func (w *town) drain(leaver, by *node) {
	t := w.t
	w.phase(leaver.name + " drains")
	leaver.drain(t, by, "5m")
	w.routes.remove(leaver)
	waitFor(t, "drain in every node's view", func() bool {
		for _, n := range leaver.pop.running() {
			if l, ok := n.list(leaver.name); !ok || l.L7 != "draining" {
				return false
			}
		}
		return true
	})
	before := w.owners()
	newcomers := w.settle("newcomer-"+leaver.name+"-", 15)
	w.rounds(1)
	report(t, leaver.name+" drains", w.failed())
	after, kept := w.owners(), 0
	for session, owner := range before {
		if owner != leaver.name {
			continue
		}
		kept++
		if after[session] != leaver.name {
			t.Errorf("%s drains, and %s went on to %s", leaver.name, session, after[session])
		}
	}
	for _, v := range newcomers {
		if after[v.session] == leaver.name {
			t.Errorf("%s drains, and %s, which is new, went there", leaver.name, v.session)
		}
	}
	state := leaver.drained(t)
	t.Logf("%s drains: %d sessions stay, %d are there by its own count, state %s", leaver.name, kept, state.Sessions, state.State)
	w.phase(leaver.name + " leaves")
	w.leaves(leaver)
	leaver.drainAndStop(t)
	w.phase(leaver.name + " is gone")
	w.rounds(1)
	report(t, leaver.name+" has left", w.failed())
}

// die kills a node. What was in flight through it may fail; what another
// node can do again, or has not begun, may not.
func (w *town) die(victim *node, stop func()) {
	t := w.t
	owners := w.owners()
	w.phase(victim.name + " is killed")
	w.leaves(victim)
	killed := time.Now()
	must(t, victim.cmd.Process.Kill())
	w.routes.remove(victim)
	victim.wait(t)
	dead := time.Now()
	took := agree(t, victim.pop.running())
	w.rounds(1)
	w.killed = &outage{victim.name, killed, time.Now()}
	w.rounds(1)
	stop()
	var excused, bad []failure
	for _, f := range w.failed() {
		inFlight := f.began.Before(dead) && f.end.After(killed)
		throughIt := f.at == victim ||
			owners[f.visitor.session] == victim.name && (f.visitor.kind == chats || f.visitor.kind == uploads || errors.Is(f.err, errCut))
		if inFlight && throughIt {
			excused = append(excused, f)
		} else {
			bad = append(bad, f)
		}
	}
	report(t, victim.name+" was killed", bad)
	t.Logf("%s was killed: a table without it after %v; %d visits in flight there failed", victim.name, took.Round(time.Millisecond), len(excused))
}
