package runbooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/testneed"
	"github.com/landfall-cdn/landfall/lab/inet"
)

const folder = "../../docs/operate/runbooks"

// order is that of the test: each page leaves the lab as it found it.
var order = []string{"add-a-node.md", "drain-a-node.md", "roll-a-pop.md", "node-down.md", "session-down.md", "route-leak.md"}

const (
	// settle is how long a page may take to be undone.
	settle = 30 * time.Second
	// patience is how long nodes of a busy machine may take to have heard of
	// one another what a command needs: it is given again, as people do.
	patience = 15 * time.Second
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPages(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		name := filepath.Base(file)
		if name == "README.md" {
			continue
		}
		if !slices.Contains(order, name) {
			t.Errorf("%s is not run", name)
		}
		page := read(t, name)
		commands, err := Commands(page)
		if err := errors.Join(err, CheckParts(page)); err != nil || len(commands) == 0 {
			t.Errorf("%s: %d commands, %v", name, len(commands), err)
		}
	}
}

func TestCommands(t *testing.T) {
	got, err := Commands("$ landfall not here\n```console\n$ landfall node drain a2 --reason \"a b\" # on a1, exit 2\n$ systemctl x\n```\n```\n$ landfall nor here\n```\n")
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	c := got[0]
	if c.Line != 3 || c.On != "a1" || c.Exit != 2 || !slices.Equal(c.Args, []string{"node", "drain", "a2", "--reason", "a b"}) {
		t.Errorf("%+v", c)
	}
	for _, bad := range []string{"# maybe", `"open`} {
		if _, err := Commands("```console\n$ landfall x " + bad + "\n```\n"); err == nil {
			t.Errorf("%s passes", bad)
		}
	}
	if CheckParts("## Check\n## Do\n") == nil {
		t.Error("a page without all parts passes")
	}
}

// TestRunbooks runs every command of every page in a lab. Each has to end as
// the page says, and after each page the lab has to be as before.
func TestRunbooks(t *testing.T) {
	testneed.Linux(t)
	testneed.Root(t)
	testneed.Command(t, "bird", "bird2")
	testneed.Command(t, "ip", "iproute2")
	program := filepath.Join(t.TempDir(), "landfall")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-pgo=off", "-o", program, "../../cmd/landfall").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	name := fmt.Sprintf("rb%d", os.Getpid())
	t.Cleanup(func() {
		if _, err := inet.Down(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	if err := inet.Up(t.Context(), program, inet.Options{Name: name, Routers: inet.BIRD, Program: program}, func(stage string) { t.Log(stage) }); err != nil {
		t.Fatal(err)
	}
	l, err := inet.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range order {
		t.Run(page, func(t *testing.T) { runPage(t, l, page) })
	}
}

func runPage(t *testing.T, l *inet.Lab, page string) {
	commands, err := Commands(read(t, page))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if problem := run(t, l, c); problem != "" {
			t.Errorf("%s:%d: %s\n%s", page, c.Line, c.Text, problem)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	if err := l.Settle(ctx); err != nil {
		t.Errorf("%s does not undo what it does: %v", page, err)
	}
}

// run gives a command until it ends as the page says, and returns how it
// ended when it does not.
func run(t *testing.T, l *inet.Lab, c Command) (problem string) {
	on := c.On
	if on == "" {
		on = l.Asked(c.Args...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		cmd := l.Node(on).Command(ctx, l.Program, c.Args...)
		cmd.Dir = l.NodeDir(on)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return err.Error()
		}
		if cmd.ProcessState.ExitCode() == c.Exit {
			return ""
		}
		select {
		case <-again.C:
		case <-end.C:
			return fmt.Sprintf("on %s: %v, expected exit code %d\n%s", on, err, c.Exit, out)
		}
	}
}
