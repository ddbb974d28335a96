package scenario

import (
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/lab/load"
	"github.com/landfall-cdn/landfall/lab/scenarios"
)

func TestShippedScenariosAreGood(t *testing.T) {
	for _, name := range scenarios.Names() {
		file, text, err := scenarios.Text(name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(file, text)
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Name != name || s.About == "" {
			t.Errorf("%s: name %q, about %q", file, s.Name, s.About)
		}
	}
}

func TestParse(t *testing.T) {
	s, err := Parse("x.yaml", []byte(`
name: x
needs: [bfd, landfall pop drain]
load: { clients: [e1], new: 20, downloads: 2, flows: 12 }
steps:
  - do: landfall node drain a2 --deadline 20s
    background: true
    exit: [0, 3]
    at: a1
    then:
      - { node: a2, route: absent, family: v4, within: 350ms }
  - do: border b prepend 3 med 7 community 64496:80 gshut
  - wait: 2s
  - expect: [{ router: t1, path: "64497 64500" }]
always: [{ pop: a, announced: "yes" }]
must: { failed: 0, requests: ">= 30", longest_gap: 50ms }
`))
	if err != nil {
		t.Fatal(err)
	}
	do := s.Steps[0].Do
	if do.Verb != "landfall" || !do.Background || len(do.Exit) != 2 || do.At != "a1" || len(do.Words) != 5 {
		t.Errorf("action %+v", do)
	}
	if c := s.Steps[0].Then[0]; c.Within != 350*time.Millisecond || len(c.Families) != 1 || c.Text() != "node a2 route absent" {
		t.Errorf("check %+v", c)
	}
	if p := s.Steps[1].Do.Policy; p.Prepend != 3 || *p.MED != 7 || strings.Join(p.Communities, " ") != "64496:80 65535:0" {
		t.Errorf("policy %+v", p)
	}
	if len(s.Always) != 1 || len(s.Always[0].Families) != 2 || s.Steps[2].Wait != 2*time.Second {
		t.Errorf("scenario %+v", s)
	}
	r := load.Report{Requests: 30, Gap: 40 * time.Millisecond}
	for _, b := range s.Must {
		if ok, measured := b.holds(r); !ok {
			t.Errorf("%s must be %s, and %s is not", b.Figure, b.Text(), measured)
		}
	}
	r = load.Report{Requests: 29, Lost: 1, Gap: 51 * time.Millisecond}
	for _, b := range s.Must {
		if ok, measured := b.holds(r); ok {
			t.Errorf("%s must be %s, and %s is", b.Figure, b.Text(), measured)
		}
	}
}

// TestErrorsSayWhere holds each error to the line that it is in and to what
// helps.
func TestErrorsSayWhere(t *testing.T) {
	for _, c := range []struct {
		name, text string
		says       string
	}{
		{"empty", "", "x.yaml: is empty"},
		{"no mapping", "- a", "x.yaml:1: scenario: expected a mapping"},
		{"not YAML", "name: [", "x.yaml: "},
		{"two documents", "name: x\nsteps: [{wait: 1s}]\n---\nname: y\n", "a second document"},
		{"unknown key", "name: x\nsteps: [{wait: 1s}]\nlod: {}\n", `x.yaml:3: scenario: unknown key "lod"; known are about,`},
		{"twice", "name: x\nname: y\nsteps: [{wait: 1s}]\n", "x.yaml:2: scenario: name is there twice"},
		{"no steps", "name: x\n", "x.yaml:1: scenario: steps is missing"},
		{"must without load", "name: x\nsteps: [{wait: 1s}]\nmust: {failed: 0}\n", "add load"},
		{"no such client", "name: x\nload: {clients: [e9]}\nsteps: [{wait: 1s}]\n", `x.yaml:2: client "e9": expected one of e1, e2, e3`},
		{"too much load", "name: x\nload: {clients: [e1], new: 501}\nsteps: [{wait: 1s}]\n", `"501": expected a whole number from 0 to 500`},
		{"two things in a step", "name: x\nsteps:\n  - { wait: 1s, do: kill a1 }\n", "x.yaml:3: step: expected one of do, wait, expect and gap"},
		{"then without do", "name: x\nsteps:\n  - { wait: 1s, exit: 3 }\n", "x.yaml:3: step: exit goes with do"},
		{"unknown action", "name: x\nsteps:\n  - do: explode a1\n", `x.yaml:3: do: unknown action "explode"; known are border,`},
		{"no such node", "name: x\nsteps:\n  - do: kill a9\n", "x.yaml:3: do: expected kill NODE"},
		{"no such link", "name: x\nsteps:\n  - do: link t1-x down\n", "x.yaml:3: do: expected link LEFT-RIGHT"},
		{"half a policy", "name: x\nsteps:\n  - do: border a prepend\n", "x.yaml:3: do: expected border POP"},
		{"too many prepends", "name: x\nsteps:\n  - do: border a prepend 9\n", `x.yaml:3: "9": expected a whole number from 0 to 8`},
		{"no community", "name: x\nsteps:\n  - do: border a community 80\n", `community "80": expected two numbers`},
		{"no time", "name: x\nsteps:\n  - wait: soon\n", `x.yaml:3: "soon": expected a time`},
		{"negative time", "name: x\nsteps:\n  - wait: -1s\n", `x.yaml:3: "-1s": expected a time`},
		{"about nothing", "name: x\nsteps:\n  - expect: [{ lands: a }]\n", "check: expected what it is about"},
		{"two subjects", "name: x\nsteps:\n  - expect: [{ node: a1, pop: a, route: absent }]\n", "make another check"},
		{"not of a client", "name: x\nsteps:\n  - expect: [{ client: e1, route: absent }]\n", "check of a client: expected one of lands"},
		{"lands nowhere", "name: x\nsteps:\n  - expect: [{ client: e1, lands: c }]\n", `lands "c": expected a PoP, a node`},
		{"no path", "name: x\nsteps:\n  - expect: [{ router: t1, path: t2 b }]\n", "expected AS numbers"},
		{"no list", "name: x\nsteps: 3\n", "x.yaml:2: steps: expected a list"},
		{"nothing to check", "name: x\nsteps:\n  - expect: []\n", "expect: is empty"},
		{"unknown figure", "name: x\nload: {clients: [e1]}\nsteps: [{wait: 1s}]\nmust: {errors: 0}\n", `x.yaml:4: must: unknown figure "errors"; known are broken,`},
		{"unknown need", "name: x\nneeds: [luck]\nsteps: [{wait: 1s}]\n", `x.yaml:2: needs: "luck"`},
		{"too large", "name: x\n#" + strings.Repeat("x", MaxFile), "is larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range scenarios.Names() {
		_, text, err := scenarios.Text(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("name: &x\nsteps: [*x]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("x.yaml", text)
		if err == nil && (s == nil || s.Name == "" || s.Steps == nil) {
			t.Errorf("taken although it says nothing: %q", text)
		}
		if err != nil && !strings.Contains(err.Error(), "x.yaml") {
			t.Errorf("error %q does not say where", err)
		}
	})
}

func TestLateIsTriedAgainWrongIsNot(t *testing.T) {
	for _, c := range []struct {
		name string
		rows []Row
		want bool
	}{
		{"all well", []Row{{OK: true}}, false},
		{"late", []Row{{OK: true}, {Late: true}}, true},
		{"wrong", []Row{{}}, false},
		{"late and wrong", []Row{{Late: true}, {}}, false},
	} {
		if got := late(c.rows); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTableTellsWhatFailed(t *testing.T) {
	var b strings.Builder
	ok := Write(&b, []Result{
		{Name: "good", Tries: [][]Row{{{What: "x", Must: "so", Measured: "1ms", OK: true}}}},
		{Name: "slow", Tries: [][]Row{{{What: "gap", Must: "<= 50ms", Measured: "70ms", Late: true}}, {{What: "gap", Must: "<= 50ms", Measured: "20ms", OK: true}}}},
		{Name: "bad", Tries: [][]Row{{{What: "failed", Must: "= 0", Measured: "3"}}}},
		{Name: "left", Skipped: "needs luck"},
	})
	if ok {
		t.Error("all well, it says")
	}
	for _, s := range []string{"slow, try 1", "70ms", "slow, try 2", "20ms", "FAILED: bad", "needs luck"} {
		if !strings.Contains(b.String(), s) {
			t.Errorf("the table does not say %q:\n%s", s, b.String())
		}
	}
}
