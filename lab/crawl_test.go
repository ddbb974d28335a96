package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// startNginx serves a folder with Debian's nginx, the origin that most
// customers have, and returns its address.
func startNginx(t testing.TB, root string) string {
	t.Helper()
	nginx := testneed.Command(t, "nginx", "nginx-light")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	runNginx(t, []string{nginx}, addr, dir, fmt.Sprintf(`
  default_type application/octet-stream; keepalive_requests 100000;
  server { listen %s; root %s; autoindex off; add_header Cache-Control "max-age=3600"; }
`, addr, root))
	return addr
}

// runNginx runs one process of nginx, with everything that it writes in
// dir, until the test ends; conf is what its http block says.
func runNginx(t testing.TB, command []string, addr, dir, conf string) *process {
	t.Helper()
	var out strings.Builder
	if os.Geteuid() == 0 {
		out.WriteString("user root;\n") // so that it may read the folders of tests
	}
	fmt.Fprintf(&out, "master_process off; daemon off; pid %s/pid; error_log stderr; worker_rlimit_nofile 32768;\n", dir)
	out.WriteString("events { worker_connections 16384; multi_accept on; }\nhttp {\naccess_log off;\n")
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&out, "%s_temp_path %s/%s;\n", name, dir, name)
	}
	out.WriteString(conf + "}\n")
	file := filepath.Join(dir, "nginx.conf")
	must(t, os.WriteFile(file, []byte(out.String()), 0o644))
	args := append(command[1:], "-e", "stderr", "-c", file)
	p := launch(t, exec.Command(command[0], args...))
	waitFor(t, "nginx", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return p
}

// freeAddr returns a loopback address that nothing listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// goTree lists at least n files of Go's own sources, with their sums.
func goTree(t *testing.T, n int) (root string, sums map[string][32]byte) {
	t.Helper()
	root, sums = filepath.Join(goroot(t), "src"), map[string][32]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if len(sums) == n {
			return fs.SkipAll
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path) // path is below root
		sums["/"+filepath.ToSlash(name)] = sha256.Sum256(data)
		return nil
	})
	if err != nil || len(sums) < n {
		t.Fatalf("%d files of %d in %s: %v", len(sums), n, root, err)
	}
	return root, sums
}

// TestCrawl fetches 2,000 objects of two sites over each version of HTTP,
// twice: every body is the origin's to the byte, the first pass comes from
// the origin, the second from the cache.
func TestCrawl(t *testing.T) {
	root, sums := goTree(t, 2000)
	origin := startNginx(t, root)
	site := func(host string) string {
		return fmt.Sprintf("hostnames: [%s]\ntls: {cert: internal}\norigins: [\"http://%s\"]\n", host, origin)
	}
	n := startNode(t, "cache: { memory: 1GiB }", map[string]string{"one.yaml": site("one.example"), "two.yaml": site("two.example")})
	for _, proto := range []string{"h1", "h2", "h3"} {
		for _, host := range []string{"one.example", "two.example"} {
			for pass, want := range []string{"fwd=", "hit"} {
				t.Run(fmt.Sprintf("%s/%s/pass%d", proto, host, pass+1), func(t *testing.T) {
					crawl(t, n.client(t, proto), "https://"+host, "?"+proto, want, sums)
				})
			}
		}
	}
	t.Logf("peak memory of the node: %d MiB", peakMemory(t, n.process)>>20)
}

func crawl(t *testing.T, c *http.Client, base, query, want string, sums map[string][32]byte) {
	paths := make(chan string)
	var workers sync.WaitGroup
	var wrong atomic.Int32
	for range 8 {
		workers.Go(func() {
			for path := range paths {
				if err := fetch(c, base+path+query, want, sums[path]); err != nil && wrong.Add(1) <= 5 {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
	for path := range sums {
		paths <- path
	}
	close(paths)
	workers.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d objects are wrong", n, len(sums))
	}
}

func fetch(c *http.Client, url, want string, sum [32]byte) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != 200 || sha256.Sum256(body) != sum {
		return fmt.Errorf("status %d, %d bytes that are not the origin's", resp.StatusCode, len(body))
	}
	if status := resp.Header.Get("Cache-Status"); !strings.HasPrefix(status, "landfall; "+want) {
		return fmt.Errorf("cache-status %q, want %q", status, want)
	}
	return nil
}

// TestLargeDownload takes 1 GiB through a node in bounded memory, stored
// or not.
func TestLargeDownload(t *testing.T) {
	root := t.TempDir()
	f, err := os.Create(filepath.Join(root, "large"))
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 30
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "cache: { memory: 64MiB }", map[string]string{
		"large.yaml": fmt.Sprintf("hostnames: [large.example]\ntls: {cert: internal}\norigins: [\"http://%s\"]\n", startNginx(t, root)),
	})
	for _, proto := range []string{"h1", "h2", "h3"} {
		resp, err := n.client(t, proto).Get("https://large.example/large")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || got != size {
			t.Fatalf("%s: %d bytes of %d, %v", proto, got, size, err)
		}
		t.Logf("%s: 1 GiB, peak memory of the node so far: %d MiB", proto, peakMemory(t, n.process)>>20)
	}
	if peak := peakMemory(t, n.process); peak > 256<<20 {
		t.Errorf("the node took %d MiB for a download of 1 GiB", peak>>20)
	}
}

// TestAbortedDownloadLeavesTheOrigin: a client that goes away must not
// leave the node fetching what nobody wants.
func TestAbortedDownloadLeavesTheOrigin(t *testing.T) {
	ended := make(chan int64, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		var sent int64
		for block := bytes.Repeat([]byte("x"), 1<<20); ; {
			m, err := w.Write(block)
			if sent += int64(m); err != nil {
				ended <- sent
				return
			}
		}
	})}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	n := startNode(t, "", map[string]string{
		"endless.yaml": fmt.Sprintf("hostnames: [endless.example]\ntls: {cert: internal}\norigins: [\"http://%s\"]\n", ln.Addr()),
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://endless.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := n.client(t, "h2").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<20)
	cancel()
	t.Logf("the origin was asked for %d MiB of an endless response", <-ended>>20)
}
