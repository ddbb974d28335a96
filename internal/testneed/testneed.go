// Package testneed says what a test needs of the machine it runs on.
// Where that is missing the test is skipped with the reason, or fails
// when LANDFALL_REQUIRE is set: continuous integration sets it, so that
// nothing goes untested there without anybody noticing. It never
// installs anything; scripts/deps does.
package testneed

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// requireEnv is the environment variable that turns skips into failures.
// Any value but "" and "0" does.
const requireEnv = "LANDFALL_REQUIRE"

// Root goes on only as root: network namespaces, raw sockets and eBPF
// take it.
func Root(t testing.TB) {
	t.Helper()
	That(t, os.Geteuid() == 0, "to run as root")
}

// Linux goes on only on Linux.
func Linux(t testing.TB) {
	t.Helper()
	That(t, runtime.GOOS == "linux", "Linux")
}

// Command returns the path of a program, which comes from the Debian
// package pkg.
func Command(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	// Daemons live where a user's PATH does not look, FRR's in a folder
	// of its own.
	for _, folder := range []string{"/usr/sbin/", "/usr/lib/frr/"} {
		if err != nil {
			path, err = exec.LookPath(folder + name)
		}
	}
	That(t, err == nil, "the command "+name+" (Debian package "+pkg+")")
	return path
}

// That goes on only when ok. The message completes "needs ...".
func That(t testing.TB, ok bool, what string) {
	t.Helper()
	switch v := os.Getenv(requireEnv); {
	case ok:
	case v != "" && v != "0":
		t.Fatalf("needs %s, and %s forbids to skip", what, requireEnv)
	default:
		t.Skipf("needs %s", what)
	}
}
