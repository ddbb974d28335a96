package pop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// printed returns the commands of a greeting that begin with a program's
// name, without the remarks behind them.
func printed(greeting, program string) (commands []string) {
	for line := range strings.Lines(greeting) {
		command, _, _ := strings.Cut(strings.TrimSpace(line), "     ")
		if strings.HasPrefix(command, program+" ") {
			commands = append(commands, command)
		}
	}
	return commands
}

// TestDevNodes pastes what `landfall dev --nodes 3` prints: it serves, says
// who owns a key, and serves on when a node is killed.
func TestDevNodes(t *testing.T) {
	testneed.Linux(t)
	testneed.Command(t, "curl", "curl")
	dir := t.TempDir()
	args := []string{"dev", "--nodes", "3", "--dir", dir}
	for _, flag := range []string{"--listen", "--http", "--admin", "--peer", "--gossip"} {
		args = append(args, flag, "127.0.0.1:0")
	}
	dev := launch(t, exec.Command(binary, args...))
	waitFor(t, "greeting", func() bool {
		select {
		case <-dev.ended:
			t.Fatalf("it ended: %v", dev.cmd.ProcessState)
		default:
		}
		return strings.Contains(dev.output(), "Ctrl-C stops")
	})
	greeting := dev.output()
	t.Logf("it says:\n%s", greeting)
	paste := func(command string) string {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	curls := printed(greeting, "curl")
	if len(curls) != 3 {
		t.Fatalf("it prints %d curl lines for 3 nodes", len(curls))
	}
	fetchAll := func() {
		t.Helper()
		for _, command := range curls {
			if out := paste(command); !strings.Contains(strings.ToLower(out), "cache-status: landfall") {
				t.Errorf("%s answers\n%s", command, out)
			}
		}
	}
	fetchAll()
	owners := printed(greeting, "landfall ring locate")
	kills := printed(greeting, "kill")
	if len(owners) == 0 || len(kills) == 0 {
		t.Fatal("it does not say how to see the owner of a key, and how to kill a node")
	}
	show := func(program string) {
		t.Helper()
		for _, command := range printed(greeting, program) {
			t.Logf("%s:\n%s", command, paste(command))
		}
	}
	show("landfall ring locate")
	show("landfall node")
	paste(kills[0])
	curls = curls[:len(curls)-1] // that of the node which was killed
	fetchAll()
	waitFor(t, "node that is gone", func() bool { return strings.Contains(paste(printed(greeting, "landfall node list")[0]), "gone") })
	show("landfall ring locate")
	must(t, dev.cmd.Process.Signal(os.Interrupt))
	if code := dev.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
