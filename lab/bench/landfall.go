package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// node is what one landfall is told beyond what all are.
type node struct {
	id     int
	listen string // more of its node file: of the group listen,
	rest   string // and of its own
}

// startLandfall runs a node that is alone.
func (s *stage) startLandfall(ctx context.Context, b build) (*server, error) {
	return s.startNode(ctx, b, node{id: 1})
}

// startNode runs a node as its users have it: routing, limits, access log
// and metrics. Only that a machine stands still for a moment must not make
// another load of a relayed one: nodes are patient with each other. It builds the tree's when the build has no path.
func (s *stage) startNode(ctx context.Context, b build, n node) (*server, error) {
	if b.path == "" {
		b.path = filepath.Join(s.dir, "landfall")
		if err := buildLandfall(ctx, b.path); err != nil {
			return nil, err
		}
	}
	dir, err := s.folder(b.name)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "node.yaml")
	err = errors.Join(
		os.Mkdir(filepath.Join(dir, "sites"), 0o755),
		os.WriteFile(filepath.Join(dir, "sites", "site.yaml"), fmt.Appendf(nil,
			"hostnames: [%s]\ntls: { cert: { certificate: %s, key: %s } }\norigins: [\"http://%s\"]\n", host, s.cert, s.key, s.origin), 0o644),
		os.WriteFile(file, fmt.Appendf(nil, `
node:    { id: %[2]d, name: %[3]s, pop: bench }
listen:  { https: ["127.0.0.1:0"]%[4]s }
admin:   { listen: "127.0.0.1:0" }
sites:   { dir: %[1]s/sites }
state:   %[1]s/state
origins: { allow: ["127.0.0.0/8"] }
limits:  { conns_per_client: 20000, relay_silence: 5s, relay_dead: 8s }
drain:   { timeout: 1s }
log:     { access: %[1]s/access.log }
%[5]s`, dir, n.id, n.name(), n.listen, n.rest), 0o644))
	if err != nil {
		return nil, err
	}
	p, err := s.launch(dir, b.name, serverCPU, []string{b.path, "run", "--config", file}, "GOMAXPROCS=1")
	if err != nil {
		return nil, err
	}
	srv := &server{name: b.name, process: p, isHit: func(h http.Header) bool {
		return strings.Contains(h.Get("Cache-Status"), "; hit")
	}}
	return srv, p.await(ctx, srv.serving)
}

// name is what the node calls itself in Cache-Status.
func (n node) name() string { return fmt.Sprintf("bench-%d", n.id) }

// buildLandfall builds the program once, as make build does.
func buildLandfall(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "github.com/landfall-cdn/landfall/cmd/landfall")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build landfall: %w\n%s", err, out)
	}
	return nil
}

// serving looks in a node's log for where it serves.
func (srv *server) serving() bool {
	text, err := os.ReadFile(srv.process.log)
	if err != nil {
		return false
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var line struct {
			Msg, Admin string
			HTTPS      []string
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" && len(line.HTTPS) == 1 {
			srv.addr, srv.admin = line.HTTPS[0], line.Admin
			return true
		}
	}
	return false
}
