package lab

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// binary is the program, built once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "landfall-lab-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "landfall")
	// Without the profile, packages need not be compiled a second time.
	args := []string{"build", "-pgo=off", "-o", binary}
	if raceDetector {
		// A race that the program meets ends it, which its test notices.
		args = append(args, "-race")
		if err := os.Setenv("GORACE", "halt_on_error=1"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	build := exec.Command("go", append(args, "../cmd/landfall")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a running program whose output is kept.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}

	// Guarded by mu.
	mu    sync.Mutex
	lines []string
}

// launch starts a program that ends with the test at the latest.
func launch(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for _, r := range []io.Reader{out, errs} {
		readers.Go(func() { p.collect(r) })
	}
	go func() {
		readers.Wait()
		_ = cmd.Wait() // the exit code is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // does nothing when it has ended
		<-p.ended
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(cmd.Path), p.output())
		}
	})
	return p
}

func (p *process) collect(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		p.mu.Unlock()
	}
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// stop sends SIGTERM and returns the exit code.
func (p *process) stop(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-t.Context().Done():
		t.Fatal("did not stop")
	}
	return p.cmd.ProcessState.ExitCode()
}

// node is a running `landfall run`.
type node struct {
	*process
	dir   string
	https string // host:port
	http  string
	admin string
	roots *x509.CertPool
}

// nodeFile is what the tests' nodes have in common; rest is added to it.
func nodeFile(dir, rest string) string {
	return fmt.Sprintf(`
node:    { id: 1, name: test }
listen:  { https: ["127.0.0.1:0"], http: ["127.0.0.1:0"] }
admin:   { listen: "127.0.0.1:0" }
sites:   { dir: %[1]s/sites }
state:   %[1]s/state
origins: { allow: ["127.0.0.0/8"] }
log:     { access: %[1]s/access.log }
%[2]s
`, dir, rest)
}

// startNode runs a node with the given site documents, by file name.
func startNode(t testing.TB, rest string, sites map[string]string) *node {
	t.Helper()
	return startNodeOn(t, "127.0.0.1:0", "127.0.0.1:0", rest, sites)
}

// startNodeOn is startNode with the addresses of https and http.
func startNodeOn(t testing.TB, https, http, rest string, sites map[string]string) *node {
	t.Helper()
	n := &node{dir: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(n.dir, "sites"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range sites {
		n.writeSite(t, name, text)
	}
	listen := strings.NewReplacer(`https: ["127.0.0.1:0"]`, `https: ["`+https+`"]`, `http: ["127.0.0.1:0"]`, `http: ["`+http+`"]`)
	n.write(t, "node.yaml", listen.Replace(nodeFile(n.dir, rest)))
	n.start(t)
	return n
}

// start runs the node on the files that it has.
func (n *node) start(t testing.TB) {
	t.Helper()
	n.process = launch(t, exec.Command(binary, "run", "--config", filepath.Join(n.dir, "node.yaml")))
	n.listening(t)
	pem, err := os.ReadFile(filepath.Join(n.dir, "state", "ca", "root.crt"))
	if err != nil {
		t.Fatal(err)
	}
	n.roots = x509.NewCertPool()
	n.roots.AppendCertsFromPEM(pem)
}

// listening waits for the line that says where the node serves.
func (n *node) listening(t testing.TB) {
	t.Helper()
	waitFor(t, "serving line", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, line := range n.lines {
			var l struct {
				Msg         string
				HTTPS, HTTP []string
				Admin       string
			}
			if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "serving" {
				n.https, n.http, n.admin = l.HTTPS[0], l.HTTP[0], l.Admin
				return true
			}
		}
		select {
		case <-n.ended:
			t.Fatalf("the node ended: %v", n.cmd.ProcessState)
		default:
		}
		return false
	})
}

func (n *node) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (n *node) writeSite(t testing.TB, name, text string) {
	t.Helper()
	n.write(t, filepath.Join("sites", name), text)
}

// client returns a client that reaches the node under any name, and speaks
// only the protocol asked for: h1, h2 or h3.
func (n *node) client(t testing.TB, proto string) *http.Client {
	t.Helper()
	conf := &tls.Config{RootCAs: n.roots}
	if proto == "h3" {
		rt := &http3.Transport{TLSClientConfig: conf, Dial: n.dialQUIC}
		t.Cleanup(func() { _ = rt.Close() })
		return &http.Client{Transport: rt, Timeout: 2 * time.Minute}
	}
	rt := &http.Transport{
		TLSClientConfig: conf, ForceAttemptHTTP2: proto == "h2", DisableCompression: true, MaxIdleConnsPerHost: 32,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			to := n.https
			if strings.HasSuffix(addr, ":80") {
				to = n.http
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	}
	t.Cleanup(rt.CloseIdleConnections)
	return &http.Client{Transport: rt, Timeout: 2 * time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get fetches a URL whole.
func get(t testing.TB, c *http.Client, url string) (*http.Response, []byte) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return resp, body
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

// peakMemory is the largest resident set that a process had, in bytes.
func peakMemory(t testing.TB, p *process) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// accessLog is what the node has written of requests so far.
func (n *node) accessLog(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pair is a certificate and its key in PEM.
type pair struct{ cert, key string }

// selfSigned makes a certificate for a host.
func selfSigned(t testing.TB, host string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pair{
		cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}
}
