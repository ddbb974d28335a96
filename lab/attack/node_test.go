package attack

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The two sites of a node: every case has a host of its own in one of
// them, so that its requests are told apart from all others.
const (
	cachedSite = ".cached.example" // stores what may be stored
	passedSite = ".passed.example" // every request goes to the origin
)

// node is a running `landfall run`.
type node struct {
	cmd   *exec.Cmd
	ended chan struct{}
	roots *x509.CertPool

	https string // host:port, TCP and UDP
	http  string

	// Guarded by mu.
	mu    sync.Mutex
	lines []string // of its output
}

// startNode runs a node in front of an origin, with more lines for its
// file. Node, origin and attackers share the machine, so that connecting may
// take as long as waiting: how slow an ordinary client is served is judged
// by itself.
func startNode(t testing.TB, origin, more string) *node {
	t.Helper()
	dir := t.TempDir()
	site := `{ hostnames: ["*%s"], http: serve, tls: { cert: internal }, origins: [{ url: "http://%s", timeouts: { connect: 15s } }], rules: [%s] }`
	files := map[string]string{
		"sites/cached.yaml": fmt.Sprintf(site, cachedSite, origin, ""),
		"sites/passed.yaml": fmt.Sprintf(site, passedSite, origin, `{ when: "true", cache: bypass }`),
		"node.yaml": fmt.Sprintf(`
node:    { id: 1, name: attacked }
listen:  { https: ["127.0.0.1:0"], http: ["127.0.0.1:0"] }
admin:   { listen: "127.0.0.1:0" }
sites:   { dir: %[1]s/sites }
state:   %[1]s/state
cache:   { memory: 16MiB }
origins: { allow: ["127.0.0.0/8"] }
log:     { access: %[1]s/access.log }
%[2]s
`, dir, more),
	}
	if err := os.Mkdir(filepath.Join(dir, "sites"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := &node{cmd: exec.Command(program, "run", "--config", filepath.Join(dir, "node.yaml")), ended: make(chan struct{})}
	n.launch(t)
	n.listening(t)
	pem, err := os.ReadFile(filepath.Join(dir, "state", "ca", "root.crt"))
	if err != nil {
		t.Fatal(err)
	}
	n.roots = x509.NewCertPool()
	n.roots.AppendCertsFromPEM(pem)
	return n
}

// launch starts the program, which ends with the test at the latest.
func (n *node) launch(t testing.TB) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	n.cmd.Stdout, n.cmd.Stderr = w, w
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // the program has its own
	go func() {
		defer close(n.ended)
		n.collect(r)
		_ = n.cmd.Wait() // the exit code is in ProcessState
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill() // does nothing when it has ended
		<-n.ended
		if t.Failed() {
			t.Logf("last output of the node:\n%s", n.output(40))
		}
	})
}

func (n *node) collect(r io.ReadCloser) {
	defer func() { _ = r.Close() }()
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		n.mu.Lock()
		n.lines = append(n.lines, s.Text())
		n.mu.Unlock()
	}
}

// output returns the last lines of the node's output.
func (n *node) output(last int) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.lines[max(0, len(n.lines)-last):], "\n")
}

// listening waits for the line that says where the node serves.
func (n *node) listening(t testing.TB) {
	t.Helper()
	waitFor(t, "serving line", func() bool {
		for line := range strings.SplitSeq(n.output(1000), "\n") {
			var l struct {
				Msg         string
				HTTPS, HTTP []string
			}
			if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "serving" {
				n.https, n.http = l.HTTPS[0], l.HTTP[0]
				return true
			}
		}
		if !n.alive() {
			t.Fatalf("the node ended: %v\n%s", n.cmd.ProcessState, n.output(40))
		}
		return false
	})
}

func (n *node) alive() bool {
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// panicked returns the output around a panic, of the process or of one
// request, and "" when there was none.
func (n *node) panicked() string {
	text := n.output(1 << 20)
	for _, word := range []string{"panic", "DATA RACE", "fatal error:", "goroutine 1 ["} {
		if i := strings.Index(text, word); i >= 0 {
			return text[max(0, i-500):min(len(text), i+4000)]
		}
	}
	return ""
}

// memory returns the resident set of the node in bytes, now and at its
// highest.
func (n *node) memory(t testing.TB) (now, peak int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &now)  // another line
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &peak) // another line
	}
	return now << 10, peak << 10
}

// waitFor polls until a condition holds; a long bound ends a wait that is
// in vain.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("no %s", what)
}
