package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRouterConfig(t *testing.T) {
	const example = "../../configs/examples/node.yaml"
	plain := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(plain, []byte("node: { id: 1 }\nlisten: { http: [\"127.0.0.1:8080\"] }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		out  string // in standard output
		errs string // in standard error
	}{
		{"for BIRD, elsewhere than on the node", []string{"--config", example, "--address", "10.0.0.11"}, exitDone, "neighbor 10.0.0.11 as 65001;", "towards 2001:db8:1::1 is not known"},
		{"for FRR", []string{"--config", example, "--for", "frr", "--address", "10.0.0.11"}, exitDone, "neighbor 10.0.0.11 remote-as 65001", ""},
		{"for one router", []string{"--config", example, "--address", "10.0.0.11", "--peer", "10.0.0.1"}, exitDone, "local 10.0.0.1 as 64500;", ""},
		{"for no router", []string{"--config", example, "--peer", "10.9.9.9"}, exitUsage, "", "no peer of the node"},
		{"for another language", []string{"--config", example, "--for", "junos"}, exitUsage, "", "bird"},
		{"without BGP", []string{"--config", plain}, exitUsage, "", "has no bgp"},
		{"without a file", []string{"--config", "/nowhere/node.yaml"}, exitFailed, "", "refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errs := run(t, newFakePop(), append([]string{"bgp", "router-config"}, tc.args...)...)
			if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.errs) {
				t.Errorf("exit code %d\n%s%s", code, out, errs)
			}
		})
	}
}

// TestDoctorAsksTheNode has a node without BGP that answers: what it lacks
// is said, and one check that fails is an exit code.
func TestDoctorAsksTheNode(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "node.yaml")
	text := "node: { id: 1, name: fra-1, pop: fra }\nlisten: { http: [\"127.0.0.1:8080\"], peer: \"127.0.0.1:7443\" }\n" +
		"pop: { listen: \"127.0.0.1:7946\", join: [\"127.0.0.1:7946\"], secret: { file: ./pop.key } }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := run(t, newFakePop(), "doctor", "--config", file)
	if code != exitFailed || !strings.Contains(errs, "checks fail") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	for _, want := range []string{"FAIL  secrets", "ok    members         3 nodes see one another", "ok    node            runs"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
