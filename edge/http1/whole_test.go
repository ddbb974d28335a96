package http1

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestHalfClosedClientGetsAll: a client that ends its direction of the TLS
// session with its request reads the whole answer (RFC 8446, 6.1).
func TestHalfClosedClientGetsAll(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 6<<10)
	shelf := newShelf(200, nil, large)
	shelf.serve = func(_ context.Context, w exchange.Writer, r *exchange.Request) { reply(w, r, 200, large) }
	for _, path := range []string{"/hit", "/miss"} {
		c, client := loopback(t, true, shelf)
		// No buffer of the kernel takes it at once.
		_ = c.p.Conn.Conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
		_ = client.(*tls.Conn).NetConn().(*net.TCPConn).SetReadBuffer(16 << 10)
		done := make(chan struct{})
		go func() { defer close(done); c.Serve(t.Context()) }()
		_, _ = io.WriteString(client, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if err := client.(*tls.Conn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(client); !strings.HasSuffix(string(b), large) {
			t.Errorf("%s: %d bytes, %v", path, len(b), err)
		}
		_ = client.Close()
		<-done
	}
}

// TestClockOfAPipeline: what is asked behind answers that a slow client took
// its time for is asked when they were taken.
func TestClockOfAPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := newShelf(200, nil, strings.Repeat("x", 1<<20))
		inner, late := shelf.hit, time.Duration(0)
		shelf.hit = func(r *exchange.Request, out *exchange.Stored) bool {
			late = time.Since(r.Arrived)
			return inner(r, out)
		}
		s := open(t, shelf, nil)
		s.say(t, strings.Repeat("GET /hit HTTP/1.1\r\nHost: a\r\n\r\n", 20)+"GET /hit HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		ticks := time.NewTicker(5 * time.Second)
		defer ticks.Stop()
		for buf := make([]byte, 64<<10); ; <-ticks.C {
			if _, err := io.ReadFull(s.client, buf); err != nil {
				break
			}
		}
		if late > time.Minute {
			t.Errorf("the clock of the last request was %v behind", late)
		}
	})
}
