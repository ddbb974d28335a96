package http3

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// client is quic-go's HTTP/3 client, to the edge alone.
func (e *edge) client() *http3.Transport {
	tr := &http3.Transport{
		TLSClientConfig: e.clientTLS(),
		Dial:            nil,
		QUICConfig:      &quic.Config{},
	}
	e.t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func (e *edge) url(path string) string { return "https://" + e.ln.Addr().String() + path }

func (e *edge) request(method, path string, body io.Reader) *http.Request {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.ctx(), method, e.url(path), body)
	if err != nil {
		e.t.Fatal(err)
	}
	r.Host = "a.test"
	return r
}

// do returns a response and its whole body.
func (e *edge) do(tr http.RoundTripper, r *http.Request) (*http.Response, string) {
	e.t.Helper()
	resp, err := tr.RoundTrip(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp, string(b)
}

func TestHits(t *testing.T) {
	for _, tc := range []struct {
		name  string
		size  int
		piece int64
	}{
		{"empty", 0, 0},
		{"a packet", 1000, 0},
		{"gathered", gatherSize, 0},
		{"one byte more", gatherSize + 1, 0},
		{"large", 1 << 20, 0},
		{"in pieces", 100_000, 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := &content{data: bytes.Repeat([]byte("0123456789abcdef"), tc.size/16+1)[:tc.size], piece: tc.piece}
			type end struct {
				n   int64
				why exchange.Cause
			}
			ends := make(chan end, 2)
			e := serve(t, testLimits(), &handler{
				hit:  stored(data, exchange.Field{Name: "content-type", Value: "text/plain"}, exchange.Field{Name: "etag", Value: `"x"`}),
				sent: func(n int64, why exchange.Cause) { ends <- end{n, why} },
			})
			tr := e.client()
			resp, got := e.do(tr, e.request("GET", "/x", nil))
			if resp.StatusCode != 200 || got != string(data.data) {
				t.Fatalf("%d with %d bytes", resp.StatusCode, len(got))
			}
			h := resp.Header
			if h.Get("Content-Type") != "text/plain" || h.Get("Etag") != `"x"` || h.Get("Age") != "12" || h.Get("Date") == "" || resp.ContentLength != int64(tc.size) {
				t.Errorf("fields %v, length %d", h, resp.ContentLength)
			}
			if got := <-ends; got != (end{int64(tc.size), exchange.NoCause}) || data.released.Load() != 1 {
				t.Errorf("sent %+v, content released %d times", got, data.released.Load())
			}
			resp, got = e.do(tr, e.request("HEAD", "/x", nil))
			if resp.StatusCode != 200 || got != "" || resp.ContentLength != int64(tc.size) {
				t.Errorf("HEAD: %d, %q, length %d", resp.StatusCode, got, resp.ContentLength)
			}
			if got := <-ends; got != (end{0, exchange.NoCause}) {
				t.Errorf("HEAD: sent %+v", got)
			}
		})
	}
}

func TestExchange(t *testing.T) {
	e := serve(t, testLimits(), &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		body := ""
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			body = string(b)
		}
		_ = w.Head(200, exchange.Header{{Name: "x-length", Value: strings.Repeat("1", int(r.Length+1))}, {Name: "connection", Value: "close"}}, -1)
		_, _ = io.WriteString(w, r.Method+" "+r.Host+" "+r.Port+" "+r.Path+" "+r.Query+" "+r.Header.Get("x-a")+" "+body)
		_ = w.Trailer(exchange.Header{{Name: "x-checksum", Value: "7"}})
	}})
	tr := e.client()
	r := e.request("POST", "/p?q=1", strings.NewReader("hello"))
	r.Header.Set("X-A", "b")
	r.Host = "a.test:8443"
	resp, got := e.do(tr, r)
	if want := "POST a.test 8443 /p ?q=1 b hello"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if resp.Trailer.Get("X-Checksum") != "7" || resp.Header.Get("X-Length") != "111111" || resp.Header.Get("Connection") != "" {
		t.Errorf("fields %v, trailer %v", resp.Header, resp.Trailer)
	}
	resp, got = e.do(tr, e.request("DELETE", "/d", nil))
	if want := "DELETE a.test  /d   "; got != want || resp.Header.Get("X-Length") != "1" {
		t.Errorf("got %q, want %q; fields %v", got, want, resp.Header)
	}
}
