// Package health gathers what the parts of a node say of themselves into
// one answer: ready or not, by which check, and what is wrong although the
// node is ready. It checks nothing by itself and changes nothing.
package health

import (
	"slices"
	"strings"
	"sync"
)

// Check returns nil while its part can serve.
type Check func() error

// Problems returns what a part has to complain about while it serves.
type Problems func() []string

// Set is the checks of one node.
type Set struct {
	// Guarded by mu.
	mu       sync.Mutex
	checks   map[string]Check
	problems map[string]Problems
}

// Require adds a check that must pass for the node to be ready. A second
// one of the same name replaces the first.
func (s *Set) Require(name string, c Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checks == nil {
		s.checks = map[string]Check{}
	}
	s.checks[name] = c
}

// Report adds a source of problems that do not make the node unready.
func (s *Set) Report(name string, p Problems) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problems == nil {
		s.problems = map[string]Problems{}
	}
	s.problems[name] = p
}

// Result is one check's answer.
type Result struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// Problem is one complaint.
type Problem struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Verdict is the answer of a node.
type Verdict struct {
	Ready    bool      `json:"ready"`
	Checks   []Result  `json:"checks"`
	Problems []Problem `json:"problems,omitempty"`
}

// Verdict asks every part, in the order of names.
func (s *Set) Verdict() Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := Verdict{Ready: true, Checks: []Result{}}
	for name, check := range s.checks {
		r := Result{Name: name, OK: true}
		if err := check(); err != nil {
			r.OK, r.Error, v.Ready = false, err.Error(), false
		}
		v.Checks = append(v.Checks, r)
	}
	for name, problems := range s.problems {
		for _, text := range problems() {
			v.Problems = append(v.Problems, Problem{Name: name, Text: text})
		}
	}
	slices.SortFunc(v.Checks, func(a, b Result) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(v.Problems, func(a, b Problem) int { return strings.Compare(a.Name, b.Name) })
	return v
}

// Ready reports whether every required check passes.
func (s *Set) Ready() bool { return s.Verdict().Ready }
