package ladder

import (
	"fmt"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// Class says what a check that fails may do to the announcement. The word
// is given when the check is defined, never when it fails.
type Class uint8

const (
	// SelfHard is about this node alone, and what fails is its service: its
	// own VIP does not answer. It may withdraw the node.
	SelfHard Class = iota
	// SelfSoft is about this node alone, which still serves: it may make
	// the node less preferred.
	SelfSoft
	// Pop is about what the nodes of a PoP have in common. It may make them
	// less preferred; only an operator withdraws a PoP.
	Pop
	// Shared is about what PoPs have in common: an origin, the control
	// plane, a certificate authority, DNS. Every node sees the same failure
	// and would take the same reasonable step, until nobody is left; so it
	// does nothing to the announcement.
	Shared
	numClasses
)

// String returns the name as logs and status output spell it.
func (c Class) String() string {
	if c >= numClasses {
		return fmt.Sprintf("class-%d", uint8(c))
	}
	return [numClasses]string{"self-hard", "self-soft", "pop", "shared"}[c]
}

// MarshalText implements encoding.TextMarshaler.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// rung is the lowest rung that a failing check of the class asks for.
func (c Class) rung() bgp.Rung {
	switch c {
	case SelfHard:
		return bgp.Withdrawn
	case SelfSoft, Pop:
		return bgp.Deprefer
	default: // Shared, which moves nothing
		return bgp.Normal
	}
}

// Check is one question about the node, asked every Rules.Interval.
type Check struct {
	Name  string // unique, short; other nodes compare it
	Class Class
	// Run returns nil while all is well. It returns within the interval.
	Run func() error
}

// Tracker makes a verdict of the results of one check: it takes fall bad
// ones in a row to fail and rise good ones to recover, so that one lost
// packet moves nothing. The zero Tracker has failed nothing yet and passes
// from its first good result on.
type Tracker struct {
	Name  string
	Class Class

	passed  bool // it ever did
	failing bool
	streak  int // results in a row that speak against failing
	since   time.Time
	reason  string // of the last bad result
	suspect bool   // the last result was bad
}

// Note takes one result.
func (t *Tracker) Note(err error, rules Rules, now time.Time) {
	t.suspect = err != nil
	if err != nil {
		t.reason = err.Error()
	}
	against, limit := err != nil, rules.Fall
	if t.failing {
		against, limit = err == nil, rules.Rise
	}
	if !t.passed && err == nil && !t.failing {
		t.passed, t.since = true, now
	}
	if !against {
		t.streak = 0
		return
	}
	if t.streak++; t.streak >= limit {
		t.failing, t.streak, t.since = !t.failing, 0, now
		t.passed = t.passed || !t.failing
	}
}

// Failing tells whether the check has failed often enough.
func (t *Tracker) Failing() bool { return t.failing }

// Result is a check as others see it.
type Result struct {
	Name    string    `json:"name"`
	Class   Class     `json:"class"`
	Failing bool      `json:"failing"`
	Suspect bool      `json:"suspect"` // the last result was bad, whatever counts
	Since   time.Time `json:"since"`   // of Failing
	Reason  string    `json:"reason,omitempty"`
	// Known tells whether the check has passed once or failed for good: a
	// node that has not been looked at is not announced.
	Known bool `json:"known"`
}

// Result returns what the check comes to.
func (t *Tracker) Result() Result {
	r := Result{Name: t.Name, Class: t.Class, Failing: t.failing, Suspect: t.suspect || t.failing, Since: t.since, Known: t.passed || t.failing}
	if r.Suspect {
		r.Reason = t.reason
	}
	return r
}
