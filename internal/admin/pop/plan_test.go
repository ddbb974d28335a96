package pop

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func([]Node)
		after  int
		shifts []Shift
		says   string // in what refuses or warns
	}{
		{name: "equal", change: func([]Node) {}, after: 2, shifts: []Shift{{"fra-1", 33.3, 16.65}, {"fra-3", 33.3, 16.65}}},
		{
			name: "by weight", change: func(n []Node) { n[0].Weight, n[1].Share = 2, 30 }, after: 2,
			shifts: []Shift{{"fra-1", 33.3, 20}, {"fra-3", 33.3, 10}},
		},
		{name: "another drains", change: func(n []Node) { n[0].Admin = AdminDraining }, after: 1, shifts: []Shift{{"fra-3", 33.3, 33.3}}},
		{name: "another is gone", change: func(n []Node) { n[0].L7 = "gone" }, after: 1, shifts: []Shift{{"fra-3", 33.3, 33.3}}},
		{
			name: "nobody can be reached", change: func(n []Node) { n[0].Relay, n[2].Relay = RelayUnreachable, RelayUnreachable },
			says: "last-node: no other node",
		},
		{
			name: "who takes over fails", change: func(n []Node) { n[0].Health = "failed" }, after: 2,
			shifts: []Shift{{"fra-1", 33.3, 16.65}, {"fra-3", 33.3, 16.65}}, says: "fra-1 is to take over, and its health is failed",
		},
		{
			name: "who takes over has other sites", change: func(n []Node) { n[2].Sites = "ffff" }, after: 2,
			shifts: []Shift{{"fra-1", 33.3, 16.65}, {"fra-3", 33.3, 16.65}}, says: "fra-3 is to take over, and has other sites",
		},
		{
			name: "what is not known is no fault", change: func(n []Node) { n[2].Sites, n[2].Health = "", Unknown }, after: 2,
			shifts: []Shift{{"fra-1", 33.3, 16.65}, {"fra-3", 33.3, 16.65}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := threeNodes()
			tc.change(f.nodes)
			p, err := MakePlan(f.nodes, "fra-2")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.shifts, p.Shifts, cmpopts.EquateApprox(0, 0.001)); d != "" || p.After != tc.after {
				t.Errorf("%d nodes after, want %d; -want +got\n%s", p.After, tc.after, d)
			}
			if said := p.Refused + strings.Join(p.Warnings, "\n"); !strings.HasPrefix(said, tc.says) || tc.says == "" && said != "" {
				t.Errorf("it says %q, want %q", said, tc.says)
			}
			if (p.Refused != "") != (tc.after == 0) {
				t.Errorf("refused: %q", p.Refused)
			}
		})
	}
	if _, err := MakePlan(nil, "x"); !errors.Is(err, ErrNoNode) {
		t.Errorf("nobody: %v", err)
	}
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		name    string
		load    Load
		elapsed time.Duration
		want    string
	}{
		{"nothing is left", Load{Connections: 9, Accepted: 9}, 0, StateDrained},
		{"nothing is left, late", Load{}, time.Hour, StateDrained},
		{"a session", Load{Sessions: 1}, time.Minute - 1, StateDraining},
		{"a tunnel", Load{Tunnels: 1}, 0, StateDraining},
		{"a connection from before", Load{Earlier: 1}, 0, StateDraining},
		{"a session, late", Load{Sessions: 1}, time.Minute, StateExpired},
	} {
		if got := Judge(tc.load, tc.elapsed, time.Minute); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
