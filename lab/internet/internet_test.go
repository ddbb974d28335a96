package internet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// fairly lets what is measured run although other processes want the
// machine: it is what a node does under such a load that is of interest
// elsewhere.
func fairly(t *testing.T) {
	t.Helper()
	before, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	must(t, syscall.Setpriority(syscall.PRIO_PROCESS, 0, -10))
	t.Cleanup(func() { must(t, syscall.Setpriority(syscall.PRIO_PROCESS, 0, 20-before)) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestScenarios runs all scenarios with BIRD. One that is skipped is one
// that the program cannot do yet.
func TestScenarios(t *testing.T) {
	name := labName(t, "b")
	fairly(t)
	out, errs, code := lab(t, "run", "--name", name, "all")
	t.Logf("%s", out)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if !strings.Contains(out, " scenarios in ") {
		t.Error("there is no table")
	}
}

// TestScenariosWithFRR runs what depends on routers with other routers.
func TestScenariosWithFRR(t *testing.T) {
	testneed.Command(t, "bgpd", "frr")
	name := labName(t, "f")
	fairly(t)
	out, errs, code := lab(t, "run", "--name", name, "--routers", "frr", "nearest", "prepend", "local-pref", "gshut")
	t.Logf("%s", out)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// status is what landfall lab status -o json prints, as far as it is of
// interest here.
type status struct {
	Supervisor int `json:"supervisor"`
	Landings   []struct {
		Client, Family, Pop, Node, Problem string
		Path                               []uint32 `json:"as_path"`
	} `json:"landings"`
	Pops []struct {
		Name      string   `json:"name"`
		Announced []string `json:"announced"`
		Nodes     []struct {
			Name   string   `json:"name"`
			Pid    int      `json:"pid"`
			Routes []string `json:"routes"`
		} `json:"nodes"`
	} `json:"pops"`
	Down []any `json:"sessions_down"`
}

func statusOf(t *testing.T, name string) (s status) {
	t.Helper()
	out, errs, code := lab(t, "status", "--name", name, "-o", "json")
	if code != 0 {
		t.Fatalf("status: exit code %d: %s", code, errs)
	}
	must(t, json.Unmarshal([]byte(out), &s))
	return s
}

// checkWhole holds that a lab is as one that has just come up.
func checkWhole(t *testing.T, name string) {
	t.Helper()
	s := statusOf(t, name)
	if len(s.Down) > 0 {
		t.Errorf("%s: sessions down: %v", name, s.Down)
	}
	home := map[string]string{"e1": "a", "e2": "b"}
	for _, l := range s.Landings {
		if l.Problem != "" || home[l.Client] != "" && l.Pop != home[l.Client] || len(l.Path) != 2 {
			t.Errorf("%s: landing %+v", name, l)
		}
	}
	if len(s.Landings) != 6 || len(s.Pops) != 2 {
		t.Errorf("%s: %d landings, %d PoPs", name, len(s.Landings), len(s.Pops))
	}
	for _, p := range s.Pops {
		for _, n := range p.Nodes {
			if n.Pid == 0 || len(n.Routes) != 2 {
				t.Errorf("%s: node %+v", name, n)
			}
		}
		if len(p.Announced) != 2 || len(p.Nodes) != 3 {
			t.Errorf("%s: PoP %+v", name, p)
		}
	}
}

// TestTwoLabsBesideEachOther starts two at once, draws one, kills the
// supervisor of the other, and sees that nothing is left of that one and all
// of the first.
func TestTwoLabsBesideEachOther(t *testing.T) {
	one, two := labName(t, "x"), labName(t, "y")
	var starting sync.WaitGroup
	for _, name := range []string{one, two} {
		starting.Go(func() {
			if _, errs, code := lab(t, "up", "--name", name); code != 0 {
				t.Errorf("up %s: exit code %d: %s", name, code, errs)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		return
	}
	checkWhole(t, one)
	checkWhole(t, two)
	if _, errs, code := lab(t, "up", "--name", one); code == 0 || !strings.Contains(errs, "is up already") {
		t.Errorf("a second up: exit code %d: %s", code, errs)
	}
	drawn, _, _ := lab(t, "status", "--name", one)
	for _, s := range []string{"client in e1", "by 64496 64500", "PoP b, AS 64500", "announced; t2 goes by 64500"} {
		if !strings.Contains(drawn, s) {
			t.Errorf("the drawing does not have %q:\n%s", s, drawn)
		}
	}

	must(t, syscall.Kill(statusOf(t, two).Supervisor, syscall.SIGKILL))
	waitFor(t, "end of the killed lab", func() bool { return leftovers(two) == "" })
	checkWhole(t, one)
	if out, errs, code := lab(t, "down", "--name", one); code != 0 {
		t.Errorf("down: exit code %d: %s%s", code, out, errs)
	}
	checkGone(t, one)
	if _, errs, code := lab(t, "status", "--name", one); code == 0 || !strings.Contains(errs, "landfall lab up") {
		t.Errorf("status of none: exit code %d: %s", code, errs)
	}
}

// TestOwnScenario runs one from a file, and has it fail.
func TestOwnScenario(t *testing.T) {
	name := labName(t, "o")
	dir := t.TempDir()
	good, bad, broken := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "broken.yaml")
	must(t, os.WriteFile(good, []byte("name: mine\nsteps:\n  - do: landfall node list\n    at: b3\n  - expect: [{ node: b3, admin: active }]\n"), 0o600))
	must(t, os.WriteFile(bad, []byte("name: not-so\nload: { clients: [e2], new: 5 }\nsteps:\n  - do: landfall node drain nobody\n    exit: 0\nmust: { requests: \">= 1000000\" }\n"), 0o600))
	must(t, os.WriteFile(broken, []byte("name: x\nsteps:\n  - do: kill z9\n"), 0o600))

	if _, errs, code := lab(t, "run", "--name", name, broken); code != 2 || !strings.Contains(errs, broken+":3: do: expected kill NODE") {
		t.Errorf("a broken file: exit code %d: %s", code, errs)
	}
	out, errs, code := lab(t, "run", "--name", name, good, bad)
	if code != 1 || !strings.Contains(errs, "not-so failed") || strings.Contains(errs, "mine failed") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	rows := strings.Split(out, "\n")
	for _, want := range [][]string{{"mine", "node b3 admin active", "ok"}, {"not-so", "exit code 0", "exit code 2", "FAILED"}, {"not-so", "requests v4", ">= 1000000", "FAILED"}} {
		if !slices.ContainsFunc(rows, func(row string) bool {
			return !slices.ContainsFunc(want, func(s string) bool { return !strings.Contains(row, s) })
		}) {
			t.Errorf("no row has %q:\n%s", want, out)
		}
	}
	checkGone(t, name)
}
