package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
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
	owner   *server          // the one that it relays everything to, nil when it answers by itself
	lists   map[string]*list // what it is asked for, by path; only of one that has an owner
	// isHit says whether an answer came from the cache; nil when it has
	// none.
	isHit func(http.Header) bool
}

// start runs a fresh server for a kind of load, by its name.
func (s *stage) start(ctx context.Context, k kind, name string, o options) (*server, error) {
	switch {
	case name == nginxName && k.relayed:
		return s.startNginxPair(ctx, o.lengths(k))
	case name == nginxName:
		return s.startNginx(ctx, "$scheme$proxy_host$request_uri") // its own default
	case name == caddyName:
		return s.startCaddy(ctx, o.caddy)
	}
	for _, b := range o.builds {
		switch {
		case b.name == name && k.relayed:
			return s.startPop(ctx, b, o.lengths(k))
		case b.name == name:
			return s.startLandfall(ctx, b)
		}
	}
	return nil, fmt.Errorf("no server is called %q", name)
}

// all are the server and the one that it relays to.
func (srv *server) all() []*server {
	if srv.owner == nil {
		return []*server{srv}
	}
	return []*server{srv, srv.owner}
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

// startNginx runs the yardstick, with a cache of the given keys. Its access
// log is off, unlike Landfall's.
func (s *stage) startNginx(ctx context.Context, key string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	p, err := s.runNginx(ctx, nginxName, serverCPU, addr, s.nginxTLS()+fmt.Sprintf(`
  proxy_cache_path $dir/cache levels=1:2 keys_zone=c:16m max_size=512m inactive=60m use_temp_path=off;
  upstream origin { server %s; keepalive 64; keepalive_requests 100000000; }
  server { listen %s ssl http2 backlog=4096;
    location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host %s;
      proxy_cache c; proxy_cache_key %s; proxy_cache_valid 200 60m; proxy_max_temp_file_size 16m; add_header X-Cache $upstream_cache_status; } }`,
		s.origin, addr, host, key))
	return &server{name: nginxName, addr: addr, process: p, isHit: nginxHit}, err
}

// nginxTLS is what all nginx that clients see say of TLS and HTTP/2.
func (s *stage) nginxTLS() string {
	return fmt.Sprintf(`
  ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.3; ssl_session_tickets on; ssl_buffer_size 16k;
  ssl_prefer_server_ciphers on; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  http2_max_concurrent_streams 256; http2_chunk_size 16k;`, s.cert, s.key)
}

func nginxHit(h http.Header) bool { return h.Get("X-Cache") == "HIT" }

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
