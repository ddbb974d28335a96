package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// write is a handler that answers each request alike.
type write func(t *testing.T, w exchange.Writer)

func text(s string) write {
	return func(t *testing.T, w exchange.Writer) {
		if n, err := io.WriteString(w, s); n != len(s) || err != nil {
			t.Errorf("wrote %d of %q: %v", n, s, err)
		}
	}
}

func start(status int, length int64, h ...exchange.Field) write {
	return func(t *testing.T, w exchange.Writer) {
		if err := w.Head(status, h, length); err != nil {
			t.Errorf("head: %v", err)
		}
	}
}

func fails(s string, want error) write {
	return func(t *testing.T, w exchange.Writer) {
		if _, err := io.WriteString(w, s); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", s, err, want)
		}
	}
}

// TestAnswers: the bytes of an answer, and whether another may follow.
func TestAnswers(t *testing.T) {
	date := exchange.Field{Name: "date", Value: "then"}
	trailer := func(_ *testing.T, w exchange.Writer) {
		_ = w.Trailer(exchange.Header{{Name: "x-sum", Value: "1"}, {Name: "content-length", Value: "9"}, {Name: "x-bad", Value: "\n"}})
	}
	flush := func(_ *testing.T, w exchange.Writer) { _ = w.Flush() }
	abort := func(_ *testing.T, w exchange.Writer) { w.Abort() }
	interim := func(t *testing.T, w exchange.Writer) {
		for _, status := range []int{99, 100, 101, 103, 200} {
			if err := w.Interim(status, exchange.Header{{Name: "link", Value: "</a>"}}); err != nil {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
	for _, tc := range []struct {
		name, line string
		writes     []write
		want       string
		kept       bool
	}{
		{"length", "GET / HTTP/1.1", []write{start(200, 5, date), text("he"), flush, text("llo")}, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 5\r\n\r\nhello", true},
		{"nothing", "GET / HTTP/1.1", []write{start(404, 0, date)}, "HTTP/1.1 404 Not Found\r\nDate: then\r\nContent-Length: 0\r\n\r\n", true},
		{"Date of ours", "GET / HTTP/1.1", []write{start(200, 0)}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n\r\n", true},
		{"status without a text", "GET / HTTP/1.1", []write{start(299, 0, date)}, "HTTP/1.1 299 \r\nDate: then\r\nContent-Length: 0\r\n\r\n", true},
		{
			"chunked", "GET / HTTP/1.1",
			[]write{start(200, -1, date), text("hello"), text(""), text(strings.Repeat("x", 20))},
			"HTTP/1.1 200 OK\r\nDate: then\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n14\r\nxxxxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n", true,
		},
		{"trailer", "GET / HTTP/1.1", []write{start(200, -1, date), text("x"), trailer}, "HTTP/1.1 200 OK\r\nDate: then\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n", true},
		{"trailer behind a length", "GET / HTTP/1.1", []write{start(200, 1, date), text("x"), trailer}, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 1\r\n\r\nx", true},
		{"HEAD", "HEAD / HTTP/1.1", []write{start(200, 5, date), fails("hello", errNoContent)}, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 5\r\n\r\n", true},
		{"HEAD, no length", "HEAD / HTTP/1.1", []write{start(200, -1, date), trailer}, "HTTP/1.1 200 OK\r\nDate: then\r\n\r\n", true},
		{"204", "GET / HTTP/1.1", []write{start(204, 0, date), fails("x", errNoContent)}, "HTTP/1.1 204 No Content\r\nDate: then\r\n\r\n", true},
		{"304", "GET / HTTP/1.1", []write{start(304, 5, date), fails("x", errNoContent)}, "HTTP/1.1 304 Not Modified\r\nDate: then\r\n\r\n", true},
		{
			"fields of the connection", "GET / HTTP/1.1",
			[]write{start(200, 0, date,
				exchange.Field{Name: "connection", Value: "x"}, exchange.Field{Name: "content-length", Value: "9"}, exchange.Field{Name: "transfer-encoding", Value: "chunked"},
				exchange.Field{Name: "www-authenticate", Value: "a"}, exchange.Field{Name: "x-split", Value: "a\r\nb: c"}, exchange.Field{Name: "set-cookie", Value: "1"}, exchange.Field{Name: "set-cookie", Value: "2"})},
			"HTTP/1.1 200 OK\r\nDate: then\r\nWww-Authenticate: a\r\nSet-Cookie: 1\r\nSet-Cookie: 2\r\nContent-Length: 0\r\n\r\n", true,
		},
		{"interim", "GET / HTTP/1.1", []write{interim, start(200, 0, date), interim}, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n", true},

		{"HTTP/1.0", "GET / HTTP/1.0", []write{interim, start(200, 5, date), text("hello")}, "HTTP/1.0 200 OK\r\nDate: then\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", false},
		{"HTTP/1.0, no length", "GET / HTTP/1.0", []write{start(200, -1, date), text("hello"), trailer}, "HTTP/1.0 200 OK\r\nDate: then\r\nConnection: close\r\n\r\nhello", false},
		{"too long", "GET / HTTP/1.1", []write{start(200, 3, date), fails("hello", errLong), fails("x", errOrder)}, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 3\r\n\r\nhel", false},
		{"too short", "GET / HTTP/1.1", []write{start(200, 5, date), text("he")}, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 5\r\n\r\nhe", false},
		{"aborted", "GET / HTTP/1.1", []write{start(200, -1, date), text("he"), flush, abort, fails("x", errOrder)}, "HTTP/1.1 200 OK\r\nDate: then\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", false},
		{"aborted at its end", "GET / HTTP/1.1", []write{start(200, 2, date), text("he"), flush, abort}, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 2\r\n\r\nhe", false},
		{"aborted before it began", "GET / HTTP/1.1", []write{abort}, "", false},
		{"none", "GET / HTTP/1.1", []write{fails("x", errOrder)}, "", false},
		{"two heads", "GET / HTTP/1.1", []write{start(200, 0, date), func(t *testing.T, w exchange.Writer) {
			if err := w.Head(200, nil, 0); err != errOrder {
				t.Errorf("a second head: %v", err)
			}
		}}, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n", true},
		{"interim head as final", "GET / HTTP/1.1", []write{func(t *testing.T, w exchange.Writer) {
			if err := w.Head(103, nil, 0); err != errStatus {
				t.Errorf("status 103: %v", err)
			}
		}, start(200, 0, date)}, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n", true},
		{"switch not asked for", "GET / HTTP/1.1", []write{func(t *testing.T, w exchange.Writer) {
			if _, err := w.Tunnel(nil); err != errOrder {
				t.Errorf("a tunnel: %v", err)
			}
		}, start(200, 0, date)}, "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n", true},
		{"switch refused", "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", []write{start(426, 0, date)}, "HTTP/1.1 426 Upgrade Required\r\nDate: then\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &handler{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
					for _, f := range tc.writes {
						f(t, w)
					}
				}}
				s := open(t, h, nil)
				s.say(t, strings.Repeat(tc.line+"\r\nHost: a\r\n\r\n", 2))
				_ = s.client.CloseWrite()
				want := tc.want
				if tc.kept {
					want += want
				}
				if got := s.rest(); got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			})
		})
	}
}

// TestFlush: what was flushed is with the client while the answer goes on,
// and large content arrives whole.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("0123456789", 50_000)
		s := open(t, &handler{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			start(200, -1)(t, w)
			text("first")(t, w)
			_ = w.Flush()
			time.Sleep(time.Hour)
			text(large)(t, w)
		}}, nil)
		s.say(t, get)
		resp, err := http.ReadResponse(bufio.NewReader(s.client), nil)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 5)
		begin := time.Now()
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" || time.Since(begin) > 0 {
			t.Errorf("%q after %v, %v", first, time.Since(begin), err)
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != large {
			t.Errorf("%d bytes, %v", len(rest), err)
		}
	})
}

// TestLateWriter: what a handler leaves running writes into no other answer.
func TestLateWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late *exchange.Request
		var kept exchange.Writer
		s := open(t, &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			if late == nil {
				late, kept = r, w
			}
			reply(w, r, 200, "")
		}}, nil)
		s.say(t, chunkedPost+"5\r\nhello\r\n0\r\n\r\n")
		synctest.Wait()
		if n, err := late.Body.Read(make([]byte, 9)); n > 0 || err == nil {
			t.Errorf("read %d, %v", n, err)
		}
		late.Interim(103, nil)
		_ = kept.Interim(103, nil)
		if n, err := io.WriteString(kept, "x"); n > 0 || err == nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		_ = s.client.CloseWrite()
		if text := s.rest(); strings.Count(text, "HTTP/1.1") != 1 || !strings.HasSuffix(text, "\r\n\r\n") {
			t.Errorf("%q", text)
		}
	})
}
