package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// load is what a load generator saw.
type load struct {
	Requests int
	Seconds  float64
	Resumed  int    // connections that resumed a session
	Failed   string // what went wrong, "" for nothing
}

// generators run load generators on the clients' processor. They all force
// TLS 1.3 with TLS_AES_128_GCM_SHA256.
type generators struct {
	self    string // the bench's own program
	tlsConf string // OpenSSL's settings
	window  time.Duration
}

// command is a program on the clients' processor.
func (g generators) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", clientCPU}, args...)...)
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+g.tlsConf)
	ownGroup(cmd)
	return cmd
}

// overtime is what a generator may take beyond its window.
const overtime = 20 * time.Second

func (g generators) output(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, g.window+overtime)
	defer cancel()
	out, err := g.command(ctx, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", args[0], err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// url names the host that the certificate is for, so that SNI and Host
// agree.
func url(addr, path string) string {
	_, port, _ := net.SplitHostPort(addr)
	return "https://" + net.JoinHostPort(host, port) + path
}

func (g generators) wrk(ctx context.Context, s *server, path string) (load, error) {
	return g.wrkScript(ctx, url(s.addr, path))
}

func (g generators) wrkScript(ctx context.Context, args ...string) (load, error) {
	out, err := g.output(ctx, append([]string{"wrk", "-t1", "-c64", fmt.Sprintf("-d%ds", int(g.window.Seconds()))}, args...)...)
	if err != nil {
		return load{}, err
	}
	return parseWrk(out)
}

// listScript has wrk ask for the lines of a file in turn.
const listScript = `
local requests, at = {}, 0
function init(args)
	for line in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", line) end
	at = tonumber(args[2])
end
function request()
	at = at % #requests + 1
	return requests[at]
end
`

// wrkList asks for what is on the server's list.
func (g generators) wrkList(ctx context.Context, s *server, path string) (load, error) {
	l := s.lists[path]
	script := l.file + ".lua"
	if err := os.WriteFile(script, []byte(listScript), 0o644); err != nil {
		return load{}, err
	}
	done, err := g.wrkScript(ctx, "-s", script, url(s.addr, path), "--", l.file, strconv.Itoa(l.next))
	l.skip(done.Requests + 64) // as many were on their way at the end
	return done, err
}

// clientList does the same over HTTP/2: h2load has each connection begin
// with the first line.
func (g generators) clientList(ctx context.Context, s *server, path string) (load, error) {
	l := s.lists[path]
	done, err := g.client(ctx, s, path, []string{"-mode", "h2", "-c", "16", "-m", "16", "-list", l.file, "-from", strconv.Itoa(l.next)})
	l.skip(done.Requests + 256)
	return done, err
}

var (
	wrkDone   = regexp.MustCompile(`(\d+) requests in `)
	wrkRate   = regexp.MustCompile(`Requests/sec: +([\d.]+)`)
	wrkFailed = regexp.MustCompile(`(?m)^ *((?:Non-2xx or 3xx responses|Socket errors): .*)$`)
)

func parseWrk(out string) (l load, err error) {
	done, rate := wrkDone.FindStringSubmatch(out), wrkRate.FindStringSubmatch(out)
	if done == nil || rate == nil {
		return l, fmt.Errorf("wrk printed no result:\n%s", out)
	}
	l.Requests, err = strconv.Atoi(done[1])
	perSecond, err2 := strconv.ParseFloat(rate[1], 64)
	l.Seconds = float64(l.Requests) / perSecond
	var failed []string
	for _, m := range wrkFailed.FindAllStringSubmatch(out, -1) {
		failed = append(failed, m[1])
	}
	l.Failed = strings.Join(failed, ", ")
	return l, errors.Join(err, err2)
}

// h2load gets windows that hold a whole object, as browsers give.
func (g generators) h2load(ctx context.Context, s *server, path string) (load, error) {
	out, err := g.output(ctx, "h2load", "-t1", "-c16", "-m16", "-w30", "-W30",
		fmt.Sprintf("--duration=%d", int(g.window.Seconds())), "--connect-to="+s.addr, url(s.addr, path))
	if err != nil {
		return load{}, err
	}
	l, err := parseH2load(out)
	l.Seconds = g.window.Seconds()
	return l, err
}

var (
	h2Done   = regexp.MustCompile(`requests: \d+ total, \d+ started, (\d+) done`)
	h2Status = regexp.MustCompile(`status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
)

// parseH2load does not look at failed and errored requests: those that the
// end of the window cut off are among them.
func parseH2load(out string) (l load, err error) {
	done, status := h2Done.FindStringSubmatch(out), h2Status.FindStringSubmatch(out)
	if done == nil || status == nil || !strings.Contains(out, "Application protocol: h2") {
		return l, fmt.Errorf("h2load printed no result over HTTP/2:\n%s", out)
	}
	l.Requests, err = strconv.Atoi(done[1])
	for i, class := range []string{"3xx", "4xx", "5xx"} {
		if n := status[i+1]; n != "0" {
			l.Failed = strings.TrimPrefix(l.Failed+", "+n+" responses "+class, ", ")
		}
	}
	return l, err
}

// client runs this program's own client for what the others cannot do.
func (g generators) client(ctx context.Context, s *server, path string, args []string) (l load, err error) {
	out, err := g.output(ctx, append([]string{g.self, "client", "-addr", s.addr, "-path", path, "-d", g.window.String()}, args...)...)
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		return l, fmt.Errorf("client printed %q: %w", out, err)
	}
	return l, nil
}
