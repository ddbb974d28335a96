package http2

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestManyAtOnce: many clients' requests of all kinds, side by side over TLS
// and real sockets, each with its own answer.
func TestManyAtOnce(t *testing.T) {
	echo := func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		if r.Body == nil {
			ok(w, r.Path)
			return
		}
		_ = w.Head(200, nil, -1)
		buf := make([]byte, 5000)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = w.Flush()
			if err != nil {
				break
			}
		}
		_ = w.Trailer(exchange.Header{{Name: "etag", Value: r.Path}})
	}
	h := &stub{serve: echo, stored: map[string]*exchange.Stored{"/small": object(1000), "/large": object(700_000)}}
	s, _ := testServer(t, h, nil)
	addr := listen(t, s)
	var group sync.WaitGroup
	for range 4 {
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test's own certificate
			ForceAttemptHTTP2: true, MaxConnsPerHost: 1,
		}
		t.Cleanup(transport.CloseIdleConnections)
		client := &http.Client{Transport: transport}
		for i := range 40 {
			group.Go(func() {
				if err := request(client, "https://"+addr, i, h); err != nil {
					t.Errorf("request %d: %v", i, err)
				}
			})
		}
	}
	group.Wait()
	if n := s.conf.InFlight.Load(); n != 0 {
		t.Errorf("%d in flight", n)
	}
	if h.hits.Load() != h.sentWhole.Load() || h.hits.Load() == 0 {
		t.Errorf("%d hits, %d sent", h.hits.Load(), h.sentWhole.Load())
	}
}

// request makes the i-th request of a client, and checks the answer.
func request(client *http.Client, base string, i int, h *stub) error {
	path := []string{"/small", "/large", fmt.Sprintf("/x%d", i), "/up"}[i%4]
	var body io.Reader
	want := []byte(path)
	switch path {
	case "/small", "/large":
		want = h.stored[path].Content.From(0)
	case "/up":
		want = []byte(strings.Repeat(fmt.Sprintf("%09d,", i), 30_000))
		body = bytes.NewReader(want)
	}
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, base+path, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) || resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		return fmt.Errorf("%s: %d with %d bytes, want %d", path, resp.StatusCode, len(got), len(want))
	}
	if path == "/up" && resp.Trailer.Get("etag") != path {
		return fmt.Errorf("trailer %v", resp.Trailer)
	}
	return nil
}
