package http1

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestOneAfterAnother: what a client sends at once is answered in order.
func TestOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{}
		s := open(t, h, nil)
		s.say(t, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"+
			"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"+
			"\r\nGET /3?x HTTP/1.1\r\nHost: A:80\r\nConnection: close\r\n\r\n"+
			"GET /4 HTTP/1.1\r\nHost: a\r\n\r\n")
		text := s.rest()
		codes, closes := statuses(t, text)
		if !slices.Equal(codes, []int{200, 200, 200}) || !closes {
			t.Errorf("%v, closes %v: %q", codes, closes, text)
		}
		if got := h.lines(); !slices.Equal(got, []string{"GET a /1", "POST a /2", "GET A /3?x"}) {
			t.Errorf("asked %q", got)
		}
	})
}

// TestRequest: what a handler sees of a request.
func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got *exchange.Request
		s := open(t, &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			got = r
			reply(w, r, 200, "")
		}}, nil)
		s.say(t, "GET /a%2Fb//c;d?x=%zz&&y HTTP/1.1\r\nHost: a.example:1234\r\nX-Two:  b c \t\r\ncookie: 1\r\nCookie: 2\r\nX-Empty:\r\n\r\n")
		_ = s.client.CloseWrite()
		if text := s.rest(); !strings.HasPrefix(text, "HTTP/1.1 200 OK\r\n") {
			t.Errorf("%q", text)
		}
		want := exchange.Header{{Name: "x-two", Value: "b c"}, {Name: "cookie", Value: "1"}, {Name: "cookie", Value: "2"}, {Name: "x-empty", Value: ""}}
		if got.Method != "GET" || got.Proto != exchange.HTTP11 || got.Scheme != "http" || got.Host != "a.example" || got.Port != "1234" ||
			got.Path != "/a%2Fb//c;d" || got.Query != "?x=%zz&&y" || got.Body != nil || got.Length != 0 || !slices.Equal(got.Header, want) {
			t.Errorf("%+v", got)
		}
	})
}

// TestRefusedCloses: a head that is refused is answered once, and nothing
// behind it is read as a request.
func TestRefusedCloses(t *testing.T) {
	for _, tc := range refusedHeads {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &handler{}
				s := open(t, h, nil)
				s.say(t, tc.text+get)
				codes, closes := statuses(t, s.rest())
				if !slices.Equal(codes, []int{tc.want.Status()}) || !closes || !slices.Equal(h.lines(), []string{tc.want.String()}) {
					t.Errorf("%v, closes %v, asked %q", codes, closes, h.lines())
				}
				<-s.done
				if s.why != endRefused {
					t.Errorf("ended as %v", s.why)
				}
			})
		})
	}
}

// TestRefusedSays: what could be read is there for the record.
func TestRefusedSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got *exchange.Request
		s := open(t, recorder(func(w exchange.Writer, r *exchange.Request) {
			got = r
			reply(w, r, 400, "")
		}), nil)
		s.say(t, "PUT /a?b HTTP/1.1\r\nHost: a.example:1\r\nContent-Length: 3\r\nX: y\r\n: z\r\n\r\nabc")
		s.rest()
		if got.Refused != exchange.BadField || got.Method != "PUT" || got.Target() != "/a?b" || got.Host != "a.example" || got.Port != "1" ||
			got.Body != nil || got.Length != 0 || got.Header.Get("x") != "y" {
			t.Errorf("%+v", got)
		}
		s = open(t, recorder(func(w exchange.Writer, r *exchange.Request) {
			got = r
			reply(w, r, 400, "")
		}), nil)
		s.say(t, "PUT /a?b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
		s.rest()
		if got.Refused != exchange.BadFraming || got.Method != "PUT" || got.Target() != "/a?b" || got.Host != "a.example" {
			t.Errorf("%+v", got)
		}
	})
}

// recorder is a handler that sees refused requests, too.
type recorder func(exchange.Writer, *exchange.Request)

func (recorder) Hit(*exchange.Request, *exchange.Stored) bool                              { return false }
func (recorder) Sent(*exchange.Request, *exchange.Stored, int64, exchange.Cause)           {}
func (f recorder) ServeExchange(_ context.Context, w exchange.Writer, r *exchange.Request) { f(w, r) }

// TestPanic: a mistake of ours costs one connection.
func TestPanic(t *testing.T) {
	for _, h := range []*handler{
		{hit: func(*exchange.Request, *exchange.Stored) bool { panic("hit") }},
		{serve: func(context.Context, exchange.Writer, *exchange.Request) { panic("serve") }},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, h, nil)
			s.say(t, get)
			if text := s.rest(); text != "" {
				t.Errorf("%q", text)
			}
			<-s.done
			if s.why != endPanic {
				t.Errorf("ended as %v", s.why)
			}
		})
	}
}

// TestEnds: why a connection was closed is counted.
func TestEnds(t *testing.T) {
	abort := func(_ context.Context, w exchange.Writer, _ *exchange.Request) { w.Abort() }
	for _, tc := range []struct {
		text  string
		serve func(context.Context, exchange.Writer, *exchange.Request)
		want  end
	}{
		{"", nil, endHeadSlow},
		{get, nil, endIdle},
		{get[:9], nil, endRefused},
		{get, abort, endAborted},
		{"GET / HTTP/1.0\r\n\r\n", nil, endAnswered},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", nil, endUnread},
	} {
		t.Run(tc.want.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, &handler{serve: tc.serve}, nil)
				s.say(t, tc.text)
				s.rest()
				<-s.done
				if n := testutil.ToFloat64(s.s.met.closed[tc.want]); s.why != tc.want || n != 1 {
					t.Errorf("ended as %v, counted %v", s.why, n)
				}
			})
		})
	}
}

// TestRecords: requests that come in several TLS records are answered with
// one write, too.
func TestRecords(t *testing.T) {
	cert := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		server, client := newMemory(64 << 10)
		shelf := newShelf(200, nil, "hello")
		c, secured := secure(t, shelf, server, client, cert)
		for range 3 {
			if _, err := io.WriteString(secured, "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		before := server.wrote()
		done := make(chan struct{})
		go func() { defer close(done); c.Serve(t.Context()) }()
		synctest.Wait()
		if n := server.wrote() - before; n != 1 || len(shelf.ends) != 3 {
			t.Errorf("%d answers in %d writes", len(shelf.ends), n)
		}
		_ = secured.Close()
		<-done
	})
}
