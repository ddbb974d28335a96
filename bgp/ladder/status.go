package ladder

import (
	"cmp"
	"slices"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// Status is what is announced, what is wanted, and why.
type Status struct {
	Rung  bgp.Rung  `json:"announce"`
	Since time.Time `json:"since"`
	// Wanted is where the node is to be; Refusals say why it is not there
	// when that is further down, Held when it is further up.
	Wanted   bgp.Rung  `json:"wanted"`
	Reasons  []string  `json:"reasons"`
	Held     string    `json:"held,omitempty"`
	Refusals []Refusal `json:"refusals"`

	Order     Order      `json:"operator"`
	Overrides []Override `json:"overrides"`
	Checks    []Result   `json:"checks"`
	// Prefixes are those that at least one router has been told.
	Prefixes []string `json:"prefixes"`
	// Announcers counts the nodes of the fleet that announce, this one
	// included, as far as it knows.
	Announcers int     `json:"announcers"`
	Others     []Known `json:"others"`
}

// Status returns how things are now.
func (a *Announcer) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	in := Input{Now: now, Results: a.results(), Order: a.order}
	d := a.state.Decide(in, a.cfg.Rules)
	s := Status{
		Rung: a.state.Rung, Since: a.state.Since, Wanted: max(d.Step.To, a.order.Floor), Reasons: orNone(d.Reasons),
		Held: cmp.Or(d.Held, a.decision.Held), Refusals: orNone(slices.Clone(a.refusals)), Order: a.order, Checks: orNone(in.Results),
		Overrides: []Override{}, Prefixes: []string{}, Others: a.view.List(now),
	}
	for _, o := range a.overrides {
		if now.Before(o.Until) {
			s.Overrides = append(s.Overrides, o)
		}
	}
	slices.SortFunc(s.Overrides, func(x, y Override) int { return cmp.Compare(x.Interlock, y.Interlock) })
	r := a.record()
	for _, p := range r.Prefixes {
		s.Prefixes = append(s.Prefixes, p.String())
	}
	if r.Announces {
		s.Announcers++
	}
	for _, h := range a.view.fresh(a.cfg.Rules, now) {
		if h.Announces {
			s.Announcers++
		}
	}
	return s
}

// Plan is what a step would change.
type Plan struct {
	// Now and After count nodes that announce, by PoP.
	Now   map[string]int `json:"announcers_now"`
	After map[string]int `json:"announcers_after"`
	// Refusals are the interlocks in its way, Passed those that are not.
	Refusals []Refusal   `json:"refusals"`
	Passed   []Interlock `json:"passed"`
}

// Plan judges a step down without taking it: an operator's, as far as To.
func (a *Announcer) Plan(step Step) Plan {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, self := time.Now(), a.record()
	p := Plan{Now: map[string]int{}, After: map[string]int{}, Passed: []Interlock{}}
	count := func(r Record) {
		if !r.serves() {
			return
		}
		p.Now[r.Pop]++
		if r.Node != self.Node && !(step.Wide && r.Pop == self.Pop) {
			p.After[r.Pop]++
		}
	}
	count(self)
	for _, h := range a.view.fresh(a.cfg.Rules, now) {
		count(h.Record)
	}
	p.Refusals = orNone(a.pass(Judge(a.judged(), step, &a.view, Record.serves, a.cfg.Rules, now), now))
	for _, i := range []Interlock{LastAnnouncer, MinNodes, MinPops, NoView} {
		if !slices.ContainsFunc(p.Refusals, func(r Refusal) bool { return r.Interlock == i }) {
			p.Passed = append(p.Passed, i)
		}
	}
	return p
}

// orNone makes JSON say [] and not null.
func orNone[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
