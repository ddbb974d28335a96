package pop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake is a PoP of three nodes, of which the first is asked.
type fake struct {
	nodes []Node
	err   error // what all that can fail fails with
	calls []string
}

func threeNodes() *fake {
	f := &fake{}
	for id := uint8(1); id <= 3; id++ {
		f.nodes = append(f.nodes, Node{
			ID: id, Name: fmt.Sprintf("fra-%d", id), Pop: "fra", Self: id == 1, Admin: AdminActive, Health: "ok", Announce: "normal",
			L4: "active", L7: "active", Weight: 1, Share: 33.3, Relay: RelayReachable, Version: "1.0.0", Sites: "a1b2",
		})
	}
	f.nodes[0].Relay = RelaySelf
	return f
}

func (f *fake) Nodes(context.Context) []Node { return f.nodes }

func (f *fake) did(format string, args ...any) error {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fake) Drain(_ context.Context, name string, d Departure) error {
	return f.did("drain %s %v", name, d.Deadline)
}

func (f *fake) PlanRoutes(_ context.Context, _ string, wide bool) (RoutePlan, error) {
	plan := RoutePlan{Now: map[string]int{"fra": 3, "ams": 3}, After: map[string]int{"fra": 2, "ams": 3}, Passed: []string{"last-announcer"}}
	if wide {
		delete(plan.After, "fra")
	}
	return plan, nil
}

func (f *fake) ChangeRoutes(_ context.Context, name string, c Change) error {
	return f.did("change %s to %s %q, over %v for %v", name, c.Rung, c.Reason, c.Names, c.For)
}

func (f *fake) DrainPop(_ context.Context, d Departure) error {
	return f.did("drain all %v %v", d.Deadline, d.Converge)
}

func (f *fake) UndrainPop(context.Context) error { return f.did("undrain all") }

func (f *fake) PrependPop(_ context.Context, n int, reason string) error {
	return f.did("prepend %d %q", n, reason)
}

func (f *fake) BGP(_ context.Context, name string) (BGP, error) {
	return BGP{Node: name, Peers: []Peer{{Address: "10.0.0.1", State: "established", BFD: "up"}}}, f.err
}

func (f *fake) Undrain(_ context.Context, name string) error {
	f.calls = append(f.calls, "undrain "+name)
	return f.err
}

func (f *fake) Progress(_ context.Context, name string) (Progress, error) {
	return Progress{Node: name, State: StateDraining, Elapsed: 1.5, Deadline: 600, Load: Load{Sessions: 7, Earlier: 2}}, f.err
}

func (f *fake) Ring() Ring { return Ring{Generation: 7, Hash: "00ff", Partitions: 16381} }

func (f *fake) Locate(key string) (Located, error) {
	return Located{Key: key, Partition: 3, Owner: &Ref{ID: 2, Name: "fra-2"}, Generation: 7}, f.err
}

func ask(f *fake, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	Handler(f).ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name, method, path, body string
		change                   func(*fake)
		status                   int
		has                      string // in the answer
		calls                    []string
	}{
		{name: "nodes", method: "GET", path: "/v1/nodes", status: 200, has: `"share_percent": 33.3`},
		{name: "no nodes are a list", method: "GET", path: "/v1/nodes", change: func(f *fake) { f.nodes = nil }, status: 200, has: `"nodes": []`},
		{name: "load that is not known", method: "GET", path: "/v1/nodes", status: 200, has: `"load": null`},
		{name: "plan", method: "GET", path: "/v1/nodes/fra-2/plan", status: 200, has: `"active_after": 2`},
		{name: "plan for nobody", method: "GET", path: "/v1/nodes/x/plan", status: 404, has: `the nodes are fra-1, fra-2, fra-3`},
		{name: "drain", method: "POST", path: "/v1/nodes/fra-2/drain", body: `{"deadline": "90s"}`, status: 202, has: `"active_after": 2`, calls: []string{"drain fra-2 1m30s"}},
		{name: "drain without a body", method: "POST", path: "/v1/nodes/fra-2/drain", status: 202, calls: []string{"drain fra-2 10m0s"}},
		{name: "drain without a deadline", method: "POST", path: "/v1/nodes/fra-2/drain", body: `{}`, status: 202, calls: []string{"drain fra-2 10m0s"}},
		{name: "drain by a wrong key", method: "POST", path: "/v1/nodes/fra-2/drain", body: `{"deadlin": "1m"}`, status: 400, has: `unknown field`},
		{name: "drain by two bodies", method: "POST", path: "/v1/nodes/fra-2/drain", body: `{} {}`, status: 400, has: `something follows`},
		{name: "drain by a number", method: "POST", path: "/v1/nodes/fra-2/drain", body: `{"deadline": "600"}`, status: 400, has: `from 1s to 24h0m0s`},
		{name: "drain for too long", method: "POST", path: "/v1/nodes/fra-2/drain", body: `{"deadline": "25h"}`, status: 400, has: `from 1s to 24h0m0s`},
		{name: "drain by a flood", method: "POST", path: "/v1/nodes/fra-2/drain", body: strings.Repeat(" ", maxBody+1), status: 400, has: `more than 4096 bytes`},
		{name: "drain nobody", method: "POST", path: "/v1/nodes/x/drain", status: 404, has: `no such node`},
		{name: "drain the last node", method: "POST", path: "/v1/nodes/fra-1/drain", change: alone, status: 409, has: `last-node`},
		{name: "drain fails", method: "POST", path: "/v1/nodes/fra-2/drain", change: failing(errors.New("disk")), status: 500, has: `"error": "disk"`, calls: []string{"drain fra-2 10m0s"}},
		{name: "drain is not heard", method: "POST", path: "/v1/nodes/fra-2/drain", change: failing(ErrNotHeard), status: 502, calls: []string{"drain fra-2 10m0s"}},
		{name: "progress", method: "GET", path: "/v1/nodes/fra-2/drain", status: 200, has: `"sessions": 7`},
		{name: "progress of nobody", method: "GET", path: "/v1/nodes/x/drain", change: failing(fmt.Errorf("%w: x", ErrNoNode)), status: 404, has: `no such node: x`},
		{name: "undrain", method: "POST", path: "/v1/nodes/fra-2/undrain", status: 200, has: `{}`, calls: []string{"undrain fra-2"}},
		{name: "undrain of nobody", method: "POST", path: "/v1/nodes/x/undrain", change: failing(ErrNoNode), status: 404, calls: []string{"undrain x"}},
		{name: "undrain by a link", method: "GET", path: "/v1/nodes/fra-2/undrain", status: 404, has: `not known here`},
		{name: "plan has routes", method: "GET", path: "/v1/nodes/fra-2/plan", status: 200, has: `"announcers_after": {`},
		{
			name: "deprefer", method: "POST", path: "/v1/nodes/fra-2/announce", body: `{"rung": "deprefer", "reason": "a disk"}`, status: 200,
			calls: []string{`change fra-2 to deprefer "a disk", over [] for 10m0s`},
		},
		{
			name: "withdraw over an interlock", method: "POST", path: "/v1/nodes/fra-2/announce",
			body: `{"rung": "withdrawn", "reason": "fire", "override": ["last-announcer"], "override_for": "1h"}`, status: 200,
			calls: []string{`change fra-2 to withdrawn "fire", over [last-announcer] for 1h0m0s`},
		},
		{name: "override without a reason", method: "POST", path: "/v1/nodes/fra-2/announce", body: `{"rung": "withdrawn", "override": ["panic"]}`, status: 400, has: `say why panic is to pass`},
		{name: "a rung that is none", method: "POST", path: "/v1/nodes/fra-2/announce", body: `{"rung": "gshut"}`, status: 400, has: `expected normal, deprefer or withdrawn`},
		{name: "a long reason", method: "POST", path: "/v1/nodes/fra-2/announce", body: `{"rung": "normal", "reason": "` + strings.Repeat("x", MaxReason+1) + `"}`, status: 400, has: `at most 256`},
		{name: "refused by an interlock", method: "POST", path: "/v1/nodes/fra-2/announce", body: `{"rung": "withdrawn"}`, change: failing(fmt.Errorf("%w: min-nodes: x", ErrRefused)), status: 409, has: `min-nodes`, calls: []string{`change fra-2 to withdrawn "", over [] for 10m0s`}},
		{name: "sessions", method: "GET", path: "/v1/nodes/fra-2/bgp", status: 200, has: `"bfd": "up"`},
		{name: "plan of the PoP", method: "GET", path: "/v1/pop/plan", status: 200, has: `"ams": 3`},
		{name: "drain the PoP", method: "POST", path: "/v1/pop/drain", body: `{"converge": "5s"}`, status: 200, calls: []string{"drain all 10m0s 5s"}},
		{name: "undrain the PoP", method: "POST", path: "/v1/pop/undrain", status: 200, calls: []string{"undrain all"}},
		{name: "prepend", method: "POST", path: "/v1/pop/prepend", body: `{"prepend": 2}`, status: 200, calls: []string{`prepend 2 ""`}},
		{name: "prepend nothing", method: "POST", path: "/v1/pop/prepend", body: `{}`, status: 400, has: `prepend: missing`},
		{name: "ring", method: "GET", path: "/v1/ring", status: 200, has: `"members": []`},
		{name: "locate", method: "GET", path: "/v1/ring/locate?key=https%3A%2F%2Fa.example%2F%3Fb%26c", status: 200, has: `"key": "https://a.example/?b&c"`},
		{name: "locate, no previous owners are a list", method: "GET", path: "/v1/ring/locate?key=k", status: 200, has: `"previous": []`},
		{name: "locate nothing", method: "GET", path: "/v1/ring/locate", status: 400, has: `?key=`},
		{name: "locate too much", method: "GET", path: "/v1/ring/locate?key=" + strings.Repeat("k", maxKey+1), status: 400, has: `at most`},
		{name: "locate what no site has", method: "GET", path: "/v1/ring/locate?key=k", change: failing(ErrBadKey), status: 400},
		{name: "what is not there", method: "GET", path: "/v1/sites", status: 404, has: `GET /v1/sites is not known here`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := threeNodes()
			if tc.change != nil {
				tc.change(f)
			}
			w := ask(f, tc.method, tc.path, tc.body)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.has) {
				t.Errorf("%d, want %d with %s in\n%s", w.Code, tc.status, tc.has, w.Body)
			}
			if d := cmp.Diff(tc.calls, f.calls); d != "" {
				t.Errorf("calls -want +got\n%s", d)
			}
			if ct := w.Header().Get("Content-Type"); ct != "application/json" || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: %s", ct, w.Body)
			}
			var failure Failure
			if _ = json.Unmarshal(w.Body.Bytes(), &failure); (failure.Error != "") != (tc.status >= http.StatusBadRequest) {
				t.Errorf("%d with the error %q", w.Code, failure.Error)
			}
		})
	}
}

func alone(f *fake) { f.nodes = f.nodes[:1] }

func failing(err error) func(*fake) { return func(f *fake) { f.err = err } }
