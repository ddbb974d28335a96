package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const checkLimit = 30 * time.Second

// check asks every server for every object as it will be asked, and
// refuses to measure what answers wrongly: a fast mistake must not win.
func (b *bench) check(ctx context.Context) error {
	for _, k := range b.opts.kinds {
		for _, name := range b.opts.servers(k) {
			if err := b.checkServer(ctx, k, b.server(k, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) checkServer(ctx context.Context, k kind, srv *server) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	transport, end := b.stage.transport(k.proto, srv.addr)
	defer end()
	for _, path := range b.opts.pathsOf(k) {
		urls, filled := []string{path, path}, false // the first fills the cache
		if l := srv.lists[path]; l != nil {
			urls, filled = l.take(32), true
		}
		for _, url := range urls {
			hit, err := b.stage.ask(ctx, transport, srv, url)
			if err == nil && filled && !hit {
				err = fmt.Errorf("the answer is not a hit")
			}
			if err != nil {
				return fmt.Errorf("%s %s over %s: %w", srv.name, url, k.proto, err)
			}
			filled = true
		}
	}
	return nil
}

// ask makes one request, for a path with any query, and compares the answer
// with what the origin has.
func (s *stage) ask(ctx context.Context, transport http.RoundTripper, srv *server, target string) (hit bool, err error) {
	path, _, _ := strings.Cut(target, "?")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url(srv.addr, target), nil)
	if err != nil {
		return false, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK || sha256.Sum256(body) != s.sums[path] {
		return false, fmt.Errorf("status %d with %d bytes that are not the object", resp.StatusCode, len(body))
	}
	return srv.isHit == nil || srv.isHit(resp.Header), nil
}

// transport speaks one version of HTTP to one address, and trusts the
// stage's certificate only.
func (s *stage) transport(proto, addr string) (rt http.RoundTripper, end func()) {
	conf := &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS13}
	if proto == "h3" {
		t := &http3.Transport{TLSClientConfig: conf, Dial: func(ctx context.Context, _ string, c *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, addr, c, q)
		}}
		return t, func() { _ = t.Close() }
	}
	t := &http.Transport{
		TLSClientConfig: conf, Protocols: &http.Protocols{}, DisableCompression: true, MaxIdleConnsPerHost: dialers,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}
	t.Protocols.SetHTTP1(proto == "h1")
	t.Protocols.SetHTTP2(proto == "h2")
	return t, t.CloseIdleConnections
}
