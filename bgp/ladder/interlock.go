package ladder

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// Interlock is a reason not to step that has a name, a metric and an
// override.
type Interlock string

// The interlocks.
const (
	// LastAnnouncer keeps the last node of the fleet that announces a prefix,
	// ill or not: a bad answer is better than none.
	LastAnnouncer Interlock = "last-announcer"
	// MinNodes keeps half of a PoP's nodes; a PoP that has to lose more goes
	// as a whole.
	MinNodes Interlock = "min-nodes"
	// MinPops keeps half of the PoPs.
	MinPops Interlock = "min-pops"
	// WithdrawBudget bounds how many nodes withdraw by themselves in a time.
	WithdrawBudget Interlock = "withdraw-budget"
	// Panic takes failures of many nodes for a fault of the checks.
	Panic Interlock = "panic"
	// NoView keeps a node that cannot know whether others announce.
	NoView Interlock = "no-view"
	// PurgeCursorFresh keeps a node that has missed purges from coming back.
	PurgeCursorFresh Interlock = "purge-cursor-fresh"
	// Agreed makes a node wait while another one steps. It passes by
	// itself, and has no override.
	Agreed Interlock = "agreement"
)

// Interlocks are all that an operator can override.
var Interlocks = []Interlock{LastAnnouncer, MinNodes, MinPops, WithdrawBudget, Panic, NoView, PurgeCursorFresh}

// Refusal is an interlock that refuses a step, and why.
type Refusal struct {
	Interlock Interlock `json:"interlock"`
	Reason    string    `json:"reason"`
}

func (r Refusal) String() string { return string(r.Interlock) + ": " + r.Reason }

// Refused is the error of a step that interlocks refuse.
type Refused []Refusal

// Error implements error.
func (r Refused) Error() string {
	out := make([]string, len(r))
	for i, one := range r {
		out[i] = one.String()
	}
	return strings.Join(out, "; ")
}

// Step is a way down or up that is judged before it is gone.
type Step struct {
	To bgp.Rung
	// Auto tells that checks ask for it, not an operator.
	Auto bool
	// Wide tells that the node's whole PoP goes with it.
	Wide bool
}

// leaves tells whether traffic has to go elsewhere after the step.
func (s Step) leaves() bool { return s.To >= bgp.Gshut }

// Stays tells who is counted on: nodes that announce, in the PoP and
// elsewhere, by what they said or by what they promised.
type Stays func(Record) bool

// Judge returns what refuses a step of self, all of it. stays says which of
// the others will still be there.
func Judge(self Record, step Step, v *View, stays Stays, rules Rules, now time.Time) []Refusal {
	if !step.leaves() {
		return nil
	}
	j := judge{self: self, step: step, rules: rules, now: now, fresh: v.fresh(rules, now), known: v.within(rules.Known, now)}
	for _, h := range j.fresh {
		if stays(h.Record) && !(step.Wide && h.Pop == self.Pop) {
			j.stay = append(j.stay, h)
		}
	}
	j.view(v.Expected)
	j.last()
	j.nodes()
	j.pops()
	if step.Auto {
		j.budget()
		j.panics()
	}
	return j.refusals
}

// judge is one judgement.
type judge struct {
	self         Record
	step         Step
	rules        Rules
	now          time.Time
	fresh, known []heard
	stay         []heard // who is left after the step
	refusals     []Refusal
}

func (j *judge) refuse(by Interlock, format string, args ...any) {
	j.refusals = append(j.refusals, Refusal{by, fmt.Sprintf(format, args...)})
}

// view keeps a node that is cut off, ill or not: others that are cut off from
// one another would all go by what they knew, and nobody would be left.
func (j *judge) view(expected bool) {
	if expected && len(j.fresh) == 0 {
		j.refuse(NoView, "no other node has been heard for %v, so whether one announces is not known", j.rules.Fresh)
	}
}

func (j *judge) last() {
	var alone []string
	for _, p := range j.self.Prefixes {
		if !slices.ContainsFunc(j.stay, func(h heard) bool { return slices.Contains(h.Prefixes, p) }) {
			alone = append(alone, p.String())
		}
	}
	if len(alone) > 0 && j.self.Rung != bgp.Withdrawn {
		j.refuse(LastAnnouncer, "no other node is known to keep announcing %s", strings.Join(alone, ", "))
	}
}

// nodes counts the PoP's own. A PoP of one node is a PoP that goes as a
// whole.
func (j *judge) nodes() {
	all, left := 1, 0
	for _, h := range j.known {
		if h.Pop == j.self.Pop {
			all++
		}
	}
	for _, h := range j.stay {
		if h.Pop == j.self.Pop {
			left++
		}
	}
	if need := (all + 1) / 2; !j.step.Wide && all > 1 && left < need {
		j.refuse(MinNodes, "%d of %d nodes of PoP %s would be left, at least %d are to stay; drain the PoP instead", left, all, j.self.Pop, need)
	}
}

func (j *judge) pops() {
	all, left := map[string]bool{j.self.Pop: true}, map[string]bool{}
	for _, h := range j.known {
		all[h.Pop] = true
	}
	for _, h := range j.stay {
		left[h.Pop] = true
	}
	if left[j.self.Pop] || len(all) == 1 {
		return // the PoP stays, or there is no other: that is LastAnnouncer's
	}
	if need := max(1, (len(all)+1)/2); len(left) < need {
		j.refuse(MinPops, "%d of %d PoPs would be left, at least %d are to stay", len(left), len(all), need)
	}
}

func (j *judge) budget() {
	fell := 0
	for _, h := range j.known {
		if age := h.Fell + j.now.Sub(h.at).Seconds(); h.Fell >= 0 && age < j.rules.BudgetWindow.Seconds() {
			fell++
		}
	}
	if most := max(1, (len(j.known)+1)*j.rules.BudgetShare/100); fell >= most {
		j.refuse(WithdrawBudget, "%d nodes have withdrawn by themselves in the last %v, %d may", fell, j.rules.BudgetWindow, most)
	}
}

// panics counts failures, bad results that are not failures yet among them:
// nodes that fail together do not fail in one instant.
func (j *judge) panics() {
	failing, same := 1, map[string]int{}
	for name := range j.self.Failing {
		same[name] = 1
	}
	for _, h := range j.fresh {
		if len(h.Failing) > 0 {
			failing++
		}
		for name, age := range h.Failing {
			if same[name] > 0 && age <= j.rules.SameWindow.Seconds() {
				same[name]++
			}
		}
	}
	if all := len(j.fresh) + 1; all > 1 && failing*100 > all*j.rules.PanicShare {
		j.refuse(Panic, "%d of %d nodes fail, which is taken for a fault of the checks", failing, all)
		return
	}
	for name, n := range same {
		if n >= j.rules.SameCheck {
			j.refuse(Panic, "%d nodes fail %q within %v, which is taken for a fault of the check", n, name, j.rules.SameWindow)
			return
		}
	}
}

// Return returns what keeps a node from stepping up.
func Return(self Record, v *View, rules Rules, now time.Time) []Refusal {
	for _, h := range v.fresh(rules, now) {
		if h.Purges > self.Purges {
			return []Refusal{{PurgeCursorFresh, fmt.Sprintf("purges up to %d are carried out here, up to %d at %s", self.Purges, h.Purges, h.Name)}}
		}
	}
	return nil
}
