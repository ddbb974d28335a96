package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// startNginxPair runs the yardstick of relayed loads: nginx without a cache
// in front of one with a cache, and TLS between them. All URLs of an object
// are one in that cache, which is in nginx's favour: it has few files open.
func (s *stage) startNginxPair(ctx context.Context, lengths map[string]int) (*server, error) {
	owner, err := s.startNginx(ctx, "$uri")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	srv := &server{name: nginxName, addr: addr, owner: owner, isHit: nginxHit}
	srv.process, err = s.runNginx(ctx, nginxName, serverCPU, addr, s.nginxTLS()+fmt.Sprintf(`
  upstream owner { server %s; keepalive 512; keepalive_requests 100000000; keepalive_timeout 300s; }
  server { listen %s ssl http2 backlog=4096;
    location / { proxy_pass https://owner; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host %s;
      proxy_buffer_size 32k; proxy_buffers 4 32k; proxy_busy_buffers_size 64k;
      proxy_ssl_session_reuse on; proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; } }`,
		owner.addr, addr, host))
	if err != nil {
		return nil, err
	}
	transport, end := s.transport("h1", addr)
	defer end()
	for path := range lengths {
		if _, err := s.ask(ctx, transport, srv, path); err != nil { // fills the cache
			return nil, err
		}
	}
	return srv, s.writeLists(srv, lengths, func(string) (bool, error) { return true, nil })
}

// startPop runs two nodes of a PoP, and has one store what the other will be
// asked for.
func (s *stage) startPop(ctx context.Context, b build, lengths map[string]int) (*server, error) {
	var addrs [4]string
	for i := range addrs {
		var err error
		if addrs[i], err = freeAddr(); err != nil {
			return nil, err
		}
	}
	secret, memory := filepath.Join(s.dir, "pop.key"), 64<<20
	if err := os.WriteFile(secret, []byte(strings.Repeat("a secret of the bench ", 2)), 0o600); err != nil {
		return nil, err
	}
	for _, o := range objects {
		memory += 2 * lengths[o.path] * (o.size + 2<<10)
	}
	start := func(id, weight int, peer, gossip string) (*server, error) {
		return s.startNode(ctx, b, node{id: id, listen: fmt.Sprintf(", peer: %q", peer), rest: fmt.Sprintf(
			"pop:     { listen: %q, join: [%q, %q], secret: { file: %s }, weight: %d }\ncache:   { memory: %dB }\n",
			gossip, addrs[2], addrs[3], secret, weight, memory)})
	}
	// The owner owns most of what there is, so that few URLs are tried in
	// vain, and is there first: it has nobody to ask for what was theirs.
	owner, err := start(2, 16, addrs[0], addrs[2])
	if err != nil {
		return nil, err
	}
	srv, err := start(1, 1, addrs[1], addrs[3])
	if err != nil {
		return nil, err
	}
	srv.owner, srv.isHit = owner, isRelayedHit
	if err := srv.process.await(ctx, func() bool { return srv.members(ctx) == 2 && owner.members(ctx) == 2 }); err != nil {
		return nil, err
	}
	progress("%s fills the cache of a node that others ask", b.name)
	transport, end := s.transport("h1", srv.addr)
	defer end()
	probe := *srv
	probe.isHit = func(h http.Header) bool { return len(h.Values("Cache-Status")) == 2 } // from the owner, whatever it did
	return srv, s.writeLists(srv, lengths, func(url string) (bool, error) {
		return s.ask(ctx, transport, &probe, url)
	})
}

// writeLists finds what a server will be asked for.
func (s *stage) writeLists(srv *server, lengths map[string]int, fits func(url string) (bool, error)) error {
	dir, err := s.folder(srv.name + "-lists")
	if err != nil {
		return err
	}
	srv.lists = map[string]*list{}
	for path, n := range lengths {
		if srv.lists[path], err = newList(dir, path, n, fits); err != nil {
			return err
		}
	}
	return nil
}

// isRelayedHit reports whether a node did not have what it answered, and the
// one that it asked had it: each has a line in Cache-Status, the owner's
// first.
func isRelayedHit(h http.Header) bool {
	status := h.Values("Cache-Status")
	return len(status) == 2 && strings.Contains(status[0], "; hit") && strings.Contains(status[1], "; fwd=")
}

// members is how many nodes there are in the table of a node; 0 while it
// does not say.
func (srv *server) members(ctx context.Context) int {
	var ring struct{ Members []struct{} }
	text, err := srv.operator(ctx, "/v1/ring")
	if err != nil || json.Unmarshal(text, &ring) != nil {
		return 0
	}
	return len(ring.Members)
}

// operator asks a node at its admin address.
func (srv *server) operator(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+srv.admin+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s of %s: %s: %.200s", path, srv.name, resp.Status, text)
	}
	return text, err
}

// leastRelayed is the share of a window's requests that must have been
// relayed hits.
const leastRelayed = 0.99

var errNotRelayed = errors.New("no relayed load")

// relayed begins to count the relayed hits of a node. The function that it
// returns fails when they were too few for the requests that were made.
// Only nodes that relay count.
func (srv *server) relayed(ctx context.Context) (verify func(requests int) error, err error) {
	if srv.owner == nil || srv.admin == "" {
		return func(int) error { return nil }, nil
	}
	before, err := srv.relayedHits(ctx)
	return func(requests int) error {
		after, err := srv.relayedHits(ctx)
		if hits := after - before; err == nil && float64(hits) < leastRelayed*float64(requests) {
			err = fmt.Errorf("%w: %d of %d requests were hits of the other node; give more -urls", errNotRelayed, hits, requests)
		}
		return err
	}, err
}

// relayedHits is how many hits a node has relayed: the lesser of what it
// asked for, and what the owner had.
func (srv *server) relayedHits(ctx context.Context) (int, error) {
	asking, err := srv.operator(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	answering, err := srv.owner.operator(ctx, "/metrics")
	return min(metric(asking, `landfall_asked_total{asked="fill",result="answered"}`),
		metric(answering, `landfall_relayed_requests_total{outcome="hit"}`)), err
}

// metric is the value of one that counts, 0 when it is not there.
func metric(text []byte, name string) int {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, _ := strconv.ParseFloat(value, 64)
			return int(v)
		}
	}
	return 0
}
