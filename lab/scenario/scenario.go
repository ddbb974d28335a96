// Package scenario is what happens in a lab and what must hold then: the
// format of scenario files, and the runner that carries them out and
// measures. It owns what it changes in a lab and puts it back. It never
// calls something good that it did not see.
package scenario

import (
	"time"

	"github.com/landfall-cdn/landfall/lab/inet"
	"github.com/landfall-cdn/landfall/lab/load"
)

// Scenario is one file.
type Scenario struct {
	File  string
	Name  string
	About string
	// Needs are what the lab or the program must be able to do; a scenario
	// whose needs are not met is skipped.
	Needs []Need
	// Load is what clients do meanwhile, nil for nothing.
	Load  *Load
	Steps []Step
	// Always must hold from the first step to the last.
	Always []Check
	// Must bounds what the clients saw in all.
	Must []Bound
}

// Need is "bfd", or a command line such as "landfall pop drain".
type Need struct {
	Line int
	Text string
}

// Load is which clients do what. Each client does it with both families.
type Load struct {
	Clients []string
	load.Rates
}

// Step is one thing that happens, or that is looked at. Exactly one of Do,
// Wait, Expect and Gap is set.
type Step struct {
	Line int
	// Do happens. Then is checked meanwhile, and is timed from when Do
	// began.
	Do   *Action
	Then []Check
	// Wait passes.
	Wait time.Duration
	// Expect is checked.
	Expect []Check
	// Gap bounds how long a flow was without an answer since the last step
	// of that kind, or since the start.
	Gap time.Duration
}

// Action is what happens.
type Action struct {
	Text string
	// Verb is the first word; Words are the rest.
	Verb  string
	Words []string
	// Background has the next step begin while a command still runs. It is
	// waited for at the end.
	Background bool
	// Exit are the exit codes that a command may have.
	Exit []int
	// At is the node at whose admin address a command is run.
	At string
	// Policy is that of the verb border.
	Policy inet.Policy
}

// Check is one thing that must be so. Subject and What say what it is:
//
//	client e1 lands a      router t1 path "64496 64500"
//	node a2 route absent   node a2 admin draining
//	pop a announced yes
type Check struct {
	Line    int
	Subject string
	Name    string
	What    string
	Want    string
	// Families are those that it is looked at for.
	Families []inet.Family
	// Within is by when, from the beginning of the step; 0: some time.
	Within time.Duration
}

// Text is the check as people read it.
func (c *Check) Text() string { return c.Subject + " " + c.Name + " " + c.What + " " + c.Want }

// Bound is what a figure of the load must be: at most, at least, or exactly.
type Bound struct {
	Line   int
	Figure string
	Op     string // "<=", ">=" or "="
	// Count is for figures that are counted, Time for the longest gap.
	Count int
	Time  time.Duration
}

// Text is the bound as people read it.
func (b *Bound) Text() string {
	if b.Figure == figureGap {
		return b.Op + " " + b.Time.String()
	}
	return b.Op + " " + itoa(b.Count)
}

// holds reports whether a report keeps the bound, and what was measured.
func (b *Bound) holds(r load.Report) (ok bool, measured string) {
	if b.Figure == figureGap {
		return r.Gap <= b.Time, r.Gap.Round(100 * time.Microsecond).String()
	}
	have := figures[b.Figure](r)
	switch b.Op {
	case "<=":
		ok = have <= b.Count
	case ">=":
		ok = have >= b.Count
	default:
		ok = have == b.Count
	}
	return ok, itoa(have)
}

// figureGap is the one figure that is a time.
const figureGap = "longest_gap"

// figures are what can be bounded, by name.
var figures = map[string]func(load.Report) int{
	"requests":  func(r load.Report) int { return r.Requests },
	"retried":   func(r load.Report) int { return r.Retried },
	"downloads": func(r load.Report) int { return r.Downloads },
	"resumed":   func(r load.Report) int { return r.Resumed },
	"failed":    func(r load.Report) int { return r.Failed + r.Lost },
	"probes":    func(r load.Report) int { return r.Probes },
	"broken":    func(r load.Report) int { return r.Broken },
}
