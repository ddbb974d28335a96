package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/lab/inet"
	"github.com/landfall-cdn/landfall/lab/load"
)

const (
	// warmTime is how long clients are at work before the first step.
	warmTime = 500 * time.Millisecond
	// restoreTime bounds how long a lab may take to be as it was.
	restoreTime = 60 * time.Second
	// alwaysPoll is how often is looked whether what must always be so is.
	alwaysPoll = 100 * time.Millisecond
)

// Row is one thing that was measured.
type Row struct {
	What string `json:"what"`
	// Must is what had to be; "" for what is only told.
	Must     string `json:"must"`
	Measured string `json:"measured"`
	OK       bool   `json:"ok"`
	// Late says that nothing is wrong but the time that it took.
	Late bool `json:"late,omitempty"`
	// Line is that of the scenario's file.
	Line int `json:"line"`
}

// Result is what became of a scenario.
type Result struct {
	Name string `json:"name"`
	// Skipped says what it needs, "" when it was run.
	Skipped string `json:"skipped,omitempty"`
	// Tries has the rows of each time it was run. A scenario that was only
	// late is run again.
	Tries [][]Row       `json:"tries"`
	Took  time.Duration `json:"took_ns"`
	// Error says why it could not be run to its end.
	Error string `json:"error,omitempty"`
}

// OK reports whether everything held, at the last try.
func (r *Result) OK() bool {
	if r.Skipped != "" {
		return true
	}
	if r.Error != "" || len(r.Tries) == 0 {
		return false
	}
	for _, row := range r.Tries[len(r.Tries)-1] {
		if !row.OK {
			return false
		}
	}
	return true
}

// late reports whether nothing was wrong but times.
func late(rows []Row) bool {
	some := false
	for _, row := range rows {
		if !row.OK && !row.Late {
			return false
		}
		some = some || row.Late
	}
	return some
}

// Runner runs scenarios in a lab, one after the other.
type Runner struct {
	Lab *inet.Lab
	// Tries is how often a scenario is run that is late, at least 1.
	Tries int
	// Say is told what happens.
	Say func(format string, args ...any)
}

// Run runs a scenario. The lab is as it should be before and after; an
// error says that it is not, and that no other scenario should be run.
func (r *Runner) Run(ctx context.Context, s *Scenario) (res Result, err error) {
	began := time.Now()
	res.Name = s.Name
	defer func() { res.Took = time.Since(began) }()
	if res.Skipped, err = r.unmet(ctx, s); err != nil || res.Skipped != "" {
		return res, err
	}
	for range max(1, r.Tries) {
		a := &attempt{lab: r.Lab, who: inet.NewWho(r.Lab), scenario: s, say: r.Say}
		failed := a.run(ctx)
		res.Tries = append(res.Tries, a.rows)
		if failed != nil {
			res.Error = failed.Error()
		}
		if err := a.restore(ctx); err != nil {
			res.Error = err.Error()
			return res, fmt.Errorf("after %s: %w", s.Name, err)
		}
		if failed != nil || !late(a.rows) {
			break
		}
	}
	return res, nil
}

// attempt is one run of a scenario.
type attempt struct {
	// Static.
	lab      *inet.Lab
	who      *inet.Who
	scenario *Scenario
	say      func(string, ...any)

	began    time.Time
	rows     []Row
	loads    []client
	checking sync.WaitGroup
	// commanding are those who wait for commands.
	commanding sync.WaitGroup
	commands   []*running // in the background
	changed    changes
}

// run carries the scenario out. An error says that it could not be.
func (a *attempt) run(ctx context.Context) (err error) {
	a.began = time.Now()
	if a.loads, err = a.startLoad(ctx); err != nil {
		return err
	}
	watches, stop, err := a.watch(ctx)
	if err != nil {
		stopAll(a.loads)
		return err
	}
	defer stop()
	always := a.startAlways(ctx)
	if len(a.loads) > 0 {
		err = pause(ctx, warmTime)
	}
	for i := range a.scenario.Steps {
		if err != nil {
			break
		}
		var ok bool
		if ok, err = a.step(ctx, &a.scenario.Steps[i], watches); !ok {
			break
		}
	}
	err = errors.Join(err, a.join(ctx))
	a.rows = append(a.rows, always()...)
	a.measure(a.loads)
	return err
}

// step carries out one step. It reports whether the next one makes sense.
func (a *attempt) step(ctx context.Context, s *Step, watches map[string]*watch) (ok bool, err error) {
	switch {
	case s.Wait > 0:
		return true, pause(ctx, s.Wait)
	case len(s.Expect) > 0:
		return a.awaitAll(ctx, s.Expect, time.Now(), watches), nil
	case s.Gap > 0:
		a.gap(s)
		return true, nil
	}
	began := time.Now()
	a.say("%s: %.1f s: %s", a.scenario.Name, began.Sub(a.began).Seconds(), s.Do.Text)
	cmd, err := a.act(ctx, s.Do)
	if err != nil {
		return false, fmt.Errorf("%s:%d: %s: %w", a.scenario.File, s.Line, s.Do.Text, err)
	}
	ok = a.awaitAll(ctx, s.Then, began, watches)
	switch {
	case cmd == nil:
	case s.Do.Background:
		a.commands = append(a.commands, cmd)
	default:
		ok = a.ended(ctx, cmd) && ok
	}
	return ok, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startAlways watches what must always be so. What it returns ends that and
// has the rows.
func (a *attempt) startAlways(ctx context.Context) (stop func() []Row) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	var rows []Row
	var looks []func()
	for i := range a.scenario.Always {
		c := &a.scenario.Always[i]
		families := c.Families
		if len(families) == 0 {
			families = []inet.Family{""}
		}
		for _, f := range families {
			row := Row{What: "always " + c.Text() + " " + string(f), Must: "so", Measured: "so", OK: true, Line: c.Line}
			rows = append(rows, row)
			at := len(rows) - 1
			looks = append(looks, func() { a.keepLooking(ctx, c, f, &rows[at]) })
		}
	}
	for _, look := range looks {
		watching.Go(look)
	}
	return func() []Row { cancel(); watching.Wait(); return rows }
}

// keepLooking notes in a row when a check does not hold.
func (a *attempt) keepLooking(ctx context.Context, c *Check, f inet.Family, row *Row) {
	poll := time.NewTicker(alwaysPoll)
	defer poll.Stop()
	looks, bad := 0, 0
	for {
		now := a.look(ctx, c, f)
		if ctx.Err() != nil {
			break
		}
		if looks++; !now.ok {
			bad++
			row.OK, row.Measured = false, now.now
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
	if bad > 0 {
		row.Measured = fmt.Sprintf("not so in %d of %d looks, the last time: %s", bad, looks, row.Measured)
	} else {
		row.Measured = fmt.Sprintf("so in %d looks", looks)
		row.OK = looks > 0
	}
}

// client is the load of one client over one family.
type client struct {
	name   string
	family inet.Family
	*load.Load
}

func (a *attempt) startLoad(ctx context.Context) (out []client, err error) {
	if a.scenario.Load == nil {
		return nil, nil
	}
	for _, name := range a.scenario.Load.Clients {
		for _, f := range inet.Families {
			conf, err := a.lab.LoadConfig(name, f)
			if err != nil {
				stopAll(out)
				return nil, err
			}
			conf.Rates = a.scenario.Load.Rates
			l, err := load.Start(ctx, conf)
			if err != nil {
				stopAll(out)
				return nil, err
			}
			out = append(out, client{name, f, l})
		}
	}
	return out, nil
}

// gap adds a row for each family with how long a flow was without an answer.
func (a *attempt) gap(s *Step) {
	for _, f := range inet.Families {
		longest := time.Duration(0)
		for _, c := range a.loads {
			if c.family == f {
				longest = max(longest, c.TakeGap())
			}
		}
		ok := longest <= s.Gap
		a.rows = append(a.rows, Row{
			What: "gap " + string(f), Must: "<= " + s.Gap.String(), Measured: longest.Round(100 * time.Microsecond).String(), OK: ok, Late: !ok, Line: s.Line,
		})
	}
}

func stopAll(loads []client) (reports []load.Report) {
	reports = make([]load.Report, len(loads))
	var stopping sync.WaitGroup
	for i, l := range loads {
		stopping.Go(func() { reports[i] = l.Stop() })
	}
	stopping.Wait()
	return reports
}

// measure ends the load and adds a row for each bound.
func (a *attempt) measure(loads []client) {
	reports := stopAll(loads)
	for _, f := range inet.Families {
		var sum load.Report
		for i, l := range loads {
			if l.family == f {
				sum = sum.Add(reports[i])
			}
		}
		if len(loads) == 0 {
			return
		}
		a.rows = append(a.rows, Row{What: "clients over " + string(f), Measured: summary(sum, a.began), OK: true})
		for i := range a.scenario.Must {
			b := &a.scenario.Must[i]
			ok, measured := b.holds(sum)
			row := Row{What: b.Figure + " " + string(f), Must: b.Text(), Measured: measured, OK: ok, Late: !ok && b.Figure == figureGap, Line: b.Line}
			if !ok && b.Figure == "failed" {
				row.Measured += fmt.Sprintf(" %q", sum.Errors)
			}
			a.rows = append(a.rows, row)
		}
	}
}

func summary(r load.Report, began time.Time) string {
	text := fmt.Sprintf("%d requests (%d retried, %d failed), %d downloads (%d resumed, %d lost), %d probes (%d broken), longest that the client itself did not run %v",
		r.Requests, r.Retried, r.Failed, r.Downloads, r.Resumed, r.Lost, r.Probes, r.Broken, r.Held.Round(100*time.Microsecond))
	if r.Gap > 0 {
		text += fmt.Sprintf(", longest gap %v up to %.1f s after the start", r.Gap.Round(100*time.Microsecond), r.GapAt.Sub(began).Seconds())
		if len(r.GapWas) > 0 {
			text += " (" + strings.Join(r.GapWas, "; ") + ")"
		}
	}
	return text
}
