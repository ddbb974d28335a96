package scenario

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/lab/inet"
)

const (
	// patience is how long a check without a time may take, and how long one
	// with a time is watched, so that late can be told from never.
	patience = 20 * time.Second
	// checkPoll is how often a check is looked at.
	checkPoll = 20 * time.Millisecond
	// toldPoll is how often what is told of changes is looked at without one:
	// a look starts a program, which takes the time of what is measured.
	toldPoll = 500 * time.Millisecond
)

// seen is what a look found.
type seen struct {
	ok  bool
	now string // how it is
}

// look looks once.
func (a *attempt) look(ctx context.Context, c *Check, f inet.Family) seen {
	var now string
	var err error
	switch c.What {
	case "lands":
		return a.looksLanded(ctx, c, f)
	case "path":
		var path []uint32
		var found bool
		if path, found, err = a.lab.Path(ctx, c.Name, f); found {
			now = pathText(path)
		} else {
			now = wantNone
		}
	case "route":
		node := a.lab.Plan.Node(c.Name)
		var nodes []string
		nodes, err = a.lab.Nexthops(ctx, node.Pop, f)
		now = pick(slices.Contains(nodes, c.Name), "present", "absent")
	case "announced":
		var yes bool
		yes, err = a.lab.Announced(ctx, c.Name, f)
		now = pick(yes, "yes", "no")
	default:
		now, err = a.nodeState(ctx, c.Name, c.What)
	}
	if err != nil {
		return seen{now: err.Error()}
	}
	return seen{ok: now == c.Want, now: now}
}

func pick(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func pathText(path []uint32) string {
	words := make([]string, len(path))
	for i, as := range path {
		words[i] = strconv.FormatUint(uint64(as), 10)
	}
	return strings.Join(words, " ")
}

func (a *attempt) looksLanded(ctx context.Context, c *Check, f inet.Family) seen {
	node, err := a.who.Land(ctx, c.Name, f)
	if err != nil {
		return seen{now: err.Error()}
	}
	pop := a.lab.Plan.Node(node).Pop
	home := a.lab.Plan.Client(c.Name).Home
	switch c.Want {
	case wantAnywhere:
		return seen{true, node}
	case wantNearest:
		return seen{home == "" || home == pop, node}
	}
	return seen{c.Want == pop || c.Want == node, node}
}

// nodeState is what the PoP says of a node.
func (a *attempt) nodeState(ctx context.Context, name, what string) (string, error) {
	nodes, err := a.lab.Nodes(ctx, a.lab.Asked(name))
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		if n.Name != name {
			continue
		}
		switch what {
		case "admin":
			return n.Admin, nil
		case "health":
			return n.Health, nil
		}
		return n.Announce, nil
	}
	return "not in the view", nil
}

// await looks until a check holds. changes may say when it is worth it.
func (a *attempt) await(ctx context.Context, c *Check, f inet.Family, began time.Time, changes <-chan time.Time) (took time.Duration, last seen) {
	ctx, cancel := context.WithTimeout(ctx, max(patience, 2*c.Within))
	defer cancel()
	pause := checkPoll
	if changes != nil {
		pause = toldPoll
	}
	poll := time.NewTicker(pause)
	defer poll.Stop()
	at := time.Now()
	for {
		if last = a.look(ctx, c, f); last.ok {
			select {
			case at = <-changes: // while it was looked: this one may be why it is so
			default:
			}
			return max(0, at.Sub(began)), last
		}
		select {
		case at = <-changes:
		case at = <-poll.C:
		case <-ctx.Done():
			return time.Since(began), last
		}
	}
}

// awaitAll carries out checks at once, and adds a row for each.
func (a *attempt) awaitAll(ctx context.Context, checks []Check, began time.Time, watches map[string]*watch) (ok bool) {
	rows := make([][]Row, len(checks))
	for i := range checks {
		c := &checks[i]
		families := c.Families
		if len(families) == 0 {
			families = []inet.Family{""}
		}
		rows[i] = make([]Row, len(families))
		for j, f := range families {
			a.checking.Go(func() {
				var changes <-chan time.Time
				if c.What == "route" {
					changes = watches[a.lab.Plan.Node(c.Name).Pop].subscribe()
				}
				took, last := a.await(ctx, c, f, began, changes)
				rows[i][j] = checkRow(c, f, took, last)
			})
		}
	}
	a.checking.Wait()
	ok = true
	for _, list := range rows {
		for _, row := range list {
			a.rows = append(a.rows, row)
			ok = ok && (row.OK || row.Late)
		}
	}
	return ok
}

func checkRow(c *Check, f inet.Family, took time.Duration, last seen) Row {
	row := Row{What: strings.TrimSpace(c.Text() + " " + string(f)), Must: "so", Line: c.Line}
	if c.Within > 0 {
		row.Must = "<= " + c.Within.String()
	}
	if !last.ok {
		row.Measured = "never: " + last.now
		return row
	}
	row.Measured = fmt.Sprint(took.Round(time.Millisecond))
	row.OK = c.Within == 0 || took <= c.Within
	row.Late = !row.OK
	return row
}
