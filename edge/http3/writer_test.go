package http3

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// writing is what a handler writes, and how it goes over the wire.
type writing struct {
	name   string
	method string
	serve  func(t *testing.T, w exchange.Writer)
	heads  []exchange.Header // without our Date
	body   string
	reset  code
}

func (tc writing) run(t *testing.T) {
	c, session, _ := fakeConn(limits.Default(), &handler{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) { tc.serve(t, w) }})
	f := newFake(head(tc.method), true)
	c.serve(f)
	out, closed, _, write := f.state()
	if write != tc.reset || closed != (tc.reset == 0) || session.closed() != 0 {
		t.Fatalf("closed %v, reset with %v, connection %v", closed, write, session.closed())
	}
	if n := c.server.conf.InFlight.Load(); n != 0 {
		t.Errorf("%d in flight", n)
	}
	if tc.reset != 0 {
		return
	}
	a := read(t, bytes.NewReader(out))
	if string(a.body) != tc.body || len(a.heads) != len(tc.heads) {
		t.Fatalf("%d bytes of content, want %d; heads %v", len(a.body), len(tc.body), a.heads)
	}
	for i, h := range a.heads {
		if got, want := string(fields(without(h, tc.heads[i])...)), string(fields(tc.heads[i]...)); got != want {
			t.Errorf("head %d is %v, want %v", i, h, tc.heads[i])
		}
	}
}

// TestWriterContent: how content is framed.
func TestWriterContent(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, tc := range []writing{
		{
			name: "a length", method: "GET",
			serve: func(t *testing.T, w exchange.Writer) {
				_ = w.Head(200, exchange.Header{field("a", "b"), field("transfer-encoding", "chunked"), field("content-length", "9")}, 4)
				_, _ = io.WriteString(w, "ab")
				_ = w.Flush()
				_, _ = io.WriteString(w, "cd")
			},
			heads: []exchange.Header{{field(":status", "200"), field("a", "b"), field("content-length", "4")}}, body: "abcd",
		},
		{
			name: "no length", method: "GET",
			serve: func(t *testing.T, w exchange.Writer) {
				_ = w.Head(404, nil, -1)
				_, _ = io.WriteString(w, "ab")
				_, _ = w.Write(big)
				_, _ = io.WriteString(w, "cd")
				_ = w.Flush()
				for i := 0; i < len(big); i += 1000 {
					_, _ = w.Write(big[i : i+1000])
				}
			},
			heads: []exchange.Header{{field(":status", "404")}}, body: "ab" + string(big) + "cd" + string(big),
		},
		{
			name: "a length, large", method: "GET",
			serve: func(t *testing.T, w exchange.Writer) {
				_ = w.Head(200, nil, int64(len(big)+17_000))
				_, _ = w.Write(big[:17_000])
				if n, err := w.Write(big); n != len(big) || err != nil {
					t.Errorf("wrote %d, %v", n, err)
				}
			},
			heads: []exchange.Header{{field(":status", "200"), field("content-length", "117000")}}, body: string(big[:17_000]) + string(big),
		},
		{
			name: "trailers", method: "GET",
			serve: func(t *testing.T, w exchange.Writer) {
				_ = w.Head(200, nil, -1)
				_, _ = io.WriteString(w, "x")
				_ = w.Trailer(exchange.Header{field("etag", "1")})
				if _, err := w.Write([]byte("y")); err == nil {
					t.Error("content after trailers is accepted")
				}
			},
			heads: []exchange.Header{{field(":status", "200")}, {field("etag", "1")}}, body: "x",
		},
	} {
		t.Run(tc.name, tc.run)
	}
}

// TestWriterHead: which heads are sent.
func TestWriterHead(t *testing.T) {
	for _, tc := range []writing{
		{
			name: "interim", method: "GET",
			serve: func(t *testing.T, w exchange.Writer) {
				_ = w.Interim(103, exchange.Header{field("link", "</a>")})
				_ = w.Head(200, nil, 0)
				_ = w.Interim(103, nil) // too late
			},
			heads: []exchange.Header{{field(":status", "103"), field("link", "</a>")}, {field(":status", "200"), field("content-length", "0")}},
		},
		{
			name: "HEAD", method: "HEAD",
			serve: func(t *testing.T, w exchange.Writer) { _ = w.Head(200, nil, 5); _, _ = io.WriteString(w, "abcde") },
			heads: []exchange.Header{{field(":status", "200"), field("content-length", "5")}},
		},
		{
			name: "304", method: "GET",
			serve: func(t *testing.T, w exchange.Writer) { _ = w.Head(304, exchange.Header{field("etag", "1")}, 5) },
			heads: []exchange.Header{{field(":status", "304"), field("etag", "1")}},
		},
		{
			name: "an origin's date", method: "GET",
			serve: func(t *testing.T, w exchange.Writer) {
				_ = w.Head(204, exchange.Header{field("date", "Sun, 06 Nov 1994 08:49:37 GMT")}, -1)
			},
			heads: []exchange.Header{{field(":status", "204"), field("date", "Sun, 06 Nov 1994 08:49:37 GMT")}},
		},
	} {
		t.Run(tc.name, tc.run)
	}
}

// TestWriterAbort: what a client must not take for a whole response.
func TestWriterAbort(t *testing.T) {
	for _, tc := range []writing{
		{name: "no head", method: "GET", serve: func(t *testing.T, w exchange.Writer) {}, reset: codeInternalError},
		{name: "aborted", method: "GET", serve: func(t *testing.T, w exchange.Writer) {
			_ = w.Head(200, nil, -1)
			_, _ = io.WriteString(w, "x")
			w.Abort()
		}, reset: codeInternalError},
		{name: "cut short", method: "GET", serve: func(t *testing.T, w exchange.Writer) {
			_ = w.Head(200, nil, 2)
			_, _ = io.WriteString(w, "x")
		}, reset: codeInternalError},
		{name: "too much", method: "GET", serve: func(t *testing.T, w exchange.Writer) {
			_ = w.Head(200, nil, 2)
			if _, err := io.WriteString(w, "xyz"); err == nil {
				t.Error("more than the length is accepted")
			}
		}, reset: codeInternalError},
		{name: "a panic", method: "GET", serve: func(t *testing.T, w exchange.Writer) { panic("a mistake") }, reset: codeInternalError},
	} {
		t.Run(tc.name, tc.run)
	}
}

// without returns h without the Date that is ours to add.
func without(h, want exchange.Header) exchange.Header {
	if !want.Has("date") {
		h.Del("date")
	}
	return h
}

// TestExpect: 100 is sent when the body is asked for, and only then.
func TestExpect(t *testing.T) {
	for _, reads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c, _, _ := fakeConn(limits.Default(), &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
				if reads {
					if b, err := io.ReadAll(r.Body); string(b) != "hi" || err != nil {
						t.Errorf("read %q, %v", b, err)
					}
				}
				_ = w.Head(200, nil, 0)
			}})
			f := newFake(head("POST", field("expect", "100-continue")), false)
			var client sync.WaitGroup
			defer client.Wait()
			client.Go(func() {
				for {
					if out, closed, _, _ := f.state(); closed {
						return
					} else if len(out) > 0 {
						f.send(frame(frameData, []byte("hi")...), true)
						return
					}
					time.Sleep(time.Millisecond)
				}
			})
			c.serve(f)
			out, _, _, _ := f.state()
			want := []string{"100", "200"}
			if !reads {
				want = want[1:]
			}
			a := read(t, bytes.NewReader(out))
			if len(a.heads) != len(want) || a.heads[0].Get(":status") != want[0] {
				t.Errorf("reads %v: answered %v", reads, a.heads)
			}
		})
	}
}

// TestClientLeaves: the request's context ends when the client gives the
// response up.
func TestClientLeaves(t *testing.T) {
	for _, tc := range []struct {
		name   string
		leaves func(s *quic.Stream)
	}{
		{"gives the response up", func(s *quic.Stream) { s.CancelRead(quicCode(codeRequestCancelled)) }},
		{"resets its content", func(s *quic.Stream) { s.CancelWrite(quicCode(codeRequestCancelled)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ended, serving := make(chan error, 1), make(chan struct{})
			e := serve(t, testLimits(), &handler{serve: func(ctx context.Context, _ exchange.Writer, r *exchange.Request) {
				close(serving)
				go func() { _, _ = io.Copy(io.Discard, r.Body) }()
				<-ctx.Done()
				ended <- ctx.Err()
			}})
			s := bidi(t, e.dial(), join(head("POST"), frame(frameData, 1)))
			<-serving
			tc.leaves(s)
			select {
			case <-ended:
			case <-e.ctx().Done():
				t.Fatal("the context lives on")
			}
		})
	}
}

// TestBadContent: a client that breaks the rules in its content ends its
// request, though the head was fine.
func TestBadContent(t *testing.T) {
	ended := make(chan error, 1)
	e := serve(t, testLimits(), &handler{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
		_ = w.Head(http.StatusOK, nil, -1)
		_, _ = io.Copy(io.Discard, r.Body)
		<-ctx.Done()
		_, err := w.Write([]byte("x"))
		ended <- err
	}})
	s := bidi(t, e.dial(), join(head("POST", field("content-length", "1")), frame(frameData, 1, 2)))
	if got := resetWith(t, s); got != codeMessageError {
		t.Errorf("reset with %v", got)
	}
	if err := <-ended; err == nil {
		t.Error("the response goes on")
	}
}
