package main

import (
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
	packageOK   = `{"Action":"pass","Package":"p","Elapsed":1.5}` + "\n"
	packageFail = `{"Action":"fail","Package":"p","Elapsed":1.5}` + "\n"
)

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
		{name: "failed", in: passed + failed + packageFail, says: []string{"c_test.go:9: 1, want 2", "FAIL  p", "FAILED  p TestC"}, never: "noise"},
		{name: "panicked", in: panicked, says: []string{"panic: BUG: oh", "FAILED  p"}},
		{name: "not built", in: unbuilt, says: []string{"syntax error"}},
		{name: "plain text", in: "go: cannot find main module\n", says: []string{"cannot find main module"}},
		{name: "nothing", in: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			ok, err := report(strings.NewReader(c.in), &out, c.all)
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
