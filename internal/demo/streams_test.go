package demo

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func TestSlowWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got := do(t, New(Config{}), http.MethodGet, "/slow?ms=2500&ttl=5")
		if took := time.Since(began); took != 2500*time.Millisecond {
			t.Errorf("took %v, want 2.5s", took)
		}
		if control := got.header.Get("Cache-Control"); got.status != 200 || control != "public, max-age=5" {
			t.Errorf("%d, Cache-Control %q", got.status, control)
		}
	})
}

func TestSlowEndsWithItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		New(Config{}).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/slow?ms=30000", http.NoBody))
		if took := time.Since(began); took != time.Second {
			t.Errorf("went on for %v after the reader had gone", took-time.Second)
		}
	})
}

func TestHeldRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New(Config{})
		slow := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/slow?ms=1000", http.NoBody)
		var held sync.WaitGroup
		for range maxHeld {
			held.Go(func() { o.ServeHTTP(httptest.NewRecorder(), slow.Clone(slow.Context())) })
		}
		synctest.Wait()
		got := do(t, o, http.MethodGet, "/slow?ms=0")
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" {
			t.Errorf("%d, Retry-After %q, want 503 and 1", got.status, got.header.Get("Retry-After"))
		}
		if got := do(t, o, http.MethodGet, "/now"); got.status != http.StatusOK {
			t.Errorf("/now: %d: what is quick must not wait for what is slow", got.status)
		}
		held.Wait()
		if got := do(t, o, http.MethodGet, "/slow?ms=0"); got.status != http.StatusOK {
			t.Errorf("%d after the others have left", got.status)
		}
	})
}

func TestEventsComeOneASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got := do(t, New(Config{}), http.MethodGet, "/events?n=3")
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("3 events took %v, want 2s", took)
		}
		if n := strings.Count(got.body, "\ndata: {\"origin\""); n != 3 {
			t.Errorf("%d events, want 3:\n%s", n, got.body)
		}
		if !strings.HasSuffix(got.body, "event: done\ndata: {}\n\n") {
			t.Errorf("the stream does not say that it is done:\n%s", got.body)
		}
		if kind := got.header.Get("Content-Type"); kind != "text/event-stream" {
			t.Errorf("Content-Type %q", kind)
		}
	})
}

// TestEventsAreNotHeldBack reads the first event from the wire while the
// second is a second away.
func TestEventsAreNotHeldBack(t *testing.T) {
	s := httptest.NewServer(New(Config{}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/events?n=60", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	first := make([]byte, len("id: 1\ndata: "))
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "id: 1\ndata: " {
		t.Errorf("%q, %v", first, err)
	}
}

func TestEchoSendsBack(t *testing.T) {
	s := httptest.NewServer(New(Config{}))
	defer s.Close()
	c, _, err := websocket.Dial(t.Context(), s.URL+"/ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"Origin": {"https://www.example.com"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(maxMessage)
	for _, m := range []struct {
		kind websocket.MessageType
		text string
	}{
		{websocket.MessageText, "land ahoy"},
		{websocket.MessageBinary, "\x00\xff"},
		{websocket.MessageText, strings.Repeat("x", maxMessage)},
	} {
		if err := c.Write(t.Context(), m.kind, []byte(m.text)); err != nil {
			t.Fatal(err)
		}
		kind, got, err := c.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if kind != m.kind || string(got) != m.text {
			t.Errorf("%v of %d bytes came back as %v of %d", m.kind, len(m.text), kind, len(got))
		}
	}
	if err := c.Write(t.Context(), websocket.MessageText, make([]byte, maxMessage+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("%v for a message over the bound, want StatusMessageTooBig", err)
	}
}

func TestEarlyHints(t *testing.T) {
	s := httptest.NewServer(New(Config{}))
	defer s.Close()
	hint := ""
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == http.StatusEarlyHints {
				hint = h.Get("Link")
			}
			return nil
		},
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/early-hints", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if want := "</style.css>; rel=preload; as=style"; hint != want {
		t.Errorf("hint %q, want %q", hint, want)
	}
	page, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK || err != nil || string(page) != hintsPage {
		t.Errorf("%d, %v, %q", res.StatusCode, err, page)
	}
}

func TestTrailerFollows(t *testing.T) {
	s := httptest.NewServer(New(Config{}))
	defer s.Close()
	res, err := s.Client().Get(s.URL + "/trailers")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if got, want := res.Trailer.Get("Content-Digest"), fmt.Sprintf("sha-256=:%s:", base64.StdEncoding.EncodeToString(sum[:])); got != want {
		t.Errorf("Content-Digest %q, want %q", got, want)
	}
}

// TestRunEndsWithEverythingOpen stops an origin that has a socket, a
// stream and an idle connection.
func TestRunEndsWithEverythingOpen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := New(Config{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx, ln) }()

	base := "http://" + ln.Addr().String()
	c, _, err := websocket.Dial(t.Context(), base+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	stream, err := http.Get(base + "/events?n=60")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()

	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the socket is still open")
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
}

func TestRunSaysWhyItCannotServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := New(Config{}).Run(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run on a closed listener: %v, want %v", err, net.ErrClosed)
	}
}
