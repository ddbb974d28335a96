package lab

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// The measure: CPU time that a server spends on one cached hit, in pairs
// of windows with nginx, each server on CPU 0 and its clients on CPU 1.
// Only the ratios of pairs mean anything; the machine is never quiet.
const (
	costRounds = 5
	costWindow = 2 // seconds
)

// contender is one server under load.
type contender struct {
	name, addr string
	pid        int
}

// BenchmarkCost prints CPU per request against Debian's nginx, which
// serves from its proxy_cache. Landfall runs as its users have it: with
// routing, access log and metrics.
//
//	go test ./lab -run '^$' -bench Cost -benchtime 1x
func BenchmarkCost(b *testing.B) {
	for _, need := range [][2]string{{"nginx", "nginx-light"}, {"wrk", "wrk"}, {"h2load", "nghttp2-client"}, {"taskset", "util-linux"}} {
		testneed.Command(b, need[0], need[1])
	}
	root := b.TempDir()
	for name, size := range map[string]int{"1k": 1 << 10, "16k": 16 << 10, "1m": 1 << 20} {
		data := make([]byte, size)
		_, _ = rand.Read(data) // never fails
		must(b, os.WriteFile(filepath.Join(root, name), data, 0o644))
	}
	must(b, os.Chmod(root, 0o755))
	origin := startNginx(b, root)
	ours, cert := costNode(b, origin)
	theirs := costNginx(b, origin, cert)
	for _, kind := range []string{"h1", "h2"} {
		for _, object := range []string{"1k", "16k", "1m"} {
			b.Run(kind+"/"+object, func(b *testing.B) { compare(b, kind, object, theirs, ours) })
		}
	}
	b.Run("handshake/1k", func(b *testing.B) { compare(b, "hs", "1k", theirs, ours) })
}

// costNode runs a node on CPU 0 in front of an origin, with a certificate
// that nginx can use too.
func costNode(b *testing.B, origin string) (c contender, cert string) {
	dir := b.TempDir()
	cert = filepath.Join(dir, "cert")
	made := selfSigned(b, "localhost")
	must(b, os.WriteFile(cert+".pem", []byte(made.cert), 0o600))
	must(b, os.WriteFile(cert+".key", []byte(made.key), 0o600))
	must(b, os.Mkdir(filepath.Join(dir, "sites"), 0o755))
	site := fmt.Sprintf("hostnames: [localhost]\ntls: { cert: { certificate: %[1]s.pem, key: %[1]s.key } }\norigins: [\"http://%[2]s\"]\n", cert, origin)
	must(b, os.WriteFile(filepath.Join(dir, "sites", "cost.yaml"), []byte(site), 0o644))
	n := &node{dir: dir}
	n.write(b, "node.yaml", strings.Replace(nodeFile(dir, ""), "log:", "limits: { conns_per_client: 10000 }\nlog:", 1))
	cmd := exec.Command("taskset", "-c", "0", binary, "run", "--config", filepath.Join(dir, "node.yaml"))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	n.process = launch(b, cmd)
	n.listening(b)
	return contender{"landfall", n.https, n.cmd.Process.Pid}, cert
}

// costNginx runs the yardstick: one worker on CPU 0, everything a hit.
func costNginx(b *testing.B, origin, cert string) contender {
	dir, addr := b.TempDir(), freeAddr(b)
	command := []string{"taskset", "-c", "0", testneed.Command(b, "nginx", "nginx-light")}
	p := runNginx(b, command, addr, dir, fmt.Sprintf(`
  sendfile on; tcp_nopush on; keepalive_timeout 300s; keepalive_requests 100000000;
  proxy_cache_path %s/cache levels=1:2 keys_zone=c:16m max_size=512m inactive=60m use_temp_path=off;
  open_file_cache max=1000 inactive=300s; open_file_cache_valid 300s; open_file_cache_min_uses 1;
  ssl_certificate %[2]s.pem; ssl_certificate_key %[2]s.key; ssl_protocols TLSv1.3; ssl_buffer_size 16k;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; http2_max_concurrent_streams 256; http2_chunk_size 16k;
  server { listen %[3]s ssl http2 backlog=4096;
    location / { proxy_pass http://%[4]s; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_cache c; proxy_cache_valid 200 60m; } }
`, dir, cert, addr, origin))
	return contender{"nginx", addr, p.cmd.Process.Pid}
}

// compare loads both in turn and reports the medians.
func compare(b *testing.B, kind, object string, base, ours contender) {
	var ratios, baseCost, ourCost []float64
	for range costRounds {
		x, y := load(b, kind, object, base), load(b, kind, object, ours)
		baseCost, ourCost = append(baseCost, x), append(ourCost, y)
		ratios = append(ratios, y/x)
	}
	b.ReportMetric(median(baseCost), "nginx-us/req")
	b.ReportMetric(median(ourCost), "us/req")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(slices.Min(ratios), "ratio-min")
	b.ReportMetric(slices.Max(ratios), "ratio-max")
	b.ReportMetric(0, "ns/op") // the time of a window says nothing
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// load runs one window and returns the CPU microseconds per request.
func load(b *testing.B, kind, object string, c contender) float64 {
	b.Helper()
	_, port, err := net.SplitHostPort(c.addr)
	must(b, err)
	url := fmt.Sprintf("https://localhost:%s/%s", port, object)
	var args []string
	switch kind {
	case "h1":
		args = []string{"wrk", "-t1", "-c64", fmt.Sprintf("-d%ds", costWindow), url}
	case "h2":
		args = []string{"h2load", "-t1", "-c16", "-m16", fmt.Sprintf("--duration=%d", costWindow), url}
	case "hs":
		args = []string{"wrk", "-t1", "-c16", fmt.Sprintf("-d%ds", costWindow), "-H", "Connection: close", url}
	}
	before := cpuTime(b, c.pid)
	out, err := exec.Command("taskset", append([]string{"-c", "1"}, args...)...).CombinedOutput()
	used := cpuTime(b, c.pid) - before
	if err != nil {
		b.Fatalf("%v: %v\n%s", args, err, out)
	}
	n := finished(string(out))
	if n == 0 {
		b.Fatalf("%s: no request succeeded:\n%s", c.name, out)
	}
	return used / n
}

// finished reads the number of requests from what wrk or h2load print. A
// request that failed makes the window void.
func finished(out string) float64 {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) > 3 && f[1] == "requests" && f[2] == "in" { // wrk
			if strings.Contains(out, "Non-2xx") {
				return 0
			}
			n, _ := strconv.ParseFloat(f[0], 64)
			return n
		}
		if strings.HasPrefix(line, "requests:") && len(f) > 7 { // h2load
			n, _ := strconv.ParseFloat(f[7], 64)
			return n
		}
	}
	return 0
}

// cpuTime is what the process has used, in microseconds.
func cpuTime(b *testing.B, pid int) float64 {
	b.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	must(b, err)
	total := 0.0
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that has just ended
		}
		ns, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
		must(b, err)
		total += ns / 1000
	}
	return total
}
