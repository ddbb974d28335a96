package lab

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// h2specModule builds the last release of h2spec, which is older than
// go.mod files, with what it stands on pinned.
const (
	h2specVersion = "v2.2.1"
	h2specModule  = `module h2spec
go 1.26
require (
	github.com/fatih/color v1.19.0
	github.com/spf13/cobra v1.10.2
	github.com/summerwind/h2spec ` + h2specVersion + `+incompatible
	golang.org/x/net v0.62.0
)
`
)

// h2specCases is how many cases that release has, the strict one included.
const h2specCases = 146

// h2spec returns the path of the program, which it builds when it is not
// there.
var h2spec = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "landfall-test", "h2spec-"+h2specVersion)
	program := filepath.Join(dir, "h2spec")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(h2specModule), 0o644); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-mod=mod", "-o", program, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return program, nil
})

// TestH2Spec runs the conformance suite for HTTP/2 and HPACK, strict cases
// included, against a node over TLS. Every case must pass: none is known
// to be wrong.
func TestH2Spec(t *testing.T) {
	program, err := h2spec()
	testneed.That(t, err == nil, fmt.Sprintf("h2spec %s, which the go command builds from a module proxy: %v", h2specVersion, err))
	// Some cases need content, and one that fits into a window.
	content := strings.Repeat("x", 1<<10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, content)
	}))
	defer s.Close()
	n := startNode(t, "", map[string]string{"site.yaml": siteDoc("localhost", s.URL)})
	_, port, err := net.SplitHostPort(n.https)
	must(t, err)
	out, err := exec.CommandContext(t.Context(), program, "--strict", "--tls", "--insecure", "--host", "localhost", "--port", port).CombinedOutput()
	summary := regexp.MustCompile(`(\d+) tests, (\d+) passed, \d+ skipped, \d+ failed`).FindSubmatch(out)
	if summary == nil {
		t.Fatalf("h2spec: %v\n%s", err, out)
	}
	if want := fmt.Sprint(h2specCases); string(summary[1]) != want || string(summary[2]) != want {
		_, failures, _ := strings.Cut(string(out), "\nFailures:")
		t.Errorf("%s; want all %s to pass\n%s", summary[0], want, failures)
	}
}
