package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is a line of `go test -json` (see `go doc test2json`).
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// key is a test, or a package when test is "".
type key struct{ pkg, test string }

func (k key) String() string { return strings.TrimSpace(k.pkg + " " + k.test) }

// top returns the test that k is a subtest of, or k.
func (k key) top() key {
	k.test, _, _ = strings.Cut(k.test, "/")
	return k
}

// digest is what has been read so far.
type digest struct {
	out  io.Writer
	args []string // of the go test that is read
	keep bool     // the output of tests that pass, too

	printed  map[key][]string // output of what has not ended yet
	kept     map[key]string   // output of each top-level test that failed, and of its subtests
	failed   []key
	passed   map[key]bool
	skipped  []string
	broken   []brokenPackage
	flaky    []key
	unbuilt  int
	raced    []key // where the race detector spoke up, of a test's own processes too
	packages int
	ended    int // tests, however they ended
}

// brokenPackage is a package that failed.
type brokenPackage struct {
	name  string
	args  []string // of its go test
	tests []key    // at top level, that failed
	early bool     // it ended before its tests had; some may not have run
}

func newDigest(out io.Writer) *digest {
	return &digest{out: out, printed: map[key][]string{}, kept: map[key]string{}, passed: map[key]bool{}}
}

func (d *digest) faults() int { return len(d.broken) + d.unbuilt }

func (d *digest) ok() bool { return len(d.failed) == 0 && d.unbuilt == 0 }

// read adds the output of a `go test -json`.
func (d *digest) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			// The go command itself complains in plain text.
			fmt.Fprintln(d.out, lines.Text())
			continue
		}
		d.add(e)
	}
	return lines.Err()
}

func (d *digest) add(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(d.out, e.Output)
	case "build-fail":
		d.unbuilt++
	case "output":
		d.printed[k] = append(d.printed[k], e.Output)
		if strings.Contains(e.Output, "DATA RACE") && !slices.Contains(d.raced, k) {
			d.raced = append(d.raced, k)
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			d.endPackage(e)
		} else {
			d.endTest(k, e.Action)
		}
		delete(d.printed, k)
	}
}

func (d *digest) endTest(k key, action string) {
	d.ended++
	output := strings.Join(d.printed[k], "")
	if action == "fail" || d.keep {
		d.kept[k.top()] += output
	}
	switch action {
	case "pass":
		d.passed[k] = true
		if slices.Contains(d.raced, k) {
			fmt.Fprintf(d.out, "\n%s: a data race, though the test passed\n%s\n", k, output)
		}
	case "fail":
		d.failed = append(d.failed, k)
		fmt.Fprintf(d.out, "\n%s\n%s\n", k.pkg, output)
	case "skip":
		d.skipped = append(d.skipped, fmt.Sprintf("%s: %s", k, reason(d.printed[k])))
	}
}

func (d *digest) endPackage(e event) {
	k := key{pkg: e.Package}
	d.packages++
	if e.Action != "fail" {
		word := "ok"
		if e.Action == "skip" || slices.ContainsFunc(d.printed[k], func(s string) bool { return strings.Contains(s, "[no tests to run]") }) {
			word = "-"
		}
		fmt.Fprintf(d.out, "%-5s %s (%.1fs)\n", word, e.Package, e.Elapsed)
		return
	}
	b := brokenPackage{name: e.Package, args: d.args}
	for _, f := range d.failed {
		if f.pkg == e.Package && f == f.top() {
			b.tests = append(b.tests, f)
		}
	}
	// Tests that all had their turn end with this line; a panic, a
	// timeout or os.Exit leaves it out.
	b.early = !slices.Contains(d.printed[k], "FAIL\n")
	d.broken = append(d.broken, b)
	d.failed = append(d.failed, k)
	for _, open := range d.open(e.Package) {
		fmt.Fprint(d.out, strings.Join(d.printed[open], ""))
	}
	fmt.Fprintf(d.out, "FAIL  %s (%.1fs)\n", e.Package, e.Elapsed)
}

// open returns what of a package has not ended, the package last.
func (d *digest) open(pkg string) []key {
	var keys []key
	for k := range d.printed {
		if k.pkg == pkg {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b key) int { return strings.Compare(b.test, a.test) })
	return keys
}

// reason returns the message of a skipped test: the output line before
// the one that says that it was skipped, without its file and line.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "---") || strings.HasPrefix(line, "===") {
			continue
		}
		if _, message, ok := strings.Cut(line, ".go:"); ok {
			_, line, _ = strings.Cut(message, ": ")
		}
		return line
	}
	return "no reason given"
}

func (d *digest) summary() {
	slices.Sort(d.skipped)
	d.skipped = slices.Compact(d.skipped)
	failures := 0
	for _, k := range d.failed {
		if k.test != "" {
			failures++
		}
	}
	fmt.Fprintf(d.out, "\n%d packages\ntests: %d passed, %d failed, %d skipped", d.packages, len(d.passed), failures, len(d.skipped))
	if len(d.flaky) > 0 {
		fmt.Fprintf(d.out, ", %d FLAKY", len(d.flaky))
	}
	fmt.Fprintln(d.out)
	for _, s := range d.skipped {
		fmt.Fprintln(d.out, "  skipped", s)
	}
	for _, k := range d.flaky {
		fmt.Fprintf(d.out, "  FLAKY   %s: failed, then passed. A bug to be fixed: CONTRIBUTING.md, Tests\n", k)
	}
	for _, k := range d.raced {
		fmt.Fprintln(d.out, "  RACE   ", k)
	}
	for _, k := range d.failed {
		fmt.Fprintln(d.out, "  FAILED ", k)
	}
}
