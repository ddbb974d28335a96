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

// The names of the servers that others are compared with.
const (
	nginxName = "nginx"
	caddyName = "caddy"
)

// server is a program under load.
type server struct {
	name    string
	addr    string // host:port, TCP and UDP
	admin   string // host:port of profiles, "" when it has none
	process *process
	// isHit says whether an answer came from the cache; nil when it has
	// none.
	isHit func(http.Header) bool
}

// start runs a fresh server by its name.
func (s *stage) start(ctx context.Context, name string, o options) (*server, error) {
	switch name {
	case nginxName:
		return s.startNginx(ctx)
	case caddyName:
		return s.startCaddy(ctx, o.caddy)
	}
	for _, b := range o.builds {
		if b.name == name {
			return s.startLandfall(ctx, b)
		}
	}
	return nil, fmt.Errorf("no server is called %q", name)
}

// runNginx runs nginx, with one worker and everything that it writes in a
// folder of its own; conf is what its http block says.
func (s *stage) runNginx(ctx context.Context, name, cpu, addr, conf string) (*process, error) {
	dir, err := s.folder(name)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if os.Geteuid() == 0 {
		text.WriteString("user root;\n") // it must read our folder
	}
	fmt.Fprintf(&text, "daemon off; worker_processes 1; worker_rlimit_nofile 32768; pid %s/pid; error_log stderr;\n", dir)
	text.WriteString("events { worker_connections 16384; multi_accept on; }\nhttp {\n")
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&text, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	text.WriteString("access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_timeout 300s; keepalive_requests 100000000;\n")
	text.WriteString("default_type application/octet-stream; server_tokens off; open_file_cache max=1000 inactive=300s; open_file_cache_valid 300s; open_file_cache_min_uses 1;\n")
	text.WriteString(strings.ReplaceAll(conf, "$dir", dir) + "\n}\n")
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		return nil, err
	}
	p, err := s.launch(dir, name, cpu, []string{s.nginxPath, "-e", "stderr", "-c", file})
	if err != nil {
		return nil, err
	}
	return p, p.await(ctx, listening(addr))
}

// startNginx runs the yardstick. Its access log is off, unlike Landfall's.
func (s *stage) startNginx(ctx context.Context) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	p, err := s.runNginx(ctx, nginxName, serverCPU, addr, fmt.Sprintf(`
  proxy_cache_path $dir/cache levels=1:2 keys_zone=c:16m max_size=512m inactive=60m use_temp_path=off;
  ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.3; ssl_session_tickets on; ssl_buffer_size 16k;
  ssl_prefer_server_ciphers on; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  http2_max_concurrent_streams 256; http2_chunk_size 16k;
  upstream origin { server %s; keepalive 64; keepalive_requests 100000000; }
  server { listen %s ssl http2 backlog=4096;
    location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host %s;
      proxy_cache c; proxy_cache_valid 200 60m; proxy_max_temp_file_size 16m; add_header X-Cache $upstream_cache_status; } }`,
		s.cert, s.key, s.origin, addr, host))
	return &server{
		name: nginxName, addr: addr, process: p,
		isHit: func(h http.Header) bool { return h.Get("X-Cache") == "HIT" },
	}, err
}

// startLandfall runs a node as its users have it: routing, limits, access
// log and metrics. It builds the tree's when the build has no path.
func (s *stage) startLandfall(ctx context.Context, b build) (*server, error) {
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
node:    { id: 1, name: bench }
listen:  { https: ["127.0.0.1:0"] }
admin:   { listen: "127.0.0.1:0" }
sites:   { dir: %[1]s/sites }
state:   %[1]s/state
origins: { allow: ["127.0.0.0/8"] }
limits:  { conns_per_client: 20000 }
drain:   { timeout: 1s }
log:     { access: %[1]s/access.log }
`, dir), 0o644))
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

// startCaddy runs caddy on the objects themselves: it has no cache.
func (s *stage) startCaddy(ctx context.Context, path string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	dir, err := s.folder(caddyName)
	if err != nil {
		return nil, err
	}
	file, port := filepath.Join(dir, "Caddyfile"), addr[strings.LastIndex(addr, ":"):]
	if err := os.WriteFile(file, fmt.Appendf(nil, `{
	admin off
	persist_config off
	auto_https off
	storage file_system %s
	log {
		level ERROR
	}
}
https://%s%s {
	bind 127.0.0.1
	tls %s %s
	root * %s
	file_server
}
`, dir, host, port, s.cert, s.key, s.www()), 0o644); err != nil {
		return nil, err
	}
	p, err := s.launch(dir, caddyName, serverCPU, []string{path, "run", "--config", file, "--adapter", "caddyfile"},
		"GOMAXPROCS=1", "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	if err != nil {
		return nil, err
	}
	return &server{name: caddyName, addr: addr, process: p}, p.await(ctx, listening(addr))
}
