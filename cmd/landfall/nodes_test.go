package main

import (
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

func TestLists(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		out  []string // lines, in order; spaces count as one
	}{
		{"nodes", []string{"node", "list"}, []string{
			"NAME ID POP ADMIN HEALTH ANNOUNCE L4 L7 WEIGHT SHARE SESSIONS CONNECTIONS IN FLIGHT RELAY VERSION SITES AGE",
			"fra-1 1 fra active ok none active active 1 33.3% - - - reachable 1.0.0 01234567 300ms",
			"fra-2 2 fra active ok none active active 1 33.3% 100 20 3 reachable 1.0.0 01234567 300ms",
		}},
		{"nodes in JSON", []string{"node", "list", "-o", "json"}, []string{`"name": "fra-2",`, `"sessions": 100,`}},
		{"nodes in YAML", []string{"node", "list", "-o", "yaml"}, []string{"nodes:", "- id: 1", "name: fra-1", "load: null", "sessions: 100"}},
		{"ring", []string{"ring", "show"}, []string{
			"generation 7, hash 00ff, 16381 partitions", "NAME ID L7 WEIGHT PARTITIONS SHARE",
			"fra-1 1 active 2 10921 66.7%", "fra-2 2 draining 1 0 0.0%",
		}},
		{"ring in YAML", []string{"ring", "show", "--output=yaml"}, []string{"generation: 7", `hash: 00ff`, "members:", "- id: 1"}},
		{"locate", []string{"ring", "locate", "https://a.example/?b&c=d e"}, []string{
			"key https://a.example/?b&c=d e", "partition 3", "owner fra-2 (node 2)", "previous fra-1 (node 1, which was asked)", "generation 7",
		}},
		{"locate in JSON", []string{"ring", "locate", "-o", "json", "k"}, []string{`"key": "k",`, `"owner": {`}},
		{"undrain", []string{"node", "undrain", "fra-2"}, []string{"fra-2 is active again"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errs := run(t, newFakePop(), tc.args...)
			if code != exitDone || errs != "" {
				t.Errorf("exit code %d, %s", code, errs)
			}
			wantLines(t, out, tc.out)
		})
	}
}

// wantLines looks for lines in this order, among others.
func wantLines(t *testing.T, text string, want []string) {
	t.Helper()
	rest := want
	for line := range strings.Lines(text) {
		if len(rest) > 0 && strings.Join(strings.Fields(line), " ") == rest[0] {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		t.Errorf("no line %q in\n%s", rest[0], text)
	}
}

// TestDisagreementsAreNamed: what all nodes of a PoP should have in common.
func TestDisagreementsAreNamed(t *testing.T) {
	f := newFakePop()
	f.nodes[2].Sites, f.nodes[1].Version = "ffffffffffff", "1.1.0"
	_, _, errs := run(t, f, "node", "list")
	want := "landfall: warning: the nodes have different sites: 01234567 on fra-1, fra-2; ffffffff on fra-3\n" +
		"landfall: warning: the nodes have different versions: 1.0.0 on fra-1, fra-3; 1.1.0 on fra-2\n"
	if d := cmp.Diff(want, errs); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestRefusalsAndFaults(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		err  error // of the node
		code int
		says string
	}{
		{"unknown node", []string{"node", "drain", "x"}, nil, exitUsage, `refused by 127.0.0.1:9080: no such node: "x"; the nodes are fra-1, fra-2, fra-3`},
		{"a deadline that is none", []string{"node", "drain", "fra-2", "--deadline", "0s"}, nil, exitUsage, "--deadline 0s: expected 1s to 24h0m0s"},
		{"an address without a port", []string{"node", "list", "--admin", "localhost"}, nil, exitUsage, "expected host:port such as 127.0.0.1:9080"},
		{"an output that is none", []string{"node", "list", "-o", "xml"}, nil, exitUsage, `must be one of "table","json","yaml"`},
		{"a key of no site", []string{"ring", "locate", "https://x/"}, pop.ErrBadKey, exitUsage, "refused by 127.0.0.1:9080: no key"},
		{"a refusal", []string{"node", "undrain", "fra-2"}, fmt.Errorf("%w: it is stopping", pop.ErrRefused), exitUsage, "refused by 127.0.0.1:9080: it is stopping"},
		{"a fault", []string{"node", "undrain", "fra-2"}, pop.ErrNotHeard, exitFailed, "the node at 127.0.0.1:9080: no answer from the node"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFakePop()
			f.err = tc.err
			code, _, errs := run(t, f, tc.args...)
			if code != tc.code || !strings.Contains(errs, tc.says) {
				t.Errorf("exit code %d, want %d with %q in %q", code, tc.code, tc.says, errs)
			}
		})
	}
}

// TestOverTheNetwork asks a real server, and then nobody.
func TestOverTheNetwork(t *testing.T) {
	s := httptest.NewServer(pop.Handler(newFakePop()))
	addr := s.Listener.Addr().String()
	code, out, errs := run(t, nil, "ring", "show", "--admin", addr)
	if code != exitDone || !strings.Contains(out, "10921") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	s.Close()
	code, _, errs = run(t, nil, "ring", "show", "--admin", addr)
	if code != exitFailed || !strings.Contains(errs, "no node has its admin address at "+addr) {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestNoAnswer: whoever is there is no node.
func TestNoAnswer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		if c, err := ln.Accept(); err == nil {
			_ = c.Close()
		}
	}()
	code, _, errs := run(t, nil, "ring", "show", "--admin", ln.Addr().String())
	if code != exitFailed || !strings.Contains(errs, "cannot be asked") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	_ = ln.Close()
	<-accepted
}
