package relay

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestHit: a stored response reaches the other node as it is stored, without
// what its owner adds for clients, and with what it is a copy of.
func TestHit(t *testing.T) {
	for _, tc := range []struct {
		name, method string
		size, run    int
		loopback     bool
	}{
		{name: "small", method: "GET", size: 1024},
		{name: "small over TCP", method: "GET", size: 1024, loopback: true},
		{name: "empty", method: "GET"},
		{name: "in runs", method: "GET", size: 10_000, run: 999},
		{name: "larger than the first window", method: "GET", size: 5 << 20, loopback: true},
		{name: "larger, in runs", method: "GET", size: 1 << 20, run: 50_000},
		{name: "HEAD", method: "HEAD", size: 1024},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := object(tc.size)
			st.Content.(*stored).run = tc.run
			h := &stub{stored: map[string]*exchange.Stored{"/a": st}}
			p := newPair(t, h, options{loopback: tc.loopback})
			r := get("/a")
			r.Method = tc.method
			resp, body := p.must(r)
			want := string(st.Content.(*stored).b)
			if tc.method == "HEAD" {
				want = ""
			}
			if body != want {
				t.Errorf("%d bytes of content, want %d, or others", len(body), len(want))
			}
			if resp.Status != 200 || resp.Length != int64(tc.size) || resp.Copy == nil || *resp.Copy != st.Copy {
				t.Errorf("status %d, length %d, copy %v", resp.Status, resp.Length, resp.Copy)
			}
			fields := append(st.Head.Header[:3:3], st.Own[:2]...)
			if !slices.Equal(resp.Header, exchange.Header(fields)) {
				t.Errorf("fields %v, want %v", resp.Header, fields)
			}
			p.endAsk()
			if err := p.endServe(); err != nil {
				t.Fatal(err)
			}
			released := st.Content.(*stored).released.Load()
			if h.sentWhole.Load() != 1 || h.sentCut.Load() != 0 || tc.method == "GET" && released != 1 {
				t.Errorf("sent %d times, cut %d times, released %d times", h.sentWhole.Load(), h.sentCut.Load(), released)
			}
		})
	}
}

// TestExchange: an exchange's answer arrives as it was written, with its
// trailer and interim responses.
func TestExchange(t *testing.T) {
	h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
		_ = w.Interim(103, exchange.Header{{Name: "link", Value: "</a.css>"}})
		w.Copy(exchange.Copy{Age: 3, Fresh: -1, Purges: 1 << 60})
		_ = w.Head(201, exchange.Header{{Name: "x-path", Value: r.Path}, {Name: "set-cookie", Value: "a=1"}, {Name: "set-cookie", Value: "b=2"}}, -1)
		_, _ = io.WriteString(w, "some ")
		_ = w.Flush()
		_, _ = io.WriteString(w, "content")
		_ = w.Trailer(exchange.Header{{Name: "grpc-status", Value: "0"}})
	}}
	p := newPair(t, h, options{})
	r := get("/x")
	var interims []string
	r.Interim = func(status int, h exchange.Header) {
		interims = append(interims, h.Get("link"))
		if status != 103 {
			t.Errorf("interim status %d", status)
		}
	}
	resp, body := p.must(r)
	if body != "some content" || resp.Status != 201 || resp.Length != -1 || resp.Header.Get("x-path") != "/x" || len(resp.Header) != 3 {
		t.Errorf("%+v with content %q", resp, body)
	}
	if c := resp.Copy; c == nil || *c != (exchange.Copy{Age: 3, Fresh: -1, Purges: 1 << 60}) {
		t.Errorf("copy %v", c)
	}
	if got := resp.Trailer().Get("grpc-status"); got != "0" {
		t.Errorf("trailer %q", got)
	}
	if !slices.Equal(interims, []string{"</a.css>"}) {
		t.Errorf("interim responses %v", interims)
	}
}

// TestAnswersWithoutContent: what has none is told from what has.
func TestAnswersWithoutContent(t *testing.T) {
	for _, tc := range []struct {
		name, method string
		status       int
		length       int64
	}{
		{"no content", "GET", 204, -1},
		{"not modified", "GET", 304, -1},
		{"HEAD", "HEAD", 200, 12345},
		{"empty", "GET", 200, 0},
		{"of unknown length", "GET", 200, -1},
		{"after an upload", "POST", 204, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, _ *exchange.Request) {
				if err := w.Head(tc.status, nil, tc.length); err != nil {
					t.Error(err)
				}
				if _, err := io.WriteString(w, ""); err != nil {
					t.Error(err)
				}
			}}
			p := newPair(t, h, options{})
			r := get("/")
			r.Method = tc.method
			if tc.method == "POST" {
				r.Body, r.Length = io.NopCloser(strings.NewReader("abc")), 3
			}
			resp, body := p.must(r)
			if resp.Status != tc.status || resp.Length != tc.length || body != "" {
				t.Errorf("%+v with %q", resp, body)
			}
		})
	}
}

// TestRequestArrives: the other node serves the request that was made here.
func TestRequestArrives(t *testing.T) {
	got := make(chan *exchange.Request, 1)
	h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
		got <- r
		_ = w.Head(200, nil, 0)
	}}
	p := newPair(t, h, options{})
	want := get("/path")
	want.Query, want.Early, want.Session, want.Endpoint = "?q=1", true, "site/session", "192.0.2.9:80"
	want.Asked = exchange.AskSession
	p.must(want)
	r := <-got
	if r.Arrived.IsZero() || r.Conn != nil || r.Body != nil || r.Interim != nil || r.Trailer != nil {
		t.Errorf("%+v", r)
	}
	if !sameRequest(r, want) {
		t.Errorf("%+v\nwant %+v", r, want)
	}
}

// TestUpload: content streams to the other node, which has it before the
// answer's end; trailer fields follow it.
func TestUpload(t *testing.T) {
	for _, loopback := range []bool{false, true} {
		for _, n := range []int{1, 5000, maxData, 3 << 20} {
			want := letters(n)
			h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil || string(b) != string(want) {
					t.Errorf("%d bytes arrived and %v, want %d", len(b), err, n)
				}
				_ = w.Head(200, r.Trailer(), r.Length)
				_, _ = w.Write(b)
			}}
			p := newPair(t, h, options{loopback: loopback})
			r := post("/", string(want))
			r.Trailer = func() exchange.Header { return exchange.Header{{Name: "x-checksum-a", Value: "1"}} }
			resp, body := p.must(r)
			if body != string(want) || resp.Header.Get("x-checksum-a") != "1" {
				t.Errorf("%d bytes came back, with fields %v", len(body), resp.Header)
			}
		}
	}
}

// TestBothWays: each side answers what the other has just sent, as gRPC does.
func TestBothWays(t *testing.T) {
	h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
		_ = w.Head(200, nil, -1)
		_ = w.Flush()
		b := make([]byte, 100)
		for {
			n, err := r.Body.Read(b)
			if _, werr := w.Write(b[:n]); err != nil || werr != nil {
				return
			}
			_ = w.Flush()
		}
	}}
	p := newPair(t, h, options{})
	up, feed := io.Pipe()
	r := post("/", "")
	r.Body, r.Length = up, -1
	resp, err := p.ask(r)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	for _, text := range []string{"one", "two", "three"} {
		if _, err := io.WriteString(feed, text); err != nil {
			t.Fatal(err)
		}
		if n, err := resp.Body.Read(b); err != nil || string(b[:n]) != text {
			t.Fatalf("%q came back, and %v", b[:n], err)
		}
	}
	_ = feed.Close()
	if _, err := resp.Body.Read(b); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	_ = resp.Body.Close()
}

// TestTunnel: after a switch of protocols bytes go both ways, and each
// direction ends by itself.
func TestTunnel(t *testing.T) {
	h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, _ *exchange.Request) {
		tun, err := w.Tunnel(exchange.Header{{Name: "sec-websocket-accept", Value: "x"}})
		if err != nil {
			t.Error(err)
			return
		}
		b, err := io.ReadAll(tun) // to the end of the asker's direction
		if err != nil {
			t.Error(err)
		}
		_, _ = tun.Write(append([]byte("got "), b...))
		if err := tun.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		_ = tun.Close()
	}}
	p := newPair(t, h, options{loopback: true})
	r := get("/")
	r.Upgrade = "websocket"
	resp, err := p.ask(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 101 || resp.Tunnel == nil || resp.Header.Get("sec-websocket-accept") != "x" {
		t.Fatalf("%+v", resp)
	}
	text := string(letters(200_000))
	if _, err := io.WriteString(resp.Tunnel, text); err != nil {
		t.Fatal(err)
	}
	if err := resp.Tunnel.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Tunnel)
	if err != nil || string(b) != "got "+text {
		t.Errorf("%d bytes and %v", len(b), err)
	}
	if err := errors.Join(resp.Tunnel.Close(), resp.Body.Close()); err != nil {
		t.Error(err)
	}
}

// TestTunnelRefused: who asks for another protocol may get an answer instead.
func TestTunnelRefused(t *testing.T) {
	h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, _ *exchange.Request) { _ = w.Head(403, nil, 0) }}
	p := newPair(t, h, options{})
	r := get("/")
	r.Upgrade = "websocket"
	if resp, _ := p.must(r); resp.Status != 403 || resp.Tunnel != nil {
		t.Errorf("%+v", resp)
	}
}
