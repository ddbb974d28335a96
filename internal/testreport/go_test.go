package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module is a module whose package p has the test text.
func module(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example\n\ngo 1.26\n",
		"p_test.go": `package p

import ("os"; "testing"; "testing/synctest"; "time")

var _ = time.Now
var _ = synctest.Test

// first reports whether it is asked for the first time, in whatever process.
func first() bool { return os.Mkdir("seen", 0o755) == nil }

func TestGood(t *testing.T) {}
` + text,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// TestGo holds what is said here of go test's output to go test: a failure
// that stays one fails the run, and so does what is never run again.
func TestGo(t *testing.T) {
	for _, c := range []struct {
		name, text string
		ok         bool
		says       string
		flags      []string
	}{
		{"fails always", `func TestBad(t *testing.T) { t.Error("no") }`, false, "FAILED  example TestBad", nil},
		{"fails once", `func TestBad(t *testing.T) { t.Run("sub/x", func(t *testing.T) { if first() { t.Error("once") } }) }`, true, "3 passed, 0 failed, 0 skipped, 1 FLAKY", nil},
		{"a bubble ends too early, once", `
func TestBad(t *testing.T) {
	synctest.Test(t, func(*testing.T) { if first() { go func() { time.Sleep(time.Hour) }() } })
}
func TestLater(t *testing.T) {}`, true, "3 passed, 0 failed, 0 skipped, 1 FLAKY", nil},
		{"a goroutine panics, once", `func TestBad(t *testing.T) { if first() { go panic("BUG"); select {} } }`, false, "none of its tests did", nil},
		{"a timeout, once", `func TestBad(t *testing.T) { if first() { select { case <-time.After(time.Hour): } } }`, false, "none of its tests did", []string{"-timeout=1s"}},
		{"os.Exit, once", `func TestBad(t *testing.T) { if first() { os.Exit(1) } }`, false, "none of its tests did", nil},
		{"a race, once", `
func TestBad(t *testing.T) {
	if !first() { return }
	n, done := 0, make(chan bool)
	go func() { n++; close(done) }()
	n++
	<-done
}`, false, "there was a data race", []string{"-race"}},
		{"does not build", `func TestBad(t *testing.T) { x }`, false, "undefined: x", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			module(t, c.text)
			t.Setenv("GORACE", "atexit_sleep_ms=0")
			var out strings.Builder
			ok, err := report(goTest, [][]string{append(c.flags, "./...")}, &out, true)
			if ok != c.ok || err != nil || !strings.Contains(out.String(), c.says) {
				t.Errorf("ok %t, %v; want %t and %q in\n%s", ok, err, c.ok, c.says, out.String())
			}
		})
	}
}
