package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestList(t *testing.T) {
	odd := func(url string) (bool, error) { return strings.ContainsAny(url[len(url)-1:], "13579"), nil }
	l, err := newList(t.TempDir(), "/o/1k", 400, odd)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(l.file)
	if lines := strings.Fields(string(text)); err != nil || !slices.Equal(lines, l.all) {
		t.Errorf("%d lines for %d URLs, %v", len(lines), len(l.all), err)
	}
	n := len(l.all)
	if len(slices.Compact(slices.Sorted(slices.Values(l.all)))) != n || n < 400 {
		t.Errorf("%d URLs, or fewer", n)
	}
	for _, url := range l.all {
		if ok, _ := odd(url); !ok || !strings.HasPrefix(url, "/o/1k?") {
			t.Errorf("%s is on the list", url)
		}
	}
	l.skip(n - 1)
	if got, want := l.take(3), []string{l.all[n-1], l.all[0], l.all[1]}; !slices.Equal(got, want) || l.next != 2 {
		t.Errorf("%v and then %d, want %v", got, l.next, want)
	}
}

func TestListThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name, says string
		fits       func(string) (bool, error)
	}{
		{"nothing fits", "only 0 of", func(string) (bool, error) { return false, nil }},
		{"a failure", "no answer", func(string) (bool, error) { return true, errors.New("no answer") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := newList(t.TempDir(), "/o/1k", 100, c.fits); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestRelayedHit(t *testing.T) {
	for _, c := range []struct {
		name   string
		status []string
		want   bool
	}{
		{"relayed", []string{"landfall; hit; ttl=9", "landfall; fwd=uri-miss; fwd-status=200"}, true},
		{"relayed, and the owner had it not", []string{"landfall; fwd=uri-miss; stored", "landfall; fwd=uri-miss"}, false},
		{"its own", []string{"landfall; hit; ttl=9"}, false},
		{"a miss of its own", []string{"landfall; fwd=uri-miss; stored"}, false},
		{"a copy", []string{"landfall; hit; ttl=9", "landfall; hit; ttl=9"}, false},
		{"nothing", nil, false},
	} {
		if got := isRelayedHit(http.Header{"Cache-Status": c.status}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// counting is a node whose operator sees counters go up each time.
func counting(t *testing.T, name string, counts ...int) *server {
	t.Helper()
	next := 0
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" || next == len(counts) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = fmt.Fprintf(w, "# TYPE %s\n%s 7\n%s %d\n", name, strings.Replace(name, `="`, `="not-`, 1), name, counts[next])
		next++
	}))
	t.Cleanup(admin.Close)
	return &server{admin: strings.TrimPrefix(admin.URL, "http://")}
}

func TestRelayedIsVerified(t *testing.T) {
	const asks, answers = `landfall_asked_total{asked="fill",result="answered"}`, `landfall_relayed_requests_total{outcome="hit"}`
	for _, c := range []struct {
		name            string
		asked, answered []int
		not             bool
		fails           bool
	}{
		{name: "all", asked: []int{5, 1005}, answered: []int{100, 1100}},
		{name: "nearly all", asked: []int{5, 996}, answered: []int{100, 1090}},
		{name: "from copies", asked: []int{5, 905}, answered: []int{100, 1100}, not: true, fails: true},
		{name: "misses of the owner", asked: []int{5, 1005}, answered: []int{5, 805}, not: true, fails: true},
		{name: "a node that says nothing", asked: []int{5}, answered: []int{5, 1005}, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := counting(t, asks, c.asked...)
			srv.owner = counting(t, answers, c.answered...)
			verify, err := srv.relayed(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(1000); (err != nil) != c.fails || errors.Is(err, errNotRelayed) != c.not {
				t.Errorf("%v; want a failure %v, for the load %v", err, c.fails, c.not)
			}
		})
	}
}

// TestCPUOfBoth: what a server has others do for it is part of its cost.
func TestCPUOfBoth(t *testing.T) {
	fs := fstest.MapFS{}
	fakeProcess(fs, 10, 1, "asking", [4]int{1, 2, 0, 0}, 0)
	fakeProcess(fs, 20, 1, "answering", [4]int{10, 20, 0, 0}, 0)
	running := func(pid int) *process { return &process{cmd: &exec.Cmd{Process: &os.Process{Pid: pid}}} }
	b := &bench{proc: proc{fs}}
	alone := &server{process: running(10)}
	both := &server{process: running(10), owner: &server{process: running(20)}}
	for srv, want := range map[*server]cpuTime{
		alone: {user: 10 * time.Millisecond, kernel: 20 * time.Millisecond},
		both:  {user: 110 * time.Millisecond, kernel: 220 * time.Millisecond},
	} {
		if got, err := b.cpu(srv); err != nil || got != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
}
