package netns

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

func newSet(t *testing.T) *Set {
	t.Helper()
	testneed.Linux(t)
	testneed.Root(t)
	testneed.Command(t, "ip", "iproute2")
	s, err := NewSet("lft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func add(t *testing.T, s *Set, name string) *Namespace {
	t.Helper()
	ns, err := s.Add(name)
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func TestLinkedNamespacesReachEachOther(t *testing.T) {
	s := newSet(t)
	a, b := add(t, s, "a"), add(t, s, "b")
	err := s.Link(
		End{Namespace: a, Interface: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64")}},
		End{Namespace: b, Interface: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00::2/64")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range []struct{ to, from string }{{"10.0.0.2", "10.0.0.1"}, {"fd00::2", "fd00::1"}} {
		out, err := a.Command(t.Context(), "ip", "route", "get", route.to).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "dev eth0") || !strings.Contains(string(out), "src "+route.from) {
			t.Errorf("route to %s: %q, %v", route.to, out, err)
		}
	}
}

func TestCloseEndsProcessesAndRemovesNamespaces(t *testing.T) {
	s := newSet(t)
	ns := add(t, s, "a")
	cmd := ns.Command(t.Context(), "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The command enters the namespace a moment after its start.
	for {
		out, err := exec.CommandContext(t.Context(), "ip", "netns", "pids", ns.Name).Output()
		if err != nil {
			t.Fatal(err)
		}
		if len(out) > 0 {
			break
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process ended with %v, want it killed", err)
	}
	out, err := exec.CommandContext(t.Context(), "ip", "netns", "list").Output()
	if err != nil || strings.Contains(string(out), ns.Name) {
		t.Errorf("namespaces left: %q, %v", out, err)
	}
}
