package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/http2"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// moment is a limit that a test waits for, and that no client meets which a
// busy machine holds up between two lines.
const moment = 3 * time.Second

func TestConnsPerClient(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) { _ = w.Head(200, nil, 0) },
		func(c *Config) { c.Limits.ConnsPerClient = 2 })
	open := func() (net.Conn, error) {
		c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		_, err = c.Read(make([]byte, 1))
		return c, err
	}
	var conns []net.Conn
	for range 2 {
		c, err := open()
		if err != nil {
			t.Fatalf("a connection within the limit: %v", err)
		}
		conns = append(conns, c)
	}
	if _, err := open(); err == nil {
		t.Error("a third connection was served")
	}
	if n := r.counters.Hits(limits.ConnsPerClient); n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	_ = conns[0].Close()
	waitFor(t, "a place for a new connection", func() bool { c, err := open(); _ = c.Close(); return err == nil })
	_ = conns[1].Close()
}

func TestSlowHeadIsCut(t *testing.T) {
	t.Parallel() // it waits
	refused := make(chan exchange.Refusal, 1)
	r := start(t, func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		refused <- r.Refused
		_ = w.Head(r.Refused.Status(), nil, 0)
	}, func(c *Config) { c.Limits.HeaderTime = moment })
	c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET / HT")
	if b, err := io.ReadAll(c); !bytes.HasPrefix(b, []byte("HTTP/1.1 408")) || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	if why := <-refused; why != exchange.HeadTooSlow {
		t.Errorf("refused as %q", why)
	}
	if r.counters.Hits(limits.HandshakeTime) != 0 {
		t.Error("another limit was counted")
	}
}

func TestSlowBodyIsCut(t *testing.T) {
	failed := make(chan error, 1)
	r := start(t, func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
		w.Abort()
	}, func(c *Config) { c.Limits.BodyStall = 50 * time.Millisecond })
	c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
	if err := <-failed; err == nil {
		t.Error("the body was read to its end")
	}
	if r.counters.Hits(limits.MinRate) != 1 {
		t.Error("the limit was not counted")
	}
}

func TestSlowReaderIsCut(t *testing.T) {
	failed := make(chan error, 1)
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
		_ = w.Head(200, nil, -1)
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 1<<20))
		}
		failed <- err
		w.Abort()
	}, func(c *Config) { c.Limits.BodyStall = 50 * time.Millisecond })
	c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-failed
	if r.counters.Hits(limits.BodyStall) == 0 {
		t.Error("the limit was not counted")
	}
}

func TestOversizeTrailersAreRefused(t *testing.T) {
	got := make(chan exchange.Header, 1)
	r := start(t, func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		_, _ = io.ReadAll(r.Body)
		got <- r.Trailer()
		_ = w.Head(200, nil, 0)
	}, func(c *Config) { c.Limits.RequestTrailers = 40 })
	for _, tc := range []struct {
		value string
		kept  int
	}{{"small", 1}, {strings.Repeat("x", 60), 0}} {
		c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Server-Timing\r\n\r\n0\r\nServer-Timing: "+tc.value+"\r\n\r\n")
		if h := <-got; len(h) != tc.kept {
			t.Errorf("trailer of %d bytes: kept %v", len(tc.value), h)
		}
		_ = c.Close()
	}
	if r.counters.Hits(limits.RequestTrailers) != 1 {
		t.Error("the limit was not counted")
	}
}

// TestSilentHandshakeIsCut: a TCP connection on which no ClientHello comes.
func TestSilentHandshakeIsCut(t *testing.T) {
	r := start(t, nil, func(c *Config) { c.Limits.HandshakeTime = 50 * time.Millisecond })
	c, err := net.Dial("tcp", r.HTTPSAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(c)
	if r.counters.Hits(limits.HandshakeTime) != 1 {
		t.Error("the limit was not counted")
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	t.Parallel() // it waits
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) { _ = w.Head(200, nil, 0) },
		func(c *Config) { c.Limits.IdleTime = moment })
	c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 200")) {
		t.Errorf("%q, %v", b, err)
	}
	if r.counters.Hits(limits.IdleTime) != 1 {
		t.Error("the limit was not counted")
	}
}

// TestHTTP2Announces what a client may use: limits.Streams,
// limits.StreamWindow and limits.ConnWindow.
func TestHTTP2Announces(t *testing.T) {
	r := start(t, nil, func(c *Config) {
		c.Limits.Streams, c.Limits.StreamWindow, c.Limits.ConnWindow = 7, 70_000, 200_000
	})
	framer := dialHTTP2(t, r)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				continue
			}
			for id, want := range map[http2.SettingID]uint32{http2.SettingMaxConcurrentStreams: 7, http2.SettingInitialWindowSize: 70_000} {
				if got, ok := f.Value(id); !ok || got != want {
					t.Errorf("%v is %d, want %d", id, got, want)
				}
			}
		case *http2.WindowUpdateFrame:
			if f.Increment != 200_000-65_535 {
				t.Errorf("the connection's window grows by %d, want to 200000", f.Increment)
			}
			return
		}
	}
}

// dialHTTP2 opens a connection of HTTP/2 as far as the client's preface.
func dialHTTP2(t *testing.T, r *running) *http2.Framer {
	t.Helper()
	conf := r.tls.Clone()
	conf.NextProtos = []string{"h2"}
	c, err := tls.Dial("tcp", r.HTTPSAddrs()[0].String(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return framer
}

// TestDrainSaysGoAway: an idle HTTP/2 client is told, and does not hold up
// the stop.
func TestDrainSaysGoAway(t *testing.T) {
	r := start(t, nil, func(c *Config) { c.Drain = time.Hour })
	framer := dialHTTP2(t, r)
	if _, err := framer.ReadFrame(); err != nil {
		t.Fatal(err)
	}
	r.stop()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("closed without GOAWAY: %v", err)
		}
		if _, ok := frame.(*http2.GoAwayFrame); ok {
			break
		}
	}
	<-r.ended
}

// TestConnsPerClientOverQUIC: a connection that ends gives its place back;
// a leak would lock the client out for good.
func TestConnsPerClientOverQUIC(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) { _ = w.Head(200, nil, 0) },
		func(c *Config) { c.Limits.ConnsPerClient = 1 })
	first := r.client(t, exchange.HTTP3)
	if _, err := first.Get(r.url("https")); err != nil {
		t.Fatal(err)
	}
	// It is counted when its handshake is complete, and closed then.
	conf := r.tls.Clone()
	conf.NextProtos = []string{"h3"}
	if second, err := quic.DialAddr(t.Context(), r.HTTPSAddrs()[0].String(), conf, nil); err == nil {
		<-second.Context().Done()
	}
	if n := r.counters.Hits(limits.ConnsPerClient); n != 1 {
		t.Errorf("the limit was met %d times", n)
	}
	first.CloseIdleConnections()
	waitFor(t, "place for a new connection", func() bool {
		_, err := r.client(t, exchange.HTTP3).Get(r.url("https"))
		return err == nil
	})
}

func TestClientOf(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
	} {
		if got := clientOf(netip.MustParseAddr(tc.a)) == clientOf(netip.MustParseAddr(tc.b)); got != tc.same {
			t.Errorf("%s and %s are one client: %v, want %v", tc.a, tc.b, got, tc.same)
		}
	}
}

// TestNoInterimToHTTP10: such a client takes a 103 for the final response.
func TestNoInterimToHTTP10(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		if r.Interim != nil {
			t.Error("there is somebody to send interim responses to")
		}
		_ = w.Interim(103, nil)
		_ = w.Head(200, nil, 0)
	}, nil)
	c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !(bytes.HasPrefix(b, []byte("HTTP/1.1 200")) || bytes.HasPrefix(b, []byte("HTTP/1.0 200"))) {
		t.Errorf("%q, %v", b, err)
	}
}
