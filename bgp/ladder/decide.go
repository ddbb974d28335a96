package ladder

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// Order is what an operator wants of this node. The zero Order is a node in
// service.
type Order struct {
	// Floor is the best rung that the node may announce.
	Floor bgp.Rung `json:"floor"`
	// Wide tells that the whole PoP has this floor.
	Wide bool `json:"wide,omitempty"`
	// Drain tells that the floor is a drain's: it ends with the process.
	Drain bool `json:"drain,omitempty"`
	// Prepend makes the PoP's paths longer, by 0 to bgp.MaxPrepend.
	Prepend int `json:"prepend,omitempty"`
	// Reason is for whoever finds the node like that.
	Reason string `json:"reason,omitempty"`
}

// Override lets one interlock pass. It ends by itself.
type Override struct {
	Interlock Interlock `json:"interlock"`
	Reason    string    `json:"reason"`
	Until     time.Time `json:"until"`
}

// State is how far the node has come on the ladder.
type State struct {
	// Rung is what is announced, or on its way to the routers.
	Rung  bgp.Rung
	Since time.Time
	// Falls are the times of the steps down that checks asked for, within
	// Rules.FlapWindow.
	Falls []time.Time
	// Well is since when no check has asked for Rung or a lower one; zero
	// while one does.
	Well time.Time
	// Auto tells that checks asked for Rung, so that coming back has to be
	// earned.
	Auto bool
	// Started tells that every check that may withdraw has been answered.
	Started bool
}

// Start is the state of a node that has not announced anything.
func Start(now time.Time) State { return State{Rung: bgp.Withdrawn, Since: now} }

// Pardon forgets why the node is where it is: an operator has looked.
func (s State) Pardon() State {
	s.Falls, s.Auto = nil, false
	return s
}

// Input is what a decision is made of, beside the state.
type Input struct {
	Now     time.Time
	Results []Result
	Order   Order
	// Return is what keeps the node from stepping up, after overrides.
	Return []Refusal
}

// Decision is what is to be done.
type Decision struct {
	// To is the rung to go to; the state's own when there is nothing to do.
	To bgp.Rung
	// Step is judged before it is gone, when it leads down.
	Step Step
	// Reasons say why the node is to be at To.
	Reasons []string
	// Held says why the node does not go up yet.
	Held string
	// Again is when time alone changes the decision; zero: never.
	Again time.Time
}

// Decide says where the node is to go. It looks at no interlock that guards
// the way down: Judge does, with what others promise.
func (s State) Decide(in Input, rules Rules) Decision {
	health, reasons := ill(in.Results)
	if !s.Started {
		return Decision{To: s.Rung, Held: "not every check has been answered yet"}
	}
	d := Decision{To: max(health, in.Order.Floor), Reasons: reasons}
	d.Step = Step{To: d.To, Auto: health > in.Order.Floor, Wide: in.Order.Wide}
	if in.Order.Floor > bgp.Normal {
		d.Reasons = append(d.Reasons, "operator: "+in.Order.Floor.String()+because(in.Order.Reason))
	}
	if d.To >= s.Rung {
		return d
	}
	if s.Auto {
		d.Held, d.Again = s.hold(in.Now, rules)
	}
	if d.Held == "" && s.Rung == bgp.Withdrawn && len(in.Return) > 0 {
		d.Held = Refused(in.Return).Error()
	}
	if d.Held != "" {
		d.To = s.Rung
	}
	return d
}

// hold says why a node that fell by itself has to wait, and until when.
func (s State) hold(now time.Time, rules Rules) (string, time.Time) {
	falls := recent(s.Falls, now, rules.FlapWindow)
	if len(falls) > rules.FlapBudget {
		free := falls[len(falls)-rules.FlapBudget-1].Add(rules.FlapWindow)
		return fmt.Sprintf("fell %d times within %v, more than %d: stays until %s, or an operator says announce",
			len(falls), rules.FlapWindow, rules.FlapBudget, free.UTC().Format(time.TimeOnly)), free
	}
	wait := rules.Hold << max(0, len(falls)-1)
	if s.Well.IsZero() {
		return "a check fails", time.Time{}
	}
	if end := s.Well.Add(wait); now.Before(end) {
		return fmt.Sprintf("well for %v, back after %v", now.Sub(s.Well).Round(time.Second), wait), end
	}
	return "", time.Time{}
}

// After returns the state once d was carried out.
func (s State) After(d Decision, now time.Time, rules Rules) State {
	if d.To != s.Rung {
		if s.Auto = d.To > s.Rung && d.Step.Auto; s.Auto {
			s.Falls = append(recent(s.Falls, now, rules.FlapWindow), now)
		}
		s.Rung, s.Since = d.To, now
	}
	return s
}

// Watch keeps count of how long the node has been well.
func (s State) Watch(results []Result, now time.Time) State {
	health, _ := ill(results)
	s.Started = s.Started || looked(results)
	switch {
	case health > bgp.Normal && health >= s.Rung:
		s.Well = time.Time{}
	case s.Well.IsZero():
		s.Well = now
	}
	return s
}

// ill returns the lowest rung that a failing check asks for, and which do.
func ill(results []Result) (rung bgp.Rung, reasons []string) {
	for _, r := range results {
		if to := r.Class.rung(); r.Failing && to > bgp.Normal {
			rung = max(rung, to)
			reasons = append(reasons, fmt.Sprintf("%s check %s: %s", r.Class, r.Name, r.Reason))
		}
	}
	return rung, reasons
}

// looked tells whether every check that may withdraw has been answered.
func looked(results []Result) bool {
	return !slices.ContainsFunc(results, func(r Result) bool { return r.Class == SelfHard && !r.Known })
}

func recent(times []time.Time, now time.Time, window time.Duration) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return now.Sub(t) >= window })
}

func because(reason string) string {
	if reason = strings.TrimSpace(reason); reason != "" {
		return ", because " + reason
	}
	return ""
}
