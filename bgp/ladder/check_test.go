package ladder

import (
	"errors"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

var errBad = errors.New("does not answer")

// TestTracker: a verdict takes several results in a row.
func TestTracker(t *testing.T) {
	rules := Rules{Fall: 3, Rise: 2}
	for _, tc := range []struct {
		name    string
		results string // + and -
		failing string // after each: f fails, . does not
		known   bool
	}{
		{name: "nothing yet", known: false},
		{name: "good", results: "+", failing: ".", known: true},
		{name: "two bad ones", results: "+--", failing: "...", known: true},
		{name: "three bad ones", results: "+---", failing: "...f", known: true},
		{name: "bad ones with a good one between", results: "+--+--", failing: "......", known: true},
		{name: "recovers", results: "+---+-++", failing: "...ffff.", known: true},
		{name: "bad from the start", results: "--", failing: "..", known: false},
		{name: "failing from the start", results: "---", failing: "..f", known: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr, got := Tracker{Name: "vip"}, ""
			for i, r := range tc.results {
				var err error
				if r == '-' {
					err = errBad
				}
				tr.Note(err, rules, noon.Add(time.Duration(i)*time.Second))
				mark := "."
				if tr.Failing() {
					mark = "f"
				}
				got += mark
			}
			if got != tc.failing || tr.Result().Known != tc.known {
				t.Errorf("%s, known %v; want %s, %v", got, tr.Result().Known, tc.failing, tc.known)
			}
		})
	}
}

// TestResultNamesTheReason: what fails is said while it is suspected.
func TestResultNamesTheReason(t *testing.T) {
	var tr Tracker
	tr.Note(errBad, DefaultRules(), noon)
	if r := tr.Result(); !r.Suspect || r.Failing || r.Reason != errBad.Error() {
		t.Errorf("%+v", r)
	}
	tr.Note(nil, DefaultRules(), noon)
	if r := tr.Result(); r.Suspect || r.Reason != "" {
		t.Errorf("%+v", r)
	}
}

// TestOnlyHardChecksWithdraw: no other class leads below deprefer.
func TestOnlyHardChecksWithdraw(t *testing.T) {
	want := map[Class]bgp.Rung{SelfHard: bgp.Withdrawn, SelfSoft: bgp.Deprefer, Pop: bgp.Deprefer, Shared: bgp.Normal}
	for c := range numClasses {
		if c.rung() != want[c] {
			t.Errorf("%s leads to %s, want %s", c, c.rung(), want[c])
		}
	}
}
