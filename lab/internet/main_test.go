package internet

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// binary is the program, built once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

// buildAndRun builds the program without the race detector: the scenarios
// have bounds on time.
func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "landfall-internet-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "landfall")
	// Without the profile, packages need not be compiled a second time.
	if out, err := exec.Command("go", "build", "-pgo=off", "-o", binary, "../../cmd/landfall").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// labName is a name that no other process uses.
func labName(t *testing.T, suffix string) string {
	t.Helper()
	testneed.Linux(t)
	testneed.Root(t)
	testneed.Command(t, "ip", "iproute2")
	testneed.Command(t, "birdc", "bird2")
	name := fmt.Sprintf("t%d%s", os.Getpid(), suffix)
	t.Cleanup(func() {
		if out, err := exec.Command(binary, "lab", "down", "--name", name).CombinedOutput(); err != nil {
			t.Errorf("down: %v: %s", err, out)
		}
		checkGone(t, name)
	})
	return name
}

// lab runs a verb of landfall lab, and returns what it printed and its exit
// code.
func lab(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"lab"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// checkGone holds that nothing of a lab is left.
func checkGone(t *testing.T, name string) {
	t.Helper()
	if left := leftovers(name); left != "" {
		t.Errorf("left of lab %s: %s", name, left)
	}
}

func leftovers(name string) string {
	var left []string
	spaces, _ := filepath.Glob("/run/netns/lf-" + name + "-*")
	left = append(left, spaces...)
	dir := filepath.Join(os.TempDir(), "landfall-lab-"+name)
	if _, err := os.Stat(dir); err == nil {
		left = append(left, dir)
	}
	// Every process of a lab names the lab's folder or its options.
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		text, err := os.ReadFile(file)
		if err == nil && (bytes.Contains(text, []byte(dir+"/")) || bytes.Contains(text, []byte(`"name":"`+name+`"`))) {
			left = append(left, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return strings.Join(left, ", ")
}

// waitFor polls until a condition holds; a long bound ends a wait that is
// in vain.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; {
		if ok() {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("no %s", what)
}
