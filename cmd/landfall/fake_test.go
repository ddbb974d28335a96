package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// fakePop is a PoP of three nodes whose drains go as a test says.
type fakePop struct {
	// progress is asked for what is left when a drain has lasted this long.
	progress func(elapsed, deadline time.Duration) pop.Progress
	nodes    []pop.Node
	refusals []pop.Refusal // of interlocks of the announcement

	// Guarded by mu.
	mu       sync.Mutex
	since    time.Time
	deadline time.Duration
	calls    []string
	err      error // of all that can fail
}

func newFakePop() *fakePop {
	f := &fakePop{progress: func(elapsed, deadline time.Duration) pop.Progress {
		load := pop.Load{Sessions: max(0, 100-int(elapsed/time.Second)*10), Connections: 20, Accepted: uint64(elapsed / time.Millisecond)}
		return pop.Progress{State: pop.Judge(load, elapsed, deadline), Load: load}
	}}
	for id := uint8(1); id <= 3; id++ {
		f.nodes = append(f.nodes, pop.Node{
			ID: id, Name: fmt.Sprintf("fra-%d", id), Pop: "fra", Self: id == 1, Admin: pop.AdminActive, Health: "ok", Announce: "none",
			L4: "active", L7: "active", Weight: 1, Share: 33.3, Relay: pop.RelayReachable, Version: "1.0.0", Sites: "0123456789abcdef", Age: 0.25,
		})
	}
	f.nodes[1].Load = &pop.Load{Sessions: 100, Connections: 20, HTTP1: 5, HTTP2: 10, HTTP3: 5, InFlight: 3, Tunnels: 1}
	return f
}

func (f *fakePop) did(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakePop) Nodes(context.Context) []pop.Node { return f.nodes }

func (f *fakePop) Drain(_ context.Context, name string, d pop.Departure) error {
	f.since, f.deadline = time.Now(), d.Deadline
	return f.did("drain %s %v", name, d.Deadline)
}

func (f *fakePop) PlanRoutes(_ context.Context, _ string, wide bool) (pop.RoutePlan, error) {
	plan := pop.RoutePlan{
		Now: map[string]int{"fra": 3, "ams": 3}, After: map[string]int{"fra": 2, "ams": 3}, Passed: []string{"last-announcer", "min-nodes"},
		Refusals: f.refusals, Prefixes: []string{"198.51.100.10/32"},
	}
	if wide {
		delete(plan.After, "fra")
	}
	return plan, nil
}

func (f *fakePop) ChangeRoutes(_ context.Context, name string, c pop.Change) error {
	return f.did("change %s to %s %q, over %v for %v", name, c.Rung, c.Reason, c.Names, c.For)
}

func (f *fakePop) DrainPop(_ context.Context, d pop.Departure) error {
	return f.did("drain all %v", d.Deadline)
}

func (f *fakePop) UndrainPop(context.Context) error { return f.did("undrain all") }

func (f *fakePop) PrependPop(_ context.Context, n int, _ string) error { return f.did("prepend %d", n) }

func (f *fakePop) BGP(_ context.Context, name string) (pop.BGP, error) {
	return pop.BGP{
		Node:   name,
		Peers:  []pop.Peer{{Address: "10.0.0.1", ASN: 64500, State: "established", Seconds: 90, BFD: "up"}},
		Routes: []pop.Route{{Prefix: "198.51.100.10/32", Peer: "10.0.0.1", Attributes: "prepend 2 65535:0"}},
	}, f.err
}

func (f *fakePop) Undrain(_ context.Context, name string) error { return f.did("undrain %s", name) }

func (f *fakePop) Progress(_ context.Context, name string) (pop.Progress, error) {
	elapsed := time.Since(f.since)
	p := f.progress(elapsed, f.deadline)
	p.Node, p.Elapsed, p.Deadline = name, elapsed.Seconds(), f.deadline.Seconds()
	return p, nil
}

func (f *fakePop) Ring() pop.Ring {
	return pop.Ring{Generation: 7, Hash: "00ff", Partitions: 16381, Members: []pop.Member{
		{ID: 1, Name: "fra-1", L7: "active", Weight: 2, Partitions: 10921, Share: 66.7},
		{ID: 2, Name: "fra-2", L7: "draining", Weight: 1},
	}}
}

func (f *fakePop) Locate(key string) (pop.Located, error) {
	l := pop.Located{Key: key, Partition: 3, Owner: &pop.Ref{ID: 2, Name: "fra-2"}, Previous: []pop.Ref{{ID: 1, Name: "fra-1", Self: true}}, Generation: 7}
	return l, f.did("locate %s", key)
}

// memory answers requests without a network, so that time can be virtual.
type memory struct{ http.Handler }

func (m memory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// run runs a command line against a PoP, or the network when that is nil.
func run(t *testing.T, f *fakePop, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	c := &console{ctx: t.Context(), out: &o, err: &e}
	if f != nil {
		c.transport = memory{pop.Handler(f)}
	}
	code = execute(args, c)
	return code, o.String(), e.String()
}
