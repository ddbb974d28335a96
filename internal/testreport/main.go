// Command testreport runs `go test` and makes what it prints short: a
// line for each package, the whole output of what failed, and at the end
// every skipped test with its reason, so that a green run hides nothing.
// What failed is run once more by itself, see again.go. It never chooses
// what is tested: the arguments of each `go test` follow a "--".
//
//	testreport [-all] -- -race ./... [-- -run=Alloc ./edge/...]
//
// Flags of go test are written -name=value. It ends with 1 when anything
// failed, or when something was skipped and -all is given.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
)

func main() {
	all := flag.Bool("all", false, "fail when a test was skipped")
	flag.Parse()
	ok, err := report(goTest, split(flag.Args()), os.Stdout, *all)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// split returns what stands between the "--" of args.
func split(args []string) (runs [][]string) {
	for {
		i := slices.Index(args, "--")
		if i < 0 {
			return append(runs, args)
		}
		runs = append(runs, args[:i])
		args = args[i+1:]
	}
}

// A tester runs `go test -json` with args and has read take what it
// prints. The error is errFailed when it ran and did not end with 0.
type tester func(args []string, read func(io.Reader) error) error

var errFailed = errors.New("go test failed")

// goTest is the tester of the go command.
func goTest(args []string, read func(io.Reader) error) error {
	cmd := exec.Command("go", append([]string{"test", "-json", "-count=1"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// The rest is taken even so: nobody else would end the command.
	err = read(out)
	_, _ = io.Copy(io.Discard, out)
	if end := cmd.Wait(); err == nil && end != nil {
		return fmt.Errorf("%w: %w", errFailed, end)
	}
	return err
}

// report does runs one after the other, and what failed in them once
// more. It writes a digest to out and says whether all is well.
func report(test tester, runs [][]string, out io.Writer, all bool) (ok bool, err error) {
	d := newDigest(out)
	for _, args := range runs {
		if err := d.run(test, args); err != nil {
			d.summary()
			return false, err
		}
	}
	d.again(test)
	d.summary()
	if d.ended == 0 && d.ok() {
		return false, errors.New("no test ran")
	}
	return d.ok() && (!all || len(d.skipped) == 0), nil
}

// run adds one `go test`. That it failed is no error when the digest says
// what did.
func (d *digest) run(test tester, args []string) error {
	before := d.faults()
	d.args = args
	err := test(args, d.read)
	if errors.Is(err, errFailed) && d.faults() > before {
		return nil
	}
	return err
}
