package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// drainFlags are how a drain goes.
type drainFlags struct {
	Deadline time.Duration `default:"10m" help:"How long sessions and connections may stay, 1s to 24h (${default})."`
	Converge time.Duration `default:"2m" help:"How long new connections may take to cease once routers know, before clients are told to leave (${default})."`
	overrideFlags
}

func (f drainFlags) request() (pop.OrderRequest, error) {
	if f.Deadline < pop.MinDeadline || f.Deadline > pop.MaxDeadline {
		return pop.OrderRequest{}, fmt.Errorf("%w: --deadline %v: expected %v to %v", errUsage, f.Deadline, pop.MinDeadline, pop.MaxDeadline)
	}
	if f.Converge < pop.MinDeadline || f.Converge > pop.MaxDeadline {
		return pop.OrderRequest{}, fmt.Errorf("%w: --converge %v: expected %v to %v", errUsage, f.Converge, pop.MinDeadline, pop.MaxDeadline)
	}
	req, err := f.overrideFlags.request()
	req.Deadline, req.Converge = f.Deadline.String(), min(f.Converge, f.Deadline).String()
	return req, err
}

type nodeDrainCmd struct {
	adminFlags
	drainFlags
	Name   string `arg:"" help:"Name of the node."`
	Plan   bool   `help:"Print what would change, and change nothing."`
	JSON   bool   `name:"json" help:"The same as --output json."`
	Output string `short:"o" enum:"table,json" default:"table" help:"table, or json: one event a line."`
}

const (
	// drainPoll is how often the node is asked, and drainShow how often that
	// is printed.
	drainPoll = time.Second
	drainShow = 5 * time.Second
	// drainPatience is how long a node may give no answer.
	drainPatience = 15 * time.Second
)

// Run prints the plan, drains, and prints how far it has come until nothing
// is left or the deadline has passed.
func (k *nodeDrainCmd) Run(c *console) error {
	begin, err := k.request()
	if err != nil {
		return err
	}
	a, err := k.api(c)
	if err != nil {
		return err
	}
	var plan pop.Plan
	if err := a.get(c.ctx, nodePath(k.Name, "plan"), &plan); err != nil {
		return err
	}
	w := k.watcher(c, a)
	w.report.plan(plan)
	if refused := k.refused(plan); refused != "" {
		return fmt.Errorf("%w by %s", errRefused, refused)
	}
	if k.Plan {
		return nil
	}
	if err := a.call(c.ctx, http.MethodPost, nodePath(k.Name, "drain"), begin, &plan); err != nil {
		return err
	}
	return w.watch()
}

// refused says what is in the way of a plan, "" when nothing is that is not
// overridden.
func (k *nodeDrainCmd) refused(plan pop.Plan) string {
	if plan.Refused != "" || plan.Routes == nil {
		return plan.Refused
	}
	return inTheWay(*plan.Routes, k.Override)
}

// inTheWay says which interlocks are, "" when all are overridden.
func inTheWay(plan pop.RoutePlan, overridden []string) string {
	var out []string
	for _, r := range plan.Refusals {
		if !slices.Contains(overridden, r.Interlock) {
			out = append(out, r.Interlock+": "+r.Reason)
		}
	}
	return strings.Join(out, "; ")
}

func (k *nodeDrainCmd) watcher(c *console, a *api) *drainWatch {
	w := &drainWatch{console: c, api: a, name: k.Name}
	w.undrain = fmt.Sprintf("landfall node undrain %s%s", k.Name, k.hint())
	if w.report = drainReport(&drainText{out: c.out, undrain: w.undrain}); k.JSON || k.Output == "json" {
		w.report = &drainJSON{json.NewEncoder(c.out)}
	}
	return w
}

// drainReport prints what happens.
type drainReport interface {
	plan(pop.Plan)
	// step gives the new connections a second since the step before.
	step(p pop.Progress, rate float64)
	end(pop.Progress)
}

// drainWatch follows the drain of a node.
type drainWatch struct {
	console *console
	api     *api
	name    string
	undrain string // the command
	report  drainReport

	// Owned by watch.
	shown  pop.Progress // the last that was printed
	steps  int
	silent time.Time // since when the node gives no answer; zero: it does
}

// watch returns when the drain has ended, in whichever way.
func (w *drainWatch) watch() error {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for {
		over, err := w.look(time.Now())
		if over || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-w.console.ctx.Done():
			return fmt.Errorf("%s drains on; undrain with: %s", w.name, w.undrain)
		}
	}
}

// look asks once, and reports whether the drain is over.
func (w *drainWatch) look(now time.Time) (over bool, err error) {
	var p pop.Progress
	if err := w.api.get(w.console.ctx, nodePath(w.name, "drain"), &p); err != nil {
		return false, w.missed(err, now)
	}
	w.silent = time.Time{}
	ended := p.State != pop.StateDraining
	if ended || w.steps == 0 || p.Phase != w.shown.Phase || p.Elapsed-w.shown.Elapsed >= drainShow.Seconds() {
		w.show(p)
	}
	switch p.State {
	case pop.StateDrained:
		w.report.end(p)
		return true, nil
	case pop.StateExpired:
		w.report.end(p)
		return true, fmt.Errorf("%w: %s still holds %s", errDeadline, w.name, held(p.Load))
	case pop.StateActive:
		return true, fmt.Errorf("%s was undrained by somebody else", w.name)
	}
	return false, nil
}

// missed bears with a node that gives no answer, for a while.
func (w *drainWatch) missed(err error, now time.Time) error {
	switch {
	case w.console.ctx.Err() != nil:
		return nil // watch sees it
	case errors.Is(err, errRefused):
		return err
	case w.silent.IsZero():
		w.silent = now
	case now.Sub(w.silent) >= drainPatience:
		return fmt.Errorf("lost sight of %s, which may drain on: %w", w.name, err)
	}
	return nil
}

func (w *drainWatch) show(p pop.Progress) {
	rate := 0.0
	if passed := p.Elapsed - w.shown.Elapsed; w.steps > 0 && passed > 0 && p.Accepted >= w.shown.Accepted {
		rate = float64(p.Accepted-w.shown.Accepted) / passed
	}
	w.report.step(p, rate)
	w.shown = p
	w.steps++
}

// held is what a node still holds, in words.
func held(l pop.Load) string {
	return fmt.Sprintf("%d sessions, %d tunnels and %d connections from before", l.Sessions, l.Tunnels, l.Earlier)
}

// drainText is for people.
type drainText struct {
	out     io.Writer
	undrain string
	phase   string // the last that was printed
}

func (d *drainText) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...) // the drain goes on whoever reads
}

func (d *drainText) plan(p pop.Plan) {
	d.say("PLAN   %s  pop %s, share %s, active nodes %d -> %d", p.Node.Name, p.Node.Pop, percent(p.Node.Share), p.Nodes, p.After)
	if l := p.Node.Load; l != nil {
		d.say("       sessions %d  connections %d (h1 %d, h2 %d, h3 %d)  in flight %d  tunnels %d",
			l.Sessions, l.Connections, l.HTTP1, l.HTTP2, l.HTTP3, l.InFlight, l.Tunnels)
	}
	var shifts []string
	for _, s := range p.Shifts {
		shifts = append(shifts, fmt.Sprintf("%s %s +%s", s.Name, percent(s.Share), percent(s.More)))
	}
	if len(shifts) > 0 {
		d.say("       expected shift: %s", strings.Join(shifts, ", "))
	}
	if p.Refused == "" {
		locks := []string{"last-node ok"}
		if p.Routes != nil {
			routesPlan(d.say, *p.Routes)
			locks = append(locks, interlocks(*p.Routes)...)
		}
		d.say("       interlocks: %s", strings.Join(locks, ", "))
	}
	for _, w := range p.Warnings {
		d.say("       warning: %s", w)
	}
}

// routesPlan prints what a plan means for the announcement.
func routesPlan(say func(string, ...any), p pop.RoutePlan) {
	say("       prefixes %s", strings.Join(p.Prefixes, ", "))
	say("       announcers now %s -> after %s", announcers(p.Now), announcers(p.After))
}

// announcers counts nodes by PoP, "6 (ams 3, fra 3)".
func announcers(byPop map[string]int) string {
	all, parts := 0, []string{}
	for _, name := range slices.Sorted(maps.Keys(byPop)) {
		all += byPop[name]
		parts = append(parts, fmt.Sprintf("%s %d", name, byPop[name]))
	}
	if len(parts) == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", all, strings.Join(parts, ", "))
}

// interlocks are those of a plan, in words.
func interlocks(p pop.RoutePlan) (out []string) {
	for _, name := range p.Passed {
		out = append(out, name+" ok")
	}
	for _, r := range p.Refusals {
		out = append(out, r.Interlock+" REFUSES")
	}
	return out
}

func (d *drainText) step(p pop.Progress, rate float64) {
	if p.Phase != d.phase {
		d.phase = p.Phase
		d.say("%s  %s", clock(p.Elapsed), phaseText(p))
	}
	d.say("%s  %-8s  sessions %d  connections %d (%d from before)  in flight %d  tunnels %d  new conn/s %.1f",
		clock(p.Elapsed), p.State, p.Sessions, p.Connections, p.Earlier, p.InFlight, p.Tunnels, rate)
}

func (d *drainText) end(p pop.Progress) {
	word := "DONE"
	if p.State == pop.StateExpired {
		word = "LATE"
	}
	d.say("%s   %v   undrain with: %s", word, seconds(p.Elapsed).Round(time.Second), d.undrain)
}

// phaseText is what a phase means.
func phaseText(p pop.Progress) string {
	switch p.Phase {
	case pop.PhaseConverging:
		return "announced as " + p.Announce + ", waiting until new connections cease"
	case pop.PhaseLeaving:
		return "clients are told to leave"
	case pop.PhaseWithdrawn:
		return "withdrawn, waiting for what is left"
	}
	return p.Phase
}

// clock shows a time as minutes and seconds.
func clock(s float64) string {
	n := int(s)
	return fmt.Sprintf("%02d:%02d", n/60, n%60)
}

// drainJSON is for programs: one event a line.
type drainJSON struct{ enc *json.Encoder }

func (d *drainJSON) say(event string, v any) { _ = d.enc.Encode(map[string]any{event: v}) }

func (d *drainJSON) plan(p pop.Plan)                   { d.say("plan", p) }
func (d *drainJSON) step(p pop.Progress, rate float64) { d.say("progress", drainStep{p, rate}) }
func (d *drainJSON) end(p pop.Progress)                { d.say("end", p) }

type drainStep struct {
	pop.Progress
	Rate float64 `json:"new_connections_per_second"`
}
