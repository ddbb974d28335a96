package lab

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// startDev runs `landfall dev` on ports that are free, and returns where
// it serves and its folder.
func startDev(t *testing.T, args ...string) (p *process, https, dir string) {
	t.Helper()
	dir = t.TempDir()
	args = append([]string{"dev", "--dir", dir, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)
	// The last of a flag counts.
	p = launch(t, exec.Command(binary, args...))
	waitFor(t, "greeting", func() bool { return strings.Contains(p.output(), "Ctrl-C stops it") })
	port := regexp.MustCompile(`https://localhost:(\d+)/`).FindStringSubmatch(p.output())[1]
	return p, "127.0.0.1:" + port, dir
}

// TestPrintedCurlLinesWork pastes what dev prints. The line for HTTP/3 is
// tried where curl speaks it; TestChromium covers it everywhere.
func TestPrintedCurlLinesWork(t *testing.T) {
	testneed.Command(t, "curl", "curl")
	p, _, _ := startDev(t)
	version, err := exec.Command("curl", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, line := range strings.Split(p.output(), "\n") {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "     ")
		if !strings.HasPrefix(line, "curl ") || strings.Contains(line, "--http3") && !strings.Contains(string(version), "HTTP3") {
			continue
		}
		tried++
		for pass, want := range []string{"landfall; ", "landfall; hit"} {
			out, err := exec.Command("sh", "-c", line).CombinedOutput()
			if err != nil || !strings.Contains(strings.ToLower(string(out)), "cache-status: "+want) {
				t.Errorf("%s, pass %d: %v, want cache-status %q in\n%s", line, pass+1, err, want, out)
			}
		}
	}
	if tried < 2 {
		t.Errorf("tried %d lines of\n%s", tried, p.output())
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestChromium loads the demo page with a browser over HTTP/3. With
// LANDFALL_SCREENSHOT set it leaves a picture there.
func TestChromium(t *testing.T) {
	chromium := testneed.Command(t, "chromium", "chromium")
	_, https, dir := startDev(t, "--listen", freeAddr(t))
	_, port, _ := net.SplitHostPort(https)
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-extensions", "--user-data-dir=" + t.TempDir(),
		"--enable-quic", "--origin-to-force-quic-on=localhost:" + port,
		"--ignore-certificate-errors-spki-list=" + keyHash(t, https),
		"--virtual-time-budget=8000", "--window-size=1100,1400",
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var proto string
	for range 3 { // a browser has patience of its own, and less than a busy machine takes
		page, err := exec.CommandContext(ctx, chromium, append(args, "--dump-dom", "https://localhost:"+port+"/")...).Output()
		if err != nil {
			t.Logf("the browser: %v", err)
		} else if got := regexp.MustCompile(`id="fact-proto"[^>]*>([^<]*)<`).FindSubmatch(page); got != nil {
			proto = string(got[1])
		}
		if strings.Contains(proto, "HTTP/3") {
			break
		}
	}
	if !strings.Contains(proto, "HTTP/3") {
		t.Errorf("the page says its protocol is %q", proto)
	}
	waitFor(t, "access record of the browser over HTTP/3", func() bool {
		log, err := os.ReadFile(filepath.Join(dir, "access.log"))
		return err == nil && regexp.MustCompile(`"path":"/".*"proto":"HTTP/3","status":200.*Chrome`).Match(log)
	})
	if file := os.Getenv("LANDFALL_SCREENSHOT"); file != "" {
		shot := exec.CommandContext(ctx, chromium, append(args, "--screenshot="+file, "https://localhost:"+port+"/")...)
		if out, err := shot.CombinedOutput(); err != nil {
			t.Errorf("screenshot: %v\n%s", err, out)
		}
	}
}

// keyHash is what Chromium takes to trust one key: the hash of the leaf's
// public key.
func keyHash(t *testing.T, addr string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	sum := sha256.Sum256(c.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func TestDevOfAnOriginOfOnesOwn(t *testing.T) {
	_, https, dir := startDev(t, "--origin", origin(t, "mine"))
	out, err := exec.Command("curl", "-s", "--cacert", filepath.Join(dir, "state", "ca", "root.crt"), "https://"+https+"/").Output()
	if err != nil || string(out) != "mine" {
		t.Errorf("%q, %v", out, err)
	}
}
