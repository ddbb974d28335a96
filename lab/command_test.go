package lab

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// run runs the program to its end.
func run(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	if err := os.Mkdir(filepath.Join(dir, "sites"), 0o700); err != nil {
		t.Fatal(err)
	}
	broken := write("broken.yaml", "hostnames: [a.example]\norigins: [\"https://192.168.1.1\"]\ncache: { default_ttl: 10 }\nnames: x\n")
	busy := write("busy.yaml", nodeFile(dir, "")+"\n")
	busyText, err := os.ReadFile(busy)
	if err != nil {
		t.Fatal(err)
	}
	busy = write("busy.yaml", strings.Replace(string(busyText), `https: ["127.0.0.1:0"]`, `https: ["`+taken.Addr().String()+`"]`, 1))
	for _, tc := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"help", []string{"--help"}, 0, []string{"dev", "run", "check", "version"}},
		{"version", []string{"version"}, 0, []string{"landfall "}},
		{"no such verb", []string{"frobnicate"}, 2, []string{"frobnicate"}},
		{"no such flag", []string{"run", "--nope"}, 2, []string{"--nope"}},
		{"run without a file", []string{"run"}, 2, []string{"--config"}},
		{"too many nodes", []string{"dev", "--nodes", "17"}, 2, []string{"1 to 16"}},
		{"origin without scheme", []string{"dev", "--origin", "localhost"}, 2, []string{"--origin"}},
		{"no such file", []string{"run", "--config", filepath.Join(dir, "none.yaml")}, 1, []string{"none.yaml"}},
		{"good site", []string{"check", "-f", write("good.yaml", "hostnames: [a.example]\norigins: [\"https://b.example\"]\n")}, 0, []string{"site good: ok"}},
		{"broken site", []string{"check", "-f", broken}, 1, []string{"broken.yaml:3: cache.default_ttl", "broken.yaml:4: names: unknown key", "nothing was changed"}},
		{"good node", []string{"check", "--config", write("node.yaml", nodeFile(dir, ""))}, 0, []string{"drain:", "timeout: 30s"}},
		{"first example", []string{"check", "--config", "../configs/examples/first/node.yaml"}, 0, []string{"site hello: ok"}},
		{"port in use", []string{"run", "--config", busy}, 1, []string{taken.Addr().String(), "in use"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out := run(t, tc.args...)
			if code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for _, want := range tc.says {
				if !strings.Contains(out, want) {
					t.Errorf("does not say %q:\n%s", want, out)
				}
			}
		})
	}
}

// TestPrivateOriginIsRefused: in the document, and again at the dial when
// a name resolves to a private address.
func TestPrivateOriginIsRefused(t *testing.T) {
	n := startNode(t, "", map[string]string{
		"good.yaml":  siteDoc("good.example", origin(t, "good")),
		"bad.yaml":   siteDoc("bad.example", "http://169.254.169.254"),
		"named.yaml": siteDoc("named.example", "http://ip6-allnodes.invalid"),
	})
	if _, v := n.health(t); !v.complains("bad.yaml:3") {
		t.Errorf("health does not name the document with a metadata address: %+v", v)
	}
	if _, body := get(t, n.client(t, "h1"), "https://good.example/"); string(body) != "good" {
		t.Errorf("the other site answers %q", body)
	}
	resp, body := get(t, n.client(t, "h2"), "https://named.example/")
	if resp.StatusCode < 500 || !strings.Contains(resp.Header.Get("Proxy-Status"), "landfall; error=") {
		t.Errorf("an origin that has no address: %d %v\n%s", resp.StatusCode, resp.Header, body)
	}
}

func TestMisdirectedRequests(t *testing.T) {
	n := startNode(t, "", map[string]string{"a.yaml": siteDoc("a.example", origin(t, "a")), "b.yaml": siteDoc("b.example", origin(t, "b"))})
	for _, proto := range []string{"h1", "h2", "h3"} {
		c := n.client(t, proto)
		req := mustRequest(t, "https://a.example/")
		req.Host = "b.example"
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 421 {
			t.Errorf("%s: SNI a.example, Host b.example: status %d, want 421", proto, resp.StatusCode)
		}
		if _, err := c.Get("https://unknown.example/"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s: handshake for an unknown name: %v, want the alert unrecognized_name", proto, err)
		}
	}
	if resp, _ := get(t, n.client(t, "h1"), "http://unknown.example/"); resp.StatusCode != 421 {
		t.Errorf("plain request for an unknown host: %d", resp.StatusCode)
	}
	if resp, _ := get(t, n.client(t, "h1"), "http://a.example/x?y"); resp.StatusCode != 308 || !strings.HasSuffix(resp.Header.Get("Location"), "/x?y") {
		t.Errorf("plain request: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
}

// TestSecondSignalStopsAtOnce: a drain that waits for a client is cut by
// a second SIGTERM.
func TestSecondSignalStopsAtOnce(t *testing.T) {
	n := startNode(t, "drain: { timeout: 1h }", map[string]string{"demo.yaml": siteDoc("demo.example", startDemo(t))})
	resp, err := n.client(t, "h2").Get("https://demo.example/events?n=60")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	mustSignal(t, n.process, syscall.SIGTERM)
	waitFor(t, "drain", func() bool { status, v := n.health(t); return status == 503 && !v.Ready })
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Errorf("a request in flight was cut by the first signal: %v", err)
	}
	mustSignal(t, n.process, syscall.SIGTERM)
	<-n.ended
	if code := n.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1: the stop was not clean", code)
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func mustSignal(t *testing.T, p *process, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
