package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/internal/netns"
	"github.com/landfall-cdn/landfall/internal/testneed"
)

// TestDoctor runs the program on a machine that lacks what a node file wants,
// and on the same machine once it has that, the node and its router run.
func TestDoctor(t *testing.T) {
	testneed.Linux(t)
	testneed.Root(t)
	testneed.Command(t, "ip", "iproute2")
	at, host := cable(t)
	dir, err := os.MkdirTemp("", "lf") // a socket's path is at most 108 bytes
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	file := filepath.Join(dir, "node.yaml")
	must(t, os.WriteFile(file, fmt.Appendf(nil, halfNode, dir, ""), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "md5"), []byte("correct-horse\n"), 0o644))

	bad, code := doctor(t, host, file)
	for check, verdict := range map[string]string{"vips": "FAIL", "secrets": "FAIL", "tcp md5": "ok", "peers on link": "ok", "routes": "ok", "node": "ok"} {
		if bad[check] != verdict {
			t.Errorf("%s: %q, want %s", check, bad[check], verdict)
		}
	}
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}

	must(t, host.Batch("addr add 198.51.100.10/32 dev lo", "addr add 2001:db8:10::1/128 dev lo nodad"))
	must(t, os.Chmod(filepath.Join(dir, "md5"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "sites"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "sites", "a.yaml"), []byte(siteDoc("a.example", "https://origin.example")), 0o600))
	printed, err := host.Command(t.Context(), binary, "bgp", "router-config", "--config", file).Output()
	must(t, err)
	conf := filepath.Join(dir, "router.conf")
	must(t, os.WriteFile(conf, []byte(strings.ReplaceAll(string(printed), "CHANGE-ME", "correct-horse")), 0o600))
	router := &halfBIRD{}
	router.start(t, at, dir, conf)
	launch(t, host.Command(t.Context(), binary, "run", "--config", file))
	var good map[string]string
	waitFor(t, "node that is well", func() bool {
		good, code = doctor(t, host, file)
		return code == 0 && good["routes told"] == "ok" && good["bfd"] == "ok" && good["announcement"] == "ok"
	})
	if good["bgp sessions"] != "ok" || good["node"] != "ok" {
		t.Errorf("%v", good)
	}
}

// doctor returns verdicts by check, and the exit code.
func doctor(t *testing.T, host *netns.Namespace, file string) (map[string]string, int) {
	t.Helper()
	cmd := host.Command(t.Context(), binary, "doctor", "--config", file, "-o", "json")
	out, err := cmd.Output()
	if _, exited := err.(*exec.ExitError); err != nil && !exited { //nolint:errorlint // Output returns it as it is
		t.Fatal(err)
	}
	var found []struct{ Check, Verdict string }
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	verdicts := map[string]string{}
	for _, f := range found {
		verdicts[f.Check] = f.Verdict
	}
	return verdicts, cmd.ProcessState.ExitCode()
}
