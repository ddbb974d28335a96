package http1

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

const upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n"

// TestTunnel: bytes flow both ways after the 101, those that came early
// first, and each direction ends by itself.
func TestTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			if r.Upgrade != "websocket" || r.Body != nil {
				t.Errorf("%+v", r)
			}
			time.Sleep(time.Hour) // what comes meanwhile is read ahead
			c, err := w.Tunnel(exchange.Header{{Name: "sec-websocket-accept", Value: "v"}})
			if err != nil {
				t.Error(err)
				return
			}
			if err := w.Head(200, nil, 0); err == nil {
				t.Error("an answer within the tunnel")
			}
			_, _ = io.CopyN(c, c, 10)
			time.Sleep(time.Hour)
			_, _ = io.CopyN(c, c, 5)
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Errorf("end of one direction: %v", err)
			}
			if rest, err := io.ReadAll(c); string(rest) != "rest" || err != nil {
				t.Errorf("the other direction: %q, %v", rest, err)
			}
			_ = c.Close()
			_ = c.Close()
		}}, nil)
		s.say(t, upgrade+"early")
		time.Sleep(time.Minute)
		s.say(t, "ahead")
		in := bufio.NewReader(s.client)
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Connection") != "Upgrade" || resp.Header.Get("Sec-Websocket-Accept") != "v" {
			t.Fatalf("%v, %v", resp, err)
		}
		echo := make([]byte, 10)
		if _, err := io.ReadFull(in, echo); err != nil || string(echo) != "earlyahead" {
			t.Errorf("%q, %v", echo, err)
		}
		s.say(t, "later")
		if _, err := io.ReadFull(in, echo[:5]); err != nil || string(echo[:5]) != "later" {
			t.Errorf("%q, %v", echo[:5], err)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
		s.say(t, "rest")
		_ = s.client.CloseWrite()
		<-s.done
	})
}

// TestNoTunnel: what was meant for a protocol that was not switched to is
// no request.
func TestNoTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{}
		s := open(t, h, nil)
		s.say(t, upgrade+get)
		if codes, closes := statuses(t, s.rest()); len(codes) != 1 || !closes || len(h.lines()) != 1 {
			t.Errorf("%v, asked %q", codes, h.lines())
		}
	})
}

// TestOtherProtocols: a switch that we do not know is not heeded.
func TestOtherProtocols(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{}
		s := open(t, h, nil)
		s.say(t, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", 2))
		_ = s.client.CloseWrite()
		if codes, _ := statuses(t, s.rest()); len(codes) != 2 {
			t.Errorf("%v, asked %q", codes, h.lines())
		}
	})
}

// TestTunnelCloses: closing ends a read and a write that wait.
func TestTunnelCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan error, 2)
		s := open(t, &handler{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			c, err := w.Tunnel(nil)
			if err != nil {
				t.Error(err)
				return
			}
			go func() { _, err := c.Read(make([]byte, 1)); ends <- err }()
			go func() { _, err := c.Write(make([]byte, 1<<20)); ends <- err }()
			synctest.Wait()
			_ = c.Close()
			for range 2 {
				if err := <-ends; err == nil {
					t.Error("a read or write ended well")
				}
			}
		}}, func(c *Config) { c.Limits.BodyStall = time.Hour })
		s.say(t, upgrade)
		start := time.Now()
		<-s.done
		if d := time.Since(start); d > 0 {
			t.Errorf("it took %v", d)
		}
	})
}
