package certs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// running runs the manager's watcher in virtual time, fed by the returned
// function, which tells of a change in the directory of the files.
func (r *rig) running() (change func()) {
	ctx, cancel := context.WithCancel(r.Context())
	n := told{ch: make(chan fsnotify.Event)}
	done, ready := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		newWatcher(r.m, n).run(ctx, func() { close(ready) })
	}()
	<-ready
	synctest.Wait() // it takes note of the commit before any change
	r.Cleanup(func() { cancel(); <-done })
	return func() {
		n.ch <- fsnotify.Event{Name: filepath.Join(r.dir, "live", "any"), Op: fsnotify.Create}
	}
}

func (r *rig) states() string {
	r.Helper()
	var out []string
	families, err := r.reg.Gather()
	if err != nil {
		r.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "landfall_tls_certificates" {
			for _, m := range f.GetMetric() {
				if m.GetGauge().GetValue() == 1 {
					out = append(out, m.GetLabel()[0].GetValue())
				}
			}
		}
	}
	return strings.Join(out, ",")
}

func (r *rig) failures(f failure) float64 { return testutil.ToFloat64(r.m.met.failed[f]) }

func TestReplacementIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		first := r.fresh("live/a.crt", "live/a.key")
		src := r.commit(r.spec()).Source("a")
		change := r.running()
		if got := serial(src); got != first {
			t.Fatalf("serving %s, want %s", got, first)
		}
		second := r.fresh("live/a.crt", "live/a.key")
		change()
		time.Sleep(settle)
		synctest.Wait()
		if got := serial(src); got != second {
			t.Errorf("serving %s, want the replacement %s", got, second)
		}
		if got := r.states(); got != "valid" {
			t.Errorf("the site counts as %s", got)
		}
	})
}

// TestRefusedReplacement: what cannot be served does not replace what can,
// is counted once however often it is read, and is forgotten when it is
// repaired.
func TestRefusedReplacement(t *testing.T) {
	good := func(r *rig) (cert, key []byte) { cert, key, _ = r.pem(time.Now()); return cert, key }
	for _, tc := range []struct {
		name    string
		spoiled func(r *rig) (cert, key []byte)
		counts  failure
	}{
		{"not PEM", func(*rig) (cert, key []byte) { return []byte("x"), []byte("y") }, invalid},
		{"empty", func(*rig) (cert, key []byte) { return nil, nil }, invalid},
		{"key of another", func(r *rig) (cert, key []byte) {
			cert, _ = good(r)
			_, key = good(r)
			return cert, key
		}, invalid},
		{"expired", func(r *rig) (cert, key []byte) {
			cert, key, _ = r.pem(time.Now().AddDate(0, -1, 0))
			return cert, key
		}, expired},
		{"not yet valid", func(r *rig) (cert, key []byte) {
			cert, key, _ = r.pem(time.Now().AddDate(0, 1, 0))
			return cert, key
		}, notYetValid},
		{"too large", func(*rig) (cert, key []byte) { return make([]byte, maxFile+1), nil }, unreadable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				first := r.fresh("live/a.crt", "live/a.key")
				src := r.commit(r.spec()).Source("a")
				change := r.running()
				cert, key := tc.spoiled(r)
				r.write("live/a.crt", cert)
				r.write("live/a.key", key)
				change()
				time.Sleep(10 * poll)
				synctest.Wait()
				if got := serial(src); got != first {
					t.Errorf("serving %s, want the last good %s", got, first)
				}
				for f := range numFailures {
					want := 0.0
					if f == tc.counts {
						want = 1
					}
					if got := r.failures(f); got != want {
						t.Errorf("%v failures are %s, want %v", got, failures[f], want)
					}
				}
				if got := r.states(); got != "stale" {
					t.Errorf("the site counts as %s, want stale", got)
				}
				repaired := r.fresh("live/a.crt", "live/a.key")
				change()
				time.Sleep(settle)
				synctest.Wait()
				if got, state := serial(src), r.states(); got != repaired || state != "valid" {
					t.Errorf("serving %s (%s), want the repaired %s", got, state, repaired)
				}
			})
		})
	}
}

// TestTornPair: a pair that is read between the writing of its two files is
// read again, and nobody is alarmed.
func TestTornPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		first := r.fresh("live/a.crt", "live/a.key")
		src := r.commit(r.spec()).Source("a")
		change := r.running()
		cert, key, second := r.pem(time.Now())
		r.write("live/a.crt", cert)
		change()
		time.Sleep(settle)
		synctest.Wait()
		if got := serial(src); got != first {
			t.Errorf("with a torn pair, serving %s, want %s", got, first)
		}
		r.write("live/a.key", key) // and nobody tells
		time.Sleep(retries[0])
		synctest.Wait()
		if got := serial(src); got != second {
			t.Errorf("serving %s, want %s", got, second)
		}
		if got := r.failures(invalid); got != 0 {
			t.Errorf("%v failures are counted, want 0", got)
		}
	})
}

// TestFilesThatAppear: a site whose files are not there yet refuses, says
// so, and is served when they are, without being told.
func TestFilesThatAppear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		set := r.m.Prepare([]Spec{r.spec()})
		problems := set.Problems()
		if len(problems) != 1 || problems[0].Site != "a" || !strings.Contains(problems[0].Err.Error(), "a.crt") {
			t.Fatalf("Problems = %v, want one that names the file", problems)
		}
		r.m.Commit(set)
		r.running()
		if got, state := serial(set.Source("a")), r.states(); got != "none" || state != "missing" {
			t.Errorf("serving %s (%s), want none", got, state)
		}
		want := r.fresh("live/a.crt", "live/a.key")
		time.Sleep(poll)
		synctest.Wait()
		if got, state := serial(set.Source("a")), r.states(); got != want || state != "valid" {
			t.Errorf("serving %s (%s), want %s", got, state, want)
		}
	})
}

// TestCommitWhileRunning: a site that comes later is followed at once, and
// one that goes is left alone.
func TestCommitWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		change := r.running()
		first := r.fresh("live/a.crt", "live/a.key")
		src := r.commit(r.spec()).Source("a")
		synctest.Wait()
		second := r.fresh("live/a.crt", "live/a.key")
		change()
		time.Sleep(settle)
		synctest.Wait()
		if got := serial(src); got != second {
			t.Errorf("serving %s, want %s after %s", got, second, first)
		}
		r.commit()
		synctest.Wait()
		r.fresh("live/a.crt", "live/a.key")
		change()
		time.Sleep(poll)
		synctest.Wait()
		if got := serial(src); got != second {
			t.Error("the files of a site that is gone are still read")
		}
	})
}

// TestLastGoodExpires: for want of a better one, an expired certificate
// stays and says so.
func TestLastGoodExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		first := r.fresh("live/a.crt", "live/a.key")
		src := r.commit(r.spec()).Source("a")
		r.running()
		time.Sleep(8 * 24 * time.Hour)
		synctest.Wait()
		if got, state := serial(src), r.states(); got != first || state != "expired" {
			t.Errorf("serving %s (%s), want %s (expired)", got, state, first)
		}
	})
}

func TestBusyDirectoryDoesNotDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fresh("live/a.crt", "live/a.key")
		src := r.commit(r.spec()).Source("a")
		change := r.running()
		second := r.fresh("live/a.crt", "live/a.key")
		for range 4 { // until shortly after settle
			change()
			time.Sleep(settle/3 + time.Millisecond)
		}
		synctest.Wait()
		if got := serial(src); got != second {
			t.Error("a stream of changes puts off the reload")
		}
	})
}

// replacement is a way in which tools replace a certificate and its key.
type replacement struct {
	name string
	// put makes the n-th pair appear under live/ and returns its serial.
	put func(r *rig, n string) string
}

// link makes a symbolic link, or points one elsewhere in one step.
func (r *rig) link(to, name string) {
	r.Helper()
	name = filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		r.Fatal(err)
	}
	if err := os.Symlink(to, name+".tmp"); err != nil {
		r.Fatal(err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		r.Fatal(err)
	}
}

var replacements = []replacement{
	{"written in place", func(r *rig, _ string) string { return r.fresh("live/a.crt", "live/a.key") }},
	{"renamed into place", func(r *rig, n string) string {
		s := r.fresh("live/"+n+".crt", "live/"+n+".key")
		for _, ext := range []string{".crt", ".key"} {
			if err := os.Rename(filepath.Join(r.dir, "live", n+ext), filepath.Join(r.dir, "live", "a"+ext)); err != nil {
				r.Fatal(err)
			}
		}
		return s
	}},
	{"links renamed, as certbot does", func(r *rig, n string) string {
		s := r.fresh("archive/"+n+".crt", "archive/"+n+".key")
		r.link("../archive/"+n+".crt", "live/a.crt")
		r.link("../archive/"+n+".key", "live/a.key")
		return s
	}},
	{"directory link renamed, as Kubernetes does", func(r *rig, n string) string {
		s := r.fresh("live/..v"+n+"/a.crt", "live/..v"+n+"/a.key")
		r.link("..v"+n, "live/..data")
		if n == "1" {
			r.link("..data/a.crt", "live/a.crt")
			r.link("..data/a.key", "live/a.key")
		}
		return s
	}},
	{"target of links rewritten", func(r *rig, n string) string {
		s := r.fresh("archive/a.crt", "archive/a.key")
		if n == "1" {
			r.link("../archive/a.crt", "live/a.crt")
			r.link("../archive/a.key", "live/a.key")
		}
		return s
	}},
}

// TestReplacedOnDisk follows real files the ways real tools replace them.
func TestReplacedOnDisk(t *testing.T) {
	for _, tc := range replacements {
		t.Run(tc.name, func(t *testing.T) {
			loaded := make(chan string, 16)
			r := newRig(t, func(c *Config) { c.Log = logTo(loaded) })
			first := tc.put(r, "1")
			src := r.commit(r.spec()).Source("a")
			if got := <-loaded; got != first {
				t.Fatalf("serving %s, want %s", got, first)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done, ready := make(chan error), make(chan struct{})
			go func() { done <- r.m.Run(ctx, func() { close(ready) }) }()
			<-ready
			second := tc.put(r, "2")
			select {
			case <-loaded:
			case <-time.After(time.Minute):
				t.Error("the replacement went unnoticed")
			}
			if got := serial(src); got != second {
				t.Errorf("serving %s, want %s", got, second)
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	}
}
