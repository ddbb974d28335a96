package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

const planText = `PLAN   fra-2  pop fra, share 33.3%, active nodes 3 -> 2
       sessions 100  connections 20 (h1 5, h2 10, h3 5)  in flight 3  tunnels 1
       expected shift: fra-1 33.3% +16.6%, fra-3 33.3% +16.6%
       interlocks: last-node ok
`

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakePop()
		code, out, errs := run(t, f, "node", "drain", "fra-2", "--deadline", "1m30s")
		want := planText + `00:00  draining  sessions 100  connections 20 (0 from before)  in flight 0  tunnels 0  new conn/s 0.0
00:05  draining  sessions 50  connections 20 (0 from before)  in flight 0  tunnels 0  new conn/s 1000.0
00:10  drained   sessions 0  connections 20 (0 from before)  in flight 0  tunnels 0  new conn/s 1000.0
DONE   10s   undrain with: landfall node undrain fra-2
`
		if d := cmp.Diff(want, out); d != "" || code != exitDone || errs != "" {
			t.Errorf("exit code %d, %q; -want +got\n%s", code, errs, d)
		}
		if !slices.Equal(f.calls, []string{"drain fra-2 1m30s"}) {
			t.Errorf("calls %q", f.calls)
		}
	})
}

func TestPlanChangesNothing(t *testing.T) {
	f := newFakePop()
	code, out, errs := run(t, f, "node", "drain", "fra-2", "--plan")
	if d := cmp.Diff(planText, out); d != "" || code != exitDone || errs != "" || len(f.calls) > 0 {
		t.Errorf("exit code %d, %q, calls %q; -want +got\n%s", code, errs, f.calls, d)
	}
}

// TestRefusedByAnInterlock: the last node does not go, by plan or not.
func TestRefusedByAnInterlock(t *testing.T) {
	for _, args := range [][]string{nil, {"--plan"}} {
		f := newFakePop()
		f.nodes = f.nodes[1:2]
		code, out, errs := run(t, f, append([]string{"node", "drain", "fra-2"}, args...)...)
		if code != exitUsage || !strings.Contains(errs, "refused by last-node: no other node is active") || len(f.calls) > 0 || !strings.HasPrefix(out, "PLAN") {
			t.Errorf("%v: exit code %d, %q, calls %q, %s", args, code, errs, f.calls, out)
		}
	}
}

// TestEndsOfADrain that are not good ones.
func TestEndsOfADrain(t *testing.T) {
	left := pop.Load{Sessions: 4, Tunnels: 2, Earlier: 6}
	for _, tc := range []struct {
		name     string
		progress func(elapsed, deadline time.Duration) pop.Progress
		code     int
		out, err string
	}{
		{
			"the deadline", func(elapsed, deadline time.Duration) pop.Progress {
				return pop.Progress{State: pop.Judge(left, elapsed, deadline), Load: left}
			},
			exitDeadline, "LATE   30s   undrain with: landfall node undrain fra-2 --admin 127.0.0.1:9081",
			"the deadline has passed: fra-2 still holds 4 sessions, 2 tunnels and 6 connections from before",
		},
		{
			"undrained meanwhile", func(elapsed, _ time.Duration) pop.Progress {
				if elapsed > 3*time.Second {
					return pop.Progress{State: pop.StateActive, Load: left}
				}
				return pop.Progress{State: pop.StateDraining, Load: left}
			},
			exitFailed, "00:04  active", "fra-2 was undrained by somebody else",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakePop()
				f.progress = tc.progress
				code, out, errs := run(t, f, "node", "drain", "fra-2", "--deadline", "30s", "--admin", "127.0.0.1:9081")
				if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.err) {
					t.Errorf("exit code %d, %q\n%s", code, errs, out)
				}
			})
		})
	}
}

// failing answers progress with 500 for some time.
type failing struct {
	http.Handler
	from, to time.Time
}

func (f failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if strings.HasSuffix(r.URL.Path, "/drain") && r.Method == http.MethodGet && now.After(f.from) && now.Before(f.to) {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	f.Handler.ServeHTTP(w, r)
}

// TestSightIsLost: a node may give no answer for a while, not for ever.
func TestSightIsLost(t *testing.T) {
	for _, tc := range []struct {
		silent time.Duration
		code   int
		says   string
	}{
		{drainPatience - 2*time.Second, exitDone, ""},
		{time.Hour, exitFailed, "lost sight of fra-2, which may drain on"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var out, errs bytes.Buffer
			now := time.Now()
			h := failing{pop.Handler(newFakePop()), now.Add(time.Second), now.Add(time.Second + tc.silent)}
			c := &console{ctx: t.Context(), out: &out, err: &errs, transport: memory{h}}
			if code := execute([]string{"node", "drain", "fra-2"}, c); code != tc.code || !strings.Contains(errs.String(), tc.says) {
				t.Errorf("silent for %v: exit code %d, %s\n%s", tc.silent, code, errs.String(), out.String())
			}
		})
	}
}

// TestInterruptedDrain goes on, and its watcher says so.
func TestInterruptedDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		c := &console{ctx: ctx, out: &out, err: &errs, transport: memory{pop.Handler(newFakePop())}}
		code := execute([]string{"node", "drain", "fra-2"}, c)
		if code != exitFailed || !strings.Contains(errs.String(), "fra-2 drains on; undrain with: landfall node undrain fra-2") {
			t.Errorf("exit code %d, %s", code, errs.String())
		}
	})
}

// TestDrainInJSON is one event a line.
func TestDrainInJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, out, _ := run(t, newFakePop(), "node", "drain", "fra-2", "-o", "json")
		var events []string
		for line := range strings.Lines(out) {
			var event map[string]json.RawMessage
			if err := json.Unmarshal([]byte(line), &event); err != nil || len(event) != 1 {
				t.Fatalf("%v in %s", err, line)
			}
			for name, what := range event {
				events = append(events, name)
				if len(events) != 3 {
					continue
				}
				var p drainStep
				if err := json.Unmarshal(what, &p); err != nil || p.Rate != 1000 || p.Sessions != 50 {
					t.Errorf("%v, %+v", err, p)
				}
			}
		}
		if want := []string{"plan", "progress", "progress", "progress", "end"}; !slices.Equal(events, want) {
			t.Errorf("events %q, want %q", events, want)
		}
	})
}
