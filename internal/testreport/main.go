// Command testreport reads what `go test -json` prints and makes it
// short: a line for each package, the whole output of what failed, and
// at the end every skipped test with its reason, so that a green run
// hides nothing. It runs no tests itself. It ends with 1 when anything
// failed, or when something was skipped and -all is given.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	all := flag.Bool("all", false, "fail when a test was skipped")
	flag.Parse()
	ok, err := report(os.Stdin, os.Stdout, *all)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

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

// digest is what has been read so far.
type digest struct {
	out     io.Writer
	printed map[key][]string // output of what has not ended yet
	failed  []key
	broken  int // packages that did not build
	skipped []string
	counts  map[string]int
}

// report copies in to out as a digest and says whether all is well.
func report(in io.Reader, out io.Writer, all bool) (ok bool, err error) {
	d := digest{out: out, printed: map[key][]string{}, counts: map[string]int{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			// The go command itself complains in plain text.
			fmt.Fprintln(out, lines.Text())
			continue
		}
		d.add(e)
	}
	d.summary()
	ok = len(d.failed) == 0 && d.broken == 0 && (!all || len(d.skipped) == 0)
	if d.counts["package"] == 0 {
		return false, fmt.Errorf("no package was tested")
	}
	return ok, lines.Err()
}

func (d *digest) add(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(d.out, e.Output)
	case "build-fail":
		d.broken++
	case "output":
		d.printed[k] = append(d.printed[k], e.Output)
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
	d.counts[action]++
	switch action {
	case "fail":
		d.failed = append(d.failed, k)
		fmt.Fprintf(d.out, "\n%s\n%s\n", k.pkg, strings.Join(d.printed[k], ""))
	case "skip":
		d.skipped = append(d.skipped, fmt.Sprintf("%s %s: %s", k.pkg, k.test, reason(d.printed[k])))
	}
}

func (d *digest) endPackage(e event) {
	k := key{pkg: e.Package}
	d.counts["package"]++
	if e.Action != "fail" {
		fmt.Fprintf(d.out, "%-5s %s (%.1fs)\n", map[string]string{"pass": "ok", "skip": "-"}[e.Action], e.Package, e.Elapsed)
		return
	}
	d.failed = append(d.failed, k)
	// A panic or a timeout ends the package without ending its tests.
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
	fmt.Fprintf(d.out, "\n%d packages\ntests: %d passed, %d failed, %d skipped\n",
		d.counts["package"], d.counts["pass"], d.counts["fail"], len(d.skipped))
	slices.Sort(d.skipped)
	for _, s := range d.skipped {
		fmt.Fprintln(d.out, "  skipped", s)
	}
	for _, k := range d.failed {
		fmt.Fprintln(d.out, "  FAILED ", strings.TrimSpace(k.pkg+" "+k.test))
	}
}
