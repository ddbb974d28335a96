package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

type nodeDrainCmd struct {
	adminFlags
	Name     string        `arg:"" help:"Name of the node."`
	Deadline time.Duration `default:"10m" help:"How long sessions and connections may stay, 1s to 24h (${default})."`
	Plan     bool          `help:"Print what would change, and change nothing."`
	Output   string        `short:"o" enum:"table,json" default:"table" help:"table, or json: one event a line."`
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
	if k.Deadline < pop.MinDeadline || k.Deadline > pop.MaxDeadline {
		return fmt.Errorf("%w: --deadline %v: expected %v to %v", errUsage, k.Deadline, pop.MinDeadline, pop.MaxDeadline)
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
	if plan.Refused != "" {
		return fmt.Errorf("%w by %s", errRefused, plan.Refused)
	}
	if k.Plan {
		return nil
	}
	begin := pop.DrainRequest{Deadline: k.Deadline.String()}
	if err := a.call(c.ctx, http.MethodPost, nodePath(k.Name, "drain"), begin, &plan); err != nil {
		return err
	}
	return w.watch()
}

func (k *nodeDrainCmd) watcher(c *console, a *api) *drainWatch {
	w := &drainWatch{console: c, api: a, name: k.Name}
	w.undrain = fmt.Sprintf("landfall node undrain %s%s", k.Name, k.hint())
	if w.report = drainReport(&drainText{c.out, w.undrain}); k.Output == "json" {
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
	if ended || w.steps == 0 || p.Elapsed-w.shown.Elapsed >= drainShow.Seconds() {
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
		d.say("       interlocks: last-node ok")
	}
	for _, w := range p.Warnings {
		d.say("       warning: %s", w)
	}
}

func (d *drainText) step(p pop.Progress, rate float64) {
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
