package attack

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var (
	// program is the path of what is tested. It is built from this tree unless
	// LANDFALL_BINARY names another build to compare with.
	program = os.Getenv("LANDFALL_BINARY")

	// only restricts what is sent to one family or case.
	only = flag.String("attack", "", "send only the cases whose name matches this `regexp`")
)

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	if program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "landfall-attack-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "landfall")
	args := []string{"build", "-pgo=off", "-o", program}
	if raceDetector {
		// A race that the program meets ends it, which the corpus notices.
		args = append(args, "-race")
		if err := os.Setenv("GORACE", "halt_on_error=1"); err != nil {
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
