package http1

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

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
