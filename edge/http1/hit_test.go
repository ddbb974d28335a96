package http1

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// content is stored content in runs.
type content struct {
	runs     []string
	released int
}

func (c *content) From(off int64) []byte {
	for _, run := range c.runs {
		if off < int64(len(run)) {
			return []byte(run[off:])
		}
		off -= int64(len(run))
	}
	return nil
}

func (c *content) Release() { c.released++ }

func (c *content) length() (n int64) {
	for _, run := range c.runs {
		n += int64(len(run))
	}
	return n
}

// shelf is a handler with one stored response.
type shelf struct {
	handler
	head    *exchange.Head
	content *content
	ends    []string
}

func newShelf(status int, h exchange.Header, runs ...string) *shelf {
	s := &shelf{content: &content{runs: runs}}
	s.head = &exchange.Head{Status: status, Header: h, Length: s.content.length()}
	s.hit = func(r *exchange.Request, out *exchange.Stored) bool {
		if r.Path != "/hit" {
			return false
		}
		out.Head, out.Note = s.head, s
		room := append(out.Room[:0], "12"...)
		out.Own = append(out.Fields[:0], exchange.Field{Name: "age", Value: exchange.Borrowed(room)})
		if r.Method != "HEAD" {
			out.Content = s.content
		}
		return true
	}
	s.sent = func(r *exchange.Request, out *exchange.Stored, n int64, why exchange.Cause) {
		end := r.Method + " " + r.Path + " " + why.String() + " "
		if out.Head != s.head || out.Note != any(s) {
			end += "another's "
		}
		s.ends = append(s.ends, end+strconv.FormatInt(n, 10))
	}
	return s
}

// TestHit: the bytes of a stored response.
func TestHit(t *testing.T) {
	const date = "Sat, 01 Jan 2000 00:00:00 GMT" // synctest's beginning of time
	for _, tc := range []struct {
		name    string
		shelf   *shelf
		request string
		want    string
	}{
		{
			"all", newShelf(200, exchange.Header{{Name: "content-type", Value: "text/plain"}, {Name: "x-a-", Value: "1"}}, "hel", "lo"),
			"GET /hit HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A-: 1\r\nContent-Length: 5\r\nAge: 12\r\nDate: " + date + "\r\n\r\nhello",
		},
		{
			"to HEAD, by the stored Date, and the last", newShelf(200, exchange.Header{{Name: "date", Value: "then"}}, "hello"),
			"HEAD /hit HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 5\r\nAge: 12\r\nConnection: close\r\n\r\n",
		},
		{
			"without content", newShelf(204, exchange.Header{{Name: "date", Value: "then"}}),
			"GET /hit HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 204 No Content\r\nDate: then\r\nAge: 12\r\n\r\n",
		},
		{
			"of nothing, without what frames or splits",
			newShelf(404, exchange.Header{
				{Name: "date", Value: "then"},
				{Name: "transfer-encoding", Value: "chunked"},
				{Name: "content-length", Value: "7"},
				{Name: "connection", Value: "x"},
				{Name: "x-split", Value: "a\r\nb: c"},
				{Name: "x-nul", Value: "\x00"},
				{Name: "x y", Value: "z"},
				{Name: "", Value: "z"},
			}),
			"GET /hit HTTP/1.1\r\nHost: a\r\n\r\n",
			"HTTP/1.1 404 Not Found\r\nDate: then\r\nContent-Length: 0\r\nAge: 12\r\n\r\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, tc.shelf, nil)
				s.say(t, tc.request)
				_ = s.client.CloseWrite()
				if got := s.rest(); got != tc.want {
					t.Errorf("got  %q\nwant %q", got, tc.want)
				}
			})
			sent := int64(0)
			if strings.HasPrefix(tc.request, "GET") {
				sent = tc.shelf.head.Length
				if tc.shelf.content.released != 1 {
					t.Errorf("released %d times", tc.shelf.content.released)
				}
			}
			method, _, _ := strings.Cut(tc.request, " ")
			if want := method + " /hit  " + strconv.FormatInt(sent, 10); len(tc.shelf.ends) != 1 || tc.shelf.ends[0] != want {
				t.Errorf("ended %q, want %q", tc.shelf.ends, want)
			}
		})
	}
}

// TestBurst: pipelined hits are one write, also around requests that are
// not hits.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := newShelf(200, nil, "hello")
		s := open(t, shelf, nil)
		hit := "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n"
		s.say(t, strings.Repeat(hit, 50)+hit[:20])
		synctest.Wait()
		if n := s.server.wrote(); n != 1 {
			t.Errorf("%d writes for 50 hits", n)
		}
		if n := s.inFlight.Load(); n != 1 {
			t.Errorf("%d are in flight while a head is awaited", n)
		}
		s.say(t, hit[20:])
		synctest.Wait()
		if n := s.inFlight.Load(); n != 0 {
			t.Errorf("%d are in flight", n)
		}
		s.say(t, strings.Repeat(hit, 3)+"GET /miss HTTP/1.1\r\nHost: a\r\n\r\n"+strings.Repeat(hit, 2))
		_ = s.client.CloseWrite()
		codes, _ := statuses(t, s.rest())
		if len(codes) != 57 || s.server.wrote() != 4 {
			t.Errorf("%d answers in %d writes", len(codes), s.server.wrote())
		}
		if shelf.content.released != 56 || len(shelf.ends) != 56 || len(shelf.lines()) != 1 {
			t.Errorf("released %d, ended %d, asked %q", shelf.content.released, len(shelf.ends), shelf.lines())
		}
	})
}

// TestNoHit: what is not for the hit path does not see it.
func TestNoHit(t *testing.T) {
	for _, request := range []string{
		"POST /hit HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /hit HTTP/1.0\r\nHost: a\r\n\r\n",
		"GET /hit HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
		"GET /hit HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /hit HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET /hit HTTP/1.1\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, &handler{hit: func(*exchange.Request, *exchange.Stored) bool {
				t.Errorf("%q was asked as a hit", request)
				return false
			}}, nil)
			s.say(t, request)
			_ = s.client.CloseWrite()
			s.rest()
		})
	}
}

// TestHitLost: a client that takes nothing is cut, and the hit ended.
func TestHitLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := newShelf(200, nil, strings.Repeat("x", 1<<20))
		s := open(t, shelf, nil)
		s.say(t, "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n")
		<-s.done
		if len(shelf.ends) != 1 || !strings.HasPrefix(shelf.ends[0], "GET /hit client_aborted") || shelf.content.released != 1 {
			t.Errorf("ended %q, released %d", shelf.ends, shelf.content.released)
		}
		if n := s.counters.Hits(limits.BodyStall); n != 1 {
			t.Errorf("limits.BodyStall was counted %d times", n)
		}
	})
}

// TestShortHit: content that ends early is not made up for by what follows.
func TestShortHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := newShelf(200, nil, "hello")
		shelf.head.Length = 7
		s := open(t, shelf, nil)
		s.say(t, strings.Repeat("GET /hit HTTP/1.1\r\nHost: a\r\n\r\n", 2))
		if text := s.rest(); strings.Count(text, "HTTP/1.1") > 1 {
			t.Errorf("%q", text)
		}
		if len(shelf.ends) != 1 || shelf.ends[0] != "GET /hit client_aborted 5" {
			t.Errorf("ended %q", shelf.ends)
		}
	})
}
