package origin

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestInterimResponses(t *testing.T) {
	s := answer(t, "HTTP/1.1 100 Continue\r\n\r\n"+
		"HTTP/1.1 102 Processing\r\n\r\n"+
		"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"+ok)
	type interim struct {
		Status int
		Header exchange.Header
	}
	var got []interim
	r := get("/")
	r.Interim = func(status int, h exchange.Header) { got = append(got, interim{status, h}) }
	if _, body := mustFetch(t, start(t, config(t, s.url)), r); body != "ok" {
		t.Errorf("body %q", body)
	}
	want := []interim{{102, exchange.Header{}}, {103, exchange.Header{{Name: "link", Value: "</a.css>"}}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	r.Interim = nil
	if _, body := mustFetch(t, start(t, config(t, s.url)), r); body != "ok" {
		t.Errorf("body %q without anybody to read interim responses", body)
	}
}

func TestTrailers(t *testing.T) {
	var body string
	s := script(t, func(_ int, c *peer) {
		if _, err := c.head(); err != nil {
			return
		}
		for !strings.HasSuffix(body, "\r\n\r\n") {
			b, err := c.br.ReadByte()
			if err != nil {
				return
			}
			body += string(b)
		}
		c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Server-Timing\r\n\r\n2\r\nok\r\n0\r\n" +
			"Server-Timing: db;dur=1\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\nGrpc-Status: 0\r\n\r\n")
		c.ended()
	})
	r := post("hello")
	r.Header = exchange.Header{{Name: "trailer", Value: "Content-Digest, X-Forwarded-For, Grpc-Status"}}
	r.Trailer = func() exchange.Header {
		return exchange.Header{
			{Name: "content-digest", Value: "sha-256=:x:"},
			{Name: "x-forwarded-for", Value: "10.0.0.1"},
			{Name: "signature", Value: "not announced"},
		}
	}
	res, _ := mustFetch(t, start(t, config(t, s.url)), r)
	want := exchange.Header{{Name: "grpc-status", Value: "0"}, {Name: "server-timing", Value: "db;dur=1"}}
	if d := cmp.Diff(want, res.Trailer()); d != "" {
		t.Errorf("response trailers -want +got:\n%s", d)
	}
	if want := "5\r\nhello\r\n0\r\nContent-Digest: sha-256=:x:\r\n\r\n"; body != want {
		t.Errorf("request body %q, want %q", body, want)
	}
	if head := s.heads()[0]; !strings.Contains(head, "Trailer: Content-Digest,Grpc-Status\r\n") {
		t.Errorf("head %q", head)
	}
}

// asked is a body that tells when it is first read.
type asked struct {
	io.Reader
	first chan struct{}
}

func (a *asked) Read(p []byte) (int, error) {
	if a.first != nil {
		close(a.first)
		a.first = nil
	}
	return a.Reader.Read(p)
}
func (a *asked) Close() error { return nil }

func expecting() (*exchange.Request, chan struct{}) {
	r := post("hello")
	first := make(chan struct{})
	r.Body = &asked{strings.NewReader("hello"), first}
	r.Header = exchange.Header{{Name: "expect", Value: "100-continue"}}
	return r, first
}

func TestExpectContinue(t *testing.T) {
	r, first := expecting()
	early := false
	s := script(t, func(_ int, c *peer) {
		if _, err := c.head(); err != nil {
			return
		}
		select {
		case <-first:
			early = true
		default:
		}
		c.say("HTTP/1.1 100 Continue\r\n\r\n")
		b := make([]byte, 5)
		if _, err := io.ReadFull(c.br, b); err == nil && string(b) == "hello" {
			c.say(ok)
		}
		c.ended()
	})
	conf := config(t, s.url)
	conf.Tuning.ContinueWait = 1 << 40 // never
	if _, body := mustFetch(t, start(t, conf), r); body != "ok" {
		t.Errorf("body %q", body)
	}
	if early {
		t.Error("the body was read before the endpoint asked for it")
	}
}

// An endpoint that refuses gets no body, and its connection is not used
// again: the next request must not be read as that body.
func TestExpectRefused(t *testing.T) {
	s := script(t, func(n int, c *peer) {
		if _, err := c.head(); err != nil {
			return
		}
		if n == 0 {
			c.say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
		} else {
			c.say(ok)
		}
		if rest, _ := io.ReadAll(c.br); len(rest) > 0 {
			t.Errorf("connection %d got %q after its answer", n, rest)
		}
	})
	conf := config(t, s.url)
	conf.Tuning.ContinueWait = 1 << 40
	o := start(t, conf)
	r, first := expecting()
	if res, _ := mustFetch(t, o, r); res.Status != 413 {
		t.Errorf("status %d", res.Status)
	}
	select {
	case <-first:
		t.Error("the body was read")
	default:
	}
	mustFetch(t, o, get("/next"))
	o.closeIdle()
}

// An answer while the request's body is unread: the rest of the body must
// not meet the next request.
func TestEarlyResponse(t *testing.T) {
	s := script(t, func(n int, c *peer) {
		if _, err := c.head(); err != nil {
			return
		}
		c.say(ok)
		if rest, _ := io.ReadAll(c.br); strings.Contains(string(rest), "GET /next") {
			t.Errorf("connection %d got the next request behind %.20q", n, rest)
		}
	})
	o := start(t, config(t, s.url))
	pr, pw := io.Pipe()
	r := post("")
	r.Body, r.Length = pr, 1000
	res, body := mustFetch(t, o, r)
	if res.Status != 200 || body != "ok" {
		t.Errorf("status %d, body %q", res.Status, body)
	}
	mustFetch(t, o, get("/next"))
	// As the front end does when the exchange is over.
	pr.Close()
	if _, err := pw.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the body is still read: %v", err)
	}
	if n := len(s.heads()); n != 2 {
		t.Errorf("%d requests", n)
	}
	o.closeIdle()
}

// An endpoint that goes away in the middle of an upload is noticed though
// the client is silent.
func TestEndpointDiesDuringUpload(t *testing.T) {
	s := script(t, func(_ int, c *peer) { _, _ = c.head() })
	pr, _ := io.Pipe()
	defer pr.Close()
	r := post("")
	r.Body, r.Length = pr, 1000
	_, _, err := fetch(t, start(t, config(t, s.url)), r)
	wantCause(t, err, exchange.ConnectionTerminated)
}

func TestClientFailsDuringUpload(t *testing.T) {
	s := script(t, func(_ int, c *peer) { c.ended() })
	for name, body := range map[string]io.Reader{
		"shorter than announced": strings.NewReader("hello"),
		"broken":                 io.MultiReader(strings.NewReader("he"), errorReader{}),
	} {
		t.Run(name, func(t *testing.T) {
			r := post("")
			r.Body, r.Length = io.NopCloser(body), 1000
			_, _, err := fetch(t, start(t, config(t, s.url)), r)
			wantCause(t, err, exchange.ClientAborted)
		})
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("reset by client") }

// Bytes are given on as they come, and a reader that leaves ends the fetch.
func TestStreamAndAbort(t *testing.T) {
	for _, end := range []string{"cancel", "close"} {
		t.Run(end, func(t *testing.T) {
			more, gone := make(chan struct{}), make(chan struct{})
			s := script(t, func(_ int, c *peer) {
				defer close(gone)
				if _, err := c.head(); err != nil {
					return
				}
				c.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
				<-more
				c.say("9\r\ndata: 2\n\n\r\n")
				c.ended()
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := get("/")
			res, err := start(t, config(t, s.url)).Fill(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			if n, err := res.Body.Read(buf); err != nil || string(buf[:n]) != "data: 1\n\n" {
				t.Fatalf("read %q, %v", buf[:n], err)
			}
			close(more)
			if n, err := res.Body.Read(buf); err != nil || string(buf[:n]) != "data: 2\n\n" {
				t.Fatalf("read %q, %v", buf[:n], err)
			}
			if end == "cancel" {
				cancel()
				_, err := res.Body.Read(buf)
				wantCause(t, err, exchange.ClientAborted)
			} else {
				res.Body.Close()
			}
			<-gone // the endpoint's connection has ended
			res.Body.Close()
			if n := atOrigin(r); n != 0 {
				t.Errorf("%d requests still counted", n)
			}
		})
	}
}

func TestCancelledBeforeTheHead(t *testing.T) {
	gone := make(chan struct{})
	asked := make(chan struct{})
	s := script(t, func(_ int, c *peer) {
		defer close(gone)
		if _, err := c.head(); err == nil {
			close(asked)
			c.ended()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := start(t, config(t, s.url)).Fill(ctx, get("/"))
	wantCause(t, err, exchange.ClientAborted)
	<-gone
}

func TestReasonOfTheCallerIsKept(t *testing.T) {
	s := script(t, func(_ int, c *peer) { c.ended() })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&exchange.Error{Cause: exchange.ProxyInternalError})
	_, err := start(t, config(t, s.url)).Fill(ctx, get("/"))
	wantCause(t, err, exchange.ProxyInternalError)
}

func TestResponsesWithoutContent(t *testing.T) {
	for name, c := range map[string]struct {
		method, raw string
		length      int64
	}{
		"HEAD with length":    {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", 50},
		"HEAD without":        {"HEAD", "HTTP/1.1 200 OK\r\n\r\n", -1},
		"HEAD with chunks":    {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -1},
		"204":                 {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 0},
		"304":                 {"GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 50\r\n\r\n", 0},
		"200 with length 0":   {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0},
		"200 until the close": {"GET", "HTTP/1.0 200 OK\r\n\r\n", -1},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, func(_ int, p *peer) {
				if _, err := p.head(); err == nil {
					p.say(c.raw)
					if !strings.Contains(c.raw, "HTTP/1.0") {
						p.ended()
					}
				}
			})
			r := get("/")
			r.Method = c.method
			res, body := mustFetch(t, start(t, config(t, s.url)), r)
			if res.Length != c.length || body != "" {
				t.Errorf("length %d, body %q; want length %d and no body", res.Length, body, c.length)
			}
		})
	}
}

// net/http would add a Cache-Control to a response that has Pragma.
func TestFieldsAreNotInvented(t *testing.T) {
	s := answer(t, "HTTP/1.1 200 OK\r\nPragma: no-cache\r\nX-B: 1\r\nX-A: 2\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n")
	res, _ := mustFetch(t, start(t, config(t, s.url)), get("/"))
	want := exchange.Header{{Name: "pragma", Value: "no-cache"}, {Name: "x-b", Value: "1"}, {Name: "x-a", Value: "2"}, {Name: "set-cookie", Value: "a"}, {Name: "set-cookie", Value: "b"}}
	if d := cmp.Diff(want, res.Header); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
