package http1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// both runs a test on loopback, with and without TLS. The connection is
// served until its end.
func both(t *testing.T, h exchange.Handler, test func(t *testing.T, c *Conn, client net.Conn)) {
	for _, name := range []string{"plain", "TLS"} {
		t.Run(name, func(t *testing.T) {
			c, client := loopback(t, name == "TLS", h)
			done := make(chan struct{})
			go func() { defer close(done); c.Serve(t.Context()) }()
			defer func() { _ = client.Close(); <-done }()
			test(t, c, client)
		})
	}
}

// TestOnLoopback: requests of all kinds, by sockets.
func TestOnLoopback(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	shelf := newShelf(200, nil, string(large))
	shelf.serve = func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		if r.Body == nil {
			reply(w, r, 404, r.Path)
			return
		}
		b, _ := io.ReadAll(r.Body)
		_ = w.Head(200, nil, -1)
		_, _ = w.Write(b)
	}
	both(t, shelf, func(t *testing.T, c *Conn, client net.Conn) {
		in := bufio.NewReader(client)
		for i, request := range []struct {
			method, path string
			body         io.Reader
			want         []byte
		}{
			{"GET", "/hit", nil, large},
			{"GET", "/miss", nil, []byte("/miss")},
			{"POST", "/echo", bytes.NewReader(large), large},
			{"POST", "/echo", io.MultiReader(bytes.NewReader(large)), large}, // chunked
			{"GET", "/hit", nil, large},
		} {
			r, err := http.NewRequest(request.method, "http://a"+request.path, request.body)
			if err != nil {
				t.Fatal(err)
			}
			wrote := make(chan error, 1)
			go func() { wrote <- r.Write(client) }()
			resp, err := http.ReadResponse(in, r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(got, request.want) || resp.Close {
				t.Errorf("%d: %v with %d bytes, %v", i, resp.Status, len(got), err)
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestAnswerBeforeReset: a client that sends on gets its answer all the
// same, whole and with a proper end.
func TestAnswerBeforeReset(t *testing.T) {
	both(t, &handler{}, func(t *testing.T, c *Conn, client net.Conn) {
		body := strings.Repeat("x", c.s.conf.Limits.BodyDrain-1<<10)
		if _, err := io.WriteString(client, "POST / HTTP/2.0\r\nHost: a\r\n\r\n"+body); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(client)
		if codes, closes := statuses(t, string(text)); err != nil || len(codes) != 1 || codes[0] != 505 || !closes {
			t.Errorf("%v, closes %v, %v", codes, closes, err)
		}
	})
}

// TestCutShowsWithoutLength: to HTTP/1.0 the end of the connection is that
// of the content, so that a cut must look like another end.
func TestCutShowsWithoutLength(t *testing.T) {
	h := &handler{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
		_ = w.Head(200, nil, -1)
		_, _ = io.WriteString(w, "half")
		_ = w.Flush()
		w.Abort()
	}}
	both(t, h, func(t *testing.T, c *Conn, client net.Conn) {
		if _, err := io.WriteString(client, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(client); err == nil {
			t.Errorf("%q came to a proper end", text)
		}
	})
}

// TestTunnelOnLoopback: each direction of a tunnel ends by itself.
func TestTunnelOnLoopback(t *testing.T) {
	h := &handler{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
		c, err := w.Tunnel(nil)
		if err != nil {
			return
		}
		_, _ = io.CopyN(c, c, 5)
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}}
	both(t, h, func(t *testing.T, c *Conn, client net.Conn) {
		if _, err := io.WriteString(client, upgrade+"early"); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(client)
		if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 101 ") || !strings.HasSuffix(string(text), "\r\n\r\nearly") {
			t.Errorf("%q, %v", text, err)
		}
		if _, err := io.WriteString(client, "more"); err != nil {
			t.Errorf("the other direction: %v", err)
		}
	})
}

// TestDrainOnLoopback: a connection that waits ends by itself.
func TestDrainOnLoopback(t *testing.T) {
	both(t, &handler{}, func(t *testing.T, c *Conn, client net.Conn) {
		if _, err := io.WriteString(client, get); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(client)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		c.Drain()
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("%v", err)
		}
	})
}

// TestClientLeavesOnLoopback: its exchange ends.
func TestClientLeavesOnLoopback(t *testing.T) {
	begun := make(chan struct{}, 1)
	h := &handler{serve: func(ctx context.Context, w exchange.Writer, _ *exchange.Request) {
		begun <- struct{}{}
		<-ctx.Done()
		w.Abort()
	}}
	both(t, h, func(t *testing.T, c *Conn, client net.Conn) {
		if _, err := io.WriteString(client, get); err != nil {
			t.Fatal(err)
		}
		<-begun
	})
}
