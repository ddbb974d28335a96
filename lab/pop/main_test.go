package pop

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program, built once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "landfall-pop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "landfall")
	// Without the profile, packages need not be compiled a second time.
	args := []string{"build", "-pgo=off", "-o", binary}
	if raceDetector {
		// A race that the program meets ends it, which its test notices. Its
		// end is not put off by a second, as is the detector's custom.
		args = append(args, "-race")
		if err := os.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	build := exec.Command("go", append(args, "../../cmd/landfall")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a running program whose output is kept.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}

	// Guarded by mu.
	mu    sync.Mutex
	lines []string
}

// launch starts a program that ends with the test at the latest.
func launch(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	out, err := cmd.StdoutPipe()
	must(t, err)
	errs, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	var readers sync.WaitGroup
	for _, r := range []io.Reader{out, errs} {
		readers.Go(func() { p.collect(r) })
	}
	go func() {
		readers.Wait()
		_ = cmd.Wait() // the exit code is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // does nothing when it has ended
		<-p.ended
		if t.Failed() {
			t.Logf("output of %s:\n%s", strings.Join(cmd.Args, " "), p.output())
		}
	})
	return p
}

func (p *process) collect(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		p.mu.Unlock()
	}
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	must(t, p.cmd.Process.Signal(s))
}

// wait returns the exit code once the process has ended; -1 when a signal
// ended it.
func (p *process) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-t.Context().Done():
		t.Fatal("did not stop")
	}
	return p.cmd.ProcessState.ExitCode()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// waitFor polls until a condition holds; a long bound ends a wait that is
// in vain.
func waitFor(t testing.TB, what string, ok func() bool) (took time.Duration) {
	t.Helper()
	began := time.Now()
	for time.Since(began) < time.Minute {
		if ok() {
			return time.Since(began)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("no %s", what)
	return 0
}
