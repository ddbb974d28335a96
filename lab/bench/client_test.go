package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// TestMain lets the test binary be the client that the bench runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "client" {
		os.Exit(clientMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// site answers GET / with some content, notes the targets, and refuses
// everything else.
type site struct {
	mu      sync.Mutex
	targets map[string]int
	protos  map[string]int
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.targets[r.RequestURI]++
	s.protos[r.Proto]++
	s.mu.Unlock()
	if name, _, _ := strings.Cut(r.Host, ":"); r.URL.Path != "/" || name != host {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, strings.Repeat("x", 3000))
}

// startSite serves a site over TCP, and over UDP at the same address.
func startSite(t *testing.T) (addr string, s *site) {
	t.Helper()
	s = &site{targets: map[string]int{}, protos: map[string]int{}}
	srv := httptest.NewUnstartedServer(s)
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	addr = srv.Listener.Addr().String()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	h3 := &http3.Server{Handler: s, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: srv.TLS.Certificates})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = h3.Serve(udp) }) // until it is closed
	t.Cleanup(func() { _ = h3.Close(); _ = udp.Close(); serving.Wait() })
	return addr, s
}

// runClient runs a client for a moment.
func runClient(t *testing.T, l *loader) load {
	t.Helper()
	l.life = 200 * time.Millisecond
	var out bytes.Buffer
	if err := l.run(strings.NewReader(""), &out); err != nil {
		t.Fatal(err)
	}
	var got load
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestClientLoads(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("/?a\n/?b\n/?c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, proto string
		l           *loader
		seen        func(got load, s *site) bool
	}{
		{"a handshake for each request", "HTTP/1.1", &loader{mode: "hs"}, func(got load, _ *site) bool { return got.Resumed == 0 }},
		{"resumed", "HTTP/1.1", &loader{mode: "hs", resume: true}, func(got load, _ *site) bool { return got.Resumed >= got.Requests-2 }},
		{"post-quantum keys", "HTTP/1.1", &loader{mode: "hs", mlkem: true}, func(load, *site) bool { return true }},
		{"a URL for each request", "HTTP/1.1", &loader{mode: "miss"}, func(got load, s *site) bool { return len(s.targets) >= got.Requests }},
		{"a list over HTTP/2", "HTTP/2.0", &loader{mode: "h2", streams: 4, list: list}, func(got load, s *site) bool {
			// Up to eight were on their way at the end.
			return len(s.targets) == 3 && min(s.targets["/?a"], s.targets["/?b"], s.targets["/?c"]) >= got.Requests/3-8
		}},
		{"HTTP/3", "HTTP/3.0", &loader{mode: "h3", streams: 4}, func(load, *site) bool { return true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, s := startSite(t)
			c.l.addr, c.l.path, c.l.conns = addr, "/", 2
			got := runClient(t, c.l)
			s.mu.Lock()
			defer s.mu.Unlock()
			if got.Failed != "" || got.Requests == 0 || s.protos[c.proto] < got.Requests || len(s.protos) != 1 || !c.seen(got, s) {
				t.Errorf("%+v, server saw %v", got, s.protos)
			}
		})
	}
}

// TestClientGoesRound: a load begins where the one before it ended.
func TestClientGoesRound(t *testing.T) {
	l := &loader{paths: []string{"/a", "/b", "/c"}}
	l.next.Store(2)
	if got := l.nextPath() + l.nextPath() + l.nextPath(); got != "/c/a/b" {
		t.Errorf("asks for %s in turn", got)
	}
}

// TestClientNoticesRefusals: an error page must not count as a request.
func TestClientNoticesRefusals(t *testing.T) {
	addr, _ := startSite(t)
	for _, mode := range []string{"hs", "miss", "h2", "h3"} {
		got := runClient(t, &loader{mode: mode, addr: addr, path: "/none", conns: 1, streams: 1})
		if got.Requests != 0 || !strings.Contains(got.Failed, "404") {
			t.Errorf("%s: %+v, want a failure that says 404", mode, got)
		}
	}
}

func TestClientHolds(t *testing.T) {
	addr, s := startSite(t)
	for mode, proto := range map[string]string{"idle-h1": "HTTP/1.1", "idle-h2": "HTTP/2.0"} {
		var out bytes.Buffer
		l := &loader{mode: mode, addr: addr, path: "/", conns: 40}
		if err := l.run(strings.NewReader(""), &out); err != nil || out.String() != "holding 40\n" {
			t.Errorf("%s: %q, %v", mode, out.String(), err)
		}
		s.mu.Lock()
		if s.protos[proto] != 40 {
			t.Errorf("%s: server saw %v", mode, s.protos)
		}
		s.mu.Unlock()
		l.path = "/none"
		if err := l.run(strings.NewReader(""), &out); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("%s of what is not there: %v", mode, err)
		}
	}
}
