package members

import (
	"context"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/landfall-cdn/landfall/affinity"
)

// childSeed is the environment variable that makes this test's program a
// node which joins there, until its input ends.
const childSeed = "LANDFALL_TEST_JOIN"

func TestMain(m *testing.M) {
	if seed := os.Getenv(childSeed); seed != "" {
		if err := runChild(seed); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// runChild is node 2.
func runChild(seed string) error {
	m, err := Listen(Config{
		Self: memberOf(2), Pop: "fra", Listen: netip.MustParseAddrPort("127.0.7.2:0"), Join: []string{seed}, Key: testKey,
		Publish: func(affinity.View) {},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return m.Run(ctx, func() {})
}

// TestSilentNode stops a process where it stands, as SIGSTOP or a hanging
// disk does: gossip alone takes it out of the views, and back when it runs
// on. The times are printed; a busy machine may stretch them.
func TestSilentNode(t *testing.T) {
	production := func(id affinity.NodeID, others ...*node) Config {
		c := configOf(t, id, others...)
		c.Tuning = Tuning{}
		return c
	}
	one := start(t, production(1))
	three := start(t, production(3, one))
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(program)
	child.Env = append(os.Environ(), childSeed+"="+one.Addr().String())
	child.Stderr = os.Stderr
	input, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Signal(syscall.SIGCONT)
		_ = input.Close()
		if err := child.Wait(); err != nil {
			t.Errorf("the child: %v", err)
		}
	})
	both := func(want string) time.Duration {
		began := time.Now()
		one.sees(want)
		three.sees(want)
		return time.Since(began)
	}
	both("1 active, 2 active, 3 active")
	signal := func(s syscall.Signal) {
		if err := child.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	out := both("1 active, 2 gone, 3 active")
	signal(syscall.SIGCONT)
	back := both("1 active, 2 active, 3 active")
	t.Logf("out of all views after %v, back after %v", out.Round(time.Millisecond), back.Round(time.Millisecond))
}
