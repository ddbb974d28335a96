package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// mostAgain is how many top-level tests may have failed for them to be
// run again. More is no coincidence.
const mostAgain = 3

// again runs each test that failed once more. One that passes then does
// not fail the run; it is a bug of its own, and said loudly.
func (d *digest) again(test tester) {
	if len(d.broken) == 0 {
		return
	}
	if why := d.final(); why != "" {
		fmt.Fprintln(d.out, "\nNothing is run again:", why)
		return
	}
	for _, b := range d.broken {
		args := b.againArgs()
		fmt.Fprintln(d.out, "\nagain: go test", strings.Join(args, " "))
		second := newDigest(d.out)
		second.keep = true
		if err := second.run(test, args); err != nil {
			fmt.Fprintln(d.out, "testreport:", err)
			continue
		}
		d.compare(b, second)
	}
}

// final returns why what failed has failed for good, or "".
func (d *digest) final() string {
	tests := 0
	for _, b := range d.broken {
		if len(b.tests) == 0 {
			return b.name + " failed, and none of its tests did."
		}
		tests += len(b.tests)
	}
	// The race detector fails the test that it watches. A race in another
	// process of a test that passes is no reason why a second one failed.
	raced := slices.IndexFunc(d.raced, func(k key) bool { return slices.Contains(d.failed, k.top()) })
	switch {
	case d.unbuilt > 0:
		return "not everything builds."
	case raced >= 0:
		return fmt.Sprintf("there was a data race in %s.", d.raced[raced])
	case tests > mostAgain:
		return fmt.Sprintf("%d tests failed, more than %d.", tests, mostAgain)
	}
	return ""
}

// againArgs returns what to give go test: the same flags, and the tests
// that failed, or all of a package that ended before they had run.
func (b brokenPackage) againArgs() []string {
	var args []string
	for _, a := range b.args {
		if strings.HasPrefix(a, "-") {
			args = append(args, a)
		}
	}
	if !b.early {
		var names []string
		for _, k := range b.tests {
			names = append(names, k.test)
		}
		args = append(args, "-run=^("+strings.Join(names, "|")+")$")
	}
	return append(args, b.name)
}

// compare makes the tests of b flaky when all is well the second time.
func (d *digest) compare(b brokenPackage, second *digest) {
	missing := func(k key) bool { return !second.passed[k] }
	if !second.ok() || len(second.raced) > 0 || slices.ContainsFunc(b.tests, missing) {
		return
	}
	d.failed = slices.DeleteFunc(d.failed, func(k key) bool { return k.pkg == b.name })
	d.flaky = append(d.flaky, b.tests...)
	d.skipped = append(d.skipped, second.skipped...)
	maps.Copy(d.passed, second.passed)
	for _, k := range b.tests {
		fmt.Fprintf(d.out, "\nFLAKY %s\nfailed:\n%s\nthen passed:\n%s\n", k, d.kept[k], second.kept[k])
	}
}
