package front

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// get asks for the root and returns the response, read.
func get(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "ok" {
		t.Fatalf("read %q, %v", b, err)
	}
	return resp
}

func ok(_ context.Context, w exchange.Writer, _ *exchange.Request) {
	_ = w.Head(200, nil, 2)
	_, _ = w.Write([]byte("ok"))
}

// TestSetDraining: whoever is connected is sent away, whoever comes is
// served and sent away, until the node stays.
func TestSetDraining(t *testing.T) {
	for _, proto := range protos {
		t.Run(proto.String(), func(t *testing.T) {
			r := start(t, ok, nil)
			old := r.client(t, proto)
			get(t, old, r.url("https"))
			if c := r.Counts(); c.Connections() != 1 || c.Accepted != 1 || c.Earlier != 0 || c.of(proto) != 1 {
				t.Errorf("before: %+v", c)
			}
			r.SetDraining(true)
			r.SetDraining(true)
			waitFor(t, "end of the connection from before", func() bool { return r.Counts().Connections() == 0 })
			for range 3 {
				resp := get(t, r.client(t, proto), r.url("https"))
				if proto == exchange.HTTP11 && !resp.Close {
					t.Error("an HTTP/1.1 client was not told that its connection closes")
				}
			}
			waitFor(t, "end of the connections that came later", func() bool { return r.Counts().Connections() == 0 })
			r.SetDraining(false)
			stays := r.client(t, proto)
			get(t, stays, r.url("https"))
			get(t, stays, r.url("https"))
			if c := r.Counts(); c.Accepted != 5 || c.of(proto) != 1 {
				t.Errorf("after: %+v", c)
			}
		})
	}
}

// of returns how many connections speak a version.
func (c Counts) of(p exchange.Proto) int {
	return map[exchange.Proto]int{exchange.HTTP11: c.HTTP1, exchange.HTTP2: c.HTTP2, exchange.HTTP3: c.HTTP3}[p]
}

// TestDrainingLosesNoRequest: clients that keep asking while a node drains
// get an answer each time. What a connection does not take any more, because
// the client was starved for longer than the grace, is said not to have been
// taken, and sent again by the client itself (RFC 9113, 8.7). The one for
// HTTP/3 does not connect anew by itself, and is a new one for each request.
func TestDrainingLosesNoRequest(t *testing.T) {
	r := start(t, ok, nil)
	for _, proto := range protos {
		c := r.client(t, proto)
		for i := range 50 {
			if i == 10 {
				r.SetDraining(true)
			}
			if proto == exchange.HTTP3 {
				c = r.client(t, proto)
			}
			resp, err := c.Post(r.url("https"), "text/plain", strings.NewReader("once"))
			if err != nil {
				t.Fatalf("%v, request %d: %v", proto, i, err)
			}
			_, _ = io.ReadAll(resp.Body)
		}
		r.SetDraining(false)
	}
}

// TestEarlier: connections from before a drain are told from those that came
// later, and a tunnel is one for as long as it lasts.
func TestEarlier(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
		c, err := w.Tunnel(nil)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}, nil)
	open := func() net.Conn {
		c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 101 {
			t.Fatalf("%v, %v", resp, err)
		}
		return c
	}
	before := open()
	r.SetDraining(true)
	later := open()
	if c := r.Counts(); c.Earlier != 1 || c.HTTP1 != 2 || c.Tunnels != 2 || c.InFlight != 2 {
		t.Errorf("both: %+v", c)
	}
	_ = before.Close()
	waitFor(t, "end of the earlier one", func() bool { c := r.Counts(); return c.Earlier == 0 && c.Tunnels == 1 })
	r.SetDraining(false)
	r.SetDraining(true)
	if c := r.Counts(); c.Earlier != 1 {
		t.Errorf("a second drain: %+v", c)
	}
	r.SetDraining(false)
	if c := r.Counts(); c.Earlier != 0 || c.Tunnels != 1 {
		t.Errorf("no drain: %+v", c)
	}
	_ = later.Close()
}
