package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// The lines are those of go 1.26.
const (
	passed = `{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
`
	skipped = `{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: needs the command bird (Debian package bird2)\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB","Elapsed":0}
`
	failed = `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:9: 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestC","Elapsed":0}
`
	panicked = `{"Action":"output","Package":"p","Test":"TestD","Output":"panic: BUG: oh\n"}
{"Action":"fail","Package":"p","Elapsed":1}
`
	unbuilt = `{"ImportPath":"p","Action":"build-output","Output":"p.go:3:1: syntax error\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p","Elapsed":0,"FailedBuild":"p"}
`
	raced = `{"Action":"output","Package":"p","Test":"TestE","Output":"WARNING: DATA RACE\n"}
{"Action":"fail","Package":"p","Test":"TestE","Elapsed":0}
`
	sub = `{"Action":"output","Package":"p","Test":"TestC/sub","Output":"    c_test.go:8: deep\n"}
{"Action":"fail","Package":"p","Test":"TestC/sub","Elapsed":0}
`
	passedNow = `{"Action":"output","Package":"p","Test":"TestC","Output":"--- PASS: TestC\n"}
{"Action":"pass","Package":"p","Test":"TestC","Elapsed":0}
`
	packageOK = `{"Action":"pass","Package":"p","Elapsed":1.5}` + "\n"
	// A package whose tests all had their turn.
	packageFail = `{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p","Elapsed":1.5}
`
	packageEnd = `{"Action":"fail","Package":"p","Elapsed":1.5}` + "\n"
)

// replay is a tester that prints texts one after the other, and notes what
// it was asked to run.
type replay struct {
	texts []string
	args  []string
}

func (r *replay) test(args []string, read func(io.Reader) error) error {
	r.args = append(r.args, strings.Join(args, " "))
	if len(r.texts) == 0 {
		return errors.New("BUG: ran once too often")
	}
	text := r.texts[0]
	r.texts = r.texts[1:]
	err := read(strings.NewReader(text))
	if err == nil && strings.Contains(text, `"fail"`) {
		err = errFailed
	}
	return err
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name  string
		in    string
		all   bool
		ok    bool
		says  []string
		never string
	}{
		{name: "passed", in: passed + packageOK, ok: true, says: []string{"ok    p (1.5s)", "tests: 1 passed, 0 failed, 0 skipped"}, never: "noise"},
		{name: "skipped", in: skipped + packageOK, ok: true, says: []string{"skipped p TestB: needs the command bird (Debian package bird2)"}},
		{name: "skipped but all are wanted", in: skipped + packageOK, all: true, says: []string{"1 skipped"}},
		{name: "plain text", in: "go: cannot find main module\n", says: []string{"cannot find main module"}},
		{name: "nothing", in: ""},
		{name: "no test", in: `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s [no tests to run]\n"}` + "\n" + packageOK, says: []string{"-     p"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := replay{texts: []string{c.in}}
			var out strings.Builder
			ok, err := report(r.test, [][]string{nil}, &out, c.all)
			if ok != c.ok || (err != nil && ok) {
				t.Errorf("ok %t, %v, want %t", ok, err, c.ok)
			}
			for _, s := range c.says {
				if !strings.Contains(out.String(), s) {
					t.Errorf("%q is missing in:\n%s", s, out.String())
				}
			}
			if c.never != "" && strings.Contains(out.String(), c.never) {
				t.Errorf("%q is in:\n%s", c.never, out.String())
			}
		})
	}
}

// TestAgain: what is run a second time, and what comes of it.
func TestAgain(t *testing.T) {
	args := []string{"-race", "-run=Test", "-p=1", "./..."}
	const just, whole = "-race -run=Test -p=1 -run=^(TestC)$ p", "-race -run=Test -p=1 p"
	for _, c := range []struct {
		name   string
		first  string
		second string
		again  string // arguments, "" when nothing is run again
		ok     bool
		says   []string
	}{
		{
			"a flaky test", passed + sub + failed + packageFail, passedNow + packageOK, just, true,
			[]string{"\nFLAKY p TestC\nfailed:\n    c_test.go:8: deep\n    c_test.go:9: 1, want 2\n\nthen passed:\n--- PASS: TestC\n", "2 passed, 0 failed, 0 skipped, 1 FLAKY", "  FLAKY   p TestC: failed, then passed"},
		},
		{"a test that fails", passed + failed + packageFail, failed + packageFail, just, false, []string{"c_test.go:9: 1, want 2", "FAIL  p", "FAILED  p TestC"}},
		{"a test that is not there again", failed + packageFail, packageOK, just, false, []string{"FAILED  p TestC"}},
		{"a test that is skipped then", failed + packageFail, strings.ReplaceAll(skipped, "TestB", "TestC") + packageOK, just, false, []string{"FAILED  p TestC"}},
		{"a race in the second run", failed + packageFail, passedNow + raced + packageFail, just, false, []string{"FAILED  p TestC"}},
		{"a race that is only printed", failed + packageFail, strings.Replace(passedNow, "--- PASS", "DATA RACE", 1) + packageOK, just, false, []string{"FAILED  p TestC"}},
		{"the package ended with the test", failed + packageEnd, passed + passedNow + packageOK, whole, true, []string{"1 FLAKY"}},
		{"another test fails then", failed + packageEnd, passedNow + raced + packageFail, whole, false, []string{"FAILED  p TestC"}},
		{"a race", failed + raced + packageFail, "", "", false, []string{"there was a data race", "FAILED  p TestE"}},
		{
			"a race of a process of another test", strings.Replace(passed, "noise", "DATA RACE", 1) + failed + packageFail, passedNow + packageOK, just, true,
			[]string{"p TestA: a data race, though the test passed\nDATA RACE\n", "1 FLAKY", "  RACE    p TestA"},
		},
		{"a panic of nobody", panicked, "", "", false, []string{"panic: BUG: oh", "none of its tests did", "FAILED  p"}},
		{"not built", passed + packageOK + unbuilt, "", "", false, []string{"syntax error", "FAILED  p"}},
		{"not built, beside a test", failed + packageFail + strings.ReplaceAll(unbuilt, `"p"`, `"q"`), "", "", false, []string{"syntax error", "FAILED  p TestC"}},
		{"many", failures(mostAgain+1) + packageFail, "", "", false, []string{"4 tests failed, more than 3"}},
		{
			"not so many", failures(mostAgain) + packageFail, strings.ReplaceAll(failures(mostAgain), "fail", "pass") + packageOK,
			"-race -run=Test -p=1 -run=^(TestF0|TestF1|TestF2)$ p", true,
			[]string{"3 FLAKY"},
		},
		{"all but one", failures(2) + packageFail, strings.Replace(failures(2), "fail", "pass", 1) + packageFail, "-race -run=Test -p=1 -run=^(TestF0|TestF1)$ p", false, []string{"FAILED  p TestF1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := replay{texts: []string{c.first, c.second}}
			var out strings.Builder
			if ok, err := report(r.test, [][]string{args}, &out, true); ok != c.ok || err != nil {
				t.Errorf("ok %t, %v, want %t", ok, err, c.ok)
			}
			want := []string{strings.Join(args, " ")}
			if c.again != "" {
				want = append(want, c.again)
			}
			if !slices.Equal(r.args, want) {
				t.Errorf("ran %q, want %q", r.args, want)
			}
			for _, s := range c.says {
				if !strings.Contains(out.String(), s) {
					t.Errorf("%q is missing in:\n%s", s, out.String())
				}
			}
			if !c.ok && strings.Contains(out.String(), "FLAKY") {
				t.Errorf("a failure is called flaky:\n%s", out.String())
			}
		})
	}
}

// failures is so many tests that fail.
func failures(n int) (text string) {
	for i := range n {
		text += strings.ReplaceAll(failed, "TestC", "TestF"+string(rune('0'+i)))
	}
	return text
}

// TestSeveralRuns: each is read, and what failed is run again with its own
// flags.
func TestSeveralRuns(t *testing.T) {
	r := replay{texts: []string{
		passed + packageOK,
		strings.ReplaceAll(failed+packageFail, `"p"`, `"q"`),
		strings.ReplaceAll(passedNow+packageOK, `"p"`, `"q"`),
	}}
	runs := split([]string{"-race", "p", "--", "-p=1", "q"})
	if ok, err := report(r.test, runs, io.Discard, false); !ok || err != nil {
		t.Errorf("ok %t, %v", ok, err)
	}
	if want := []string{"-race p", "-p=1 q", "-p=1 -run=^(TestC)$ q"}; !slices.Equal(r.args, want) {
		t.Errorf("ran %q, want %q", r.args, want)
	}
}

// TestUnexplainedFailure: go test itself may fail where no test did.
func TestUnexplainedFailure(t *testing.T) {
	test := func(_ []string, read func(io.Reader) error) error {
		return errors.Join(read(strings.NewReader(passed+packageOK)), errFailed)
	}
	if ok, err := report(test, [][]string{nil}, io.Discard, false); ok || err == nil {
		t.Errorf("ok %t, %v", ok, err)
	}
}
