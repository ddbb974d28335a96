package pop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// streamer answers what a relay must not hold up, cut or lose. It is an
// origin of its own, as none of it is an object.
type streamer struct {
	gone atomic.Int32 // requests whose client has left
}

// serve listens where the nodes are and returns the site's document.
func (s *streamer) serve(t testing.TB) string {
	t.Helper()
	o := newOrigin(t, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hints", s.hints)
	mux.HandleFunc("POST /echo", s.echo)
	mux.HandleFunc("GET /endless", s.endless)
	o.endpoints[0].Config.Handler = mux
	return siteDoc("streams", o, "affinity: { by: header, name: X-User }")
}

// hints sends a 103, and trailers after the content.
func (s *streamer) hints(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Link", "</a.css>; rel=preload")
	w.WriteHeader(http.StatusEarlyHints)
	w.Header().Set("Trailer", "Content-Digest")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	w.Header().Set("Content-Digest", "sha-256=:AAAA:")
}

// echo sends back each line as it comes.
func (s *streamer) echo(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.EnableFullDuplex() // of no use over HTTP/2, which is
	w.Header().Set("Cache-Control", "no-store")
	lines := bufio.NewReader(r.Body)
	for {
		line, err := lines.ReadString('\n')
		if _, werr := io.WriteString(w, line); err != nil || werr != nil {
			return
		}
		_ = c.Flush()
	}
}

// endless sends something and then nothing, until the client leaves.
func (s *streamer) endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "first\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	s.gone.Add(1)
}

// TestRelayedStreams: between the client's node and the one that has its
// session everything streams, either way, and ends with the client.
func TestRelayedStreams(t *testing.T) {
	var s streamer
	p := newPop(t, map[string]string{"streams.yaml": s.serve(t)})
	p.start(t, 1, 2, 3)
	for i, proto := range protocols {
		n := p.nodes[i]
		c := n.client(t, proto)
		relayed := n.metric("landfall_relay_asks_total")
		for user := range 8 { // some have their session at another node
			who := fmt.Sprintf("user%d", user)
			hints(t, c, who, proto)
			conversation(t, c, who, proto)
			left := s.gone.Load()
			leave(t, c, who)
			waitFor(t, "end of what "+who+" left by "+proto, func() bool { return s.gone.Load() > left })
		}
		if n.metric("landfall_relay_asks_total") == relayed {
			t.Errorf("%s brought no request to another node", n.name)
		}
	}
}

func streamRequest(t testing.TB, ctx context.Context, method, path, who string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "https://streams"+domain+path, body)
	must(t, err)
	req.Header.Set("X-User", who)
	return req
}

// hints expects a 103 before the answer and trailers behind it.
func hints(t testing.TB, c *http.Client, who, proto string) {
	t.Helper()
	var early atomic.Int32
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		if code == http.StatusEarlyHints && h.Get("Link") != "" {
			early.Add(1)
		}
		return nil
	}})
	resp, err := c.Do(streamRequest(t, ctx, http.MethodGet, "/hints", who, nil))
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n != 1<<20 || early.Load() != 1 || resp.Trailer.Get("Content-Digest") == "" {
		t.Errorf("%s by %s: %d bytes, %v, %d early hints, trailers %v", who, proto, n, err, early.Load(), resp.Trailer)
	}
}

// conversation sends a line only when the one before has come back.
func conversation(t testing.TB, c *http.Client, who, proto string) {
	t.Helper()
	pr, pw := io.Pipe()
	var writer sync.WaitGroup
	defer writer.Wait()
	next := make(chan string, 1)
	defer close(next)
	writer.Go(func() {
		defer func() { _ = pw.Close() }()
		for line := range next {
			if _, err := io.WriteString(pw, line); err != nil {
				return
			}
		}
	})
	next <- "line 0\n"
	resp, err := c.Do(streamRequest(t, t.Context(), http.MethodPost, "/echo", who, pr))
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	for i := range 5 {
		if got, err := lines.ReadString('\n'); err != nil || got != fmt.Sprintf("line %d\n", i) {
			t.Errorf("%s by %s: line %d is %q, %v", who, proto, i, got, err)
			return
		}
		next <- fmt.Sprintf("line %d\n", i+1)
	}
}

// leave reads the beginning of an answer without end and goes.
func leave(t testing.TB, c *http.Client, who string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := c.Do(streamRequest(t, ctx, http.MethodGet, "/endless", who, nil))
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	first := make([]byte, len("first\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Logf("after it has left: %v", err)
	}
}
