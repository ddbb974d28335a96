package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func upgrading() *exchange.Request {
	r := get("/ws")
	r.Upgrade = "websocket"
	r.Header = exchange.Header{{Name: "sec-websocket-version", Value: "13"}, {Name: "upgrade", Value: "x"}, {Name: "connection", Value: "x"}}
	return r
}

// throughFill is a client's transport that sends an upgrade through Fill.
type throughFill struct {
	o *Origin
	r *exchange.Request
}

func (f throughFill) RoundTrip(hr *http.Request) (*http.Response, error) {
	for name, values := range hr.Header {
		if name = strings.ToLower(name); name != "connection" && name != "upgrade" {
			f.r.Header = append(f.r.Header, exchange.Field{Name: name, Value: values[0]})
		}
	}
	res, err := f.o.Fill(hr.Context(), f.r)
	if err != nil {
		return nil, err
	}
	h := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	for _, field := range res.Header {
		h.Add(field.Name, field.Value)
	}
	return &http.Response{StatusCode: res.Status, Header: h, Body: res.Tunnel}, nil
}

func TestWebSocket(t *testing.T) {
	for name, secured := range map[string]bool{"http": false, "https with HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			echo := func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != 1 {
					t.Errorf("upgrade over %s", r.Proto)
				}
				c, err := websocket.Accept(w, r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				for {
					typ, b, err := c.Read(r.Context())
					if err != nil {
						return
					}
					if err := c.Write(r.Context(), typ, b); err != nil {
						return
					}
				}
			}
			var conf Config
			if secured {
				s, pool := secure(t, true, echo)
				conf = secureConfig(t, s, pool)
			} else {
				s := httptest.NewServer(http.HandlerFunc(echo))
				t.Cleanup(s.Close)
				conf = config(t, s.URL)
			}
			o := start(t, conf)
			r := get("/ws")
			r.Upgrade = "websocket"
			ws, _, err := websocket.Dial(t.Context(), "http://shop.example.com/ws", &websocket.DialOptions{
				HTTPClient: &http.Client{Transport: throughFill{o, r}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if n := atOrigin(r); n != 1 {
				t.Errorf("%d requests counted while the tunnel is open", n)
			}
			for _, msg := range []string{"hello", strings.Repeat("x", 20_000)} {
				if err := ws.Write(t.Context(), websocket.MessageText, []byte(msg)); err != nil {
					t.Fatal(err)
				}
				if _, b, err := ws.Read(t.Context()); err != nil || string(b) != msg {
					t.Fatalf("echo of %d bytes: %d bytes, %v", len(msg), len(b), err)
				}
			}
			if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Error(err)
			}
			if n := atOrigin(r); n != 0 {
				t.Errorf("%d requests counted after the end", n)
			}
		})
	}
}

// A client that came by extended CONNECT has no key; ours is made and
// checked.
func TestWebSocketByExtendedConnect(t *testing.T) {
	for name, c := range map[string]struct {
		accept func(key string) string
		token  string
		want   exchange.Cause
	}{
		"good":           {acceptance, "WebSocket", exchange.NoCause},
		"wrong answer":   {func(string) string { return "x" }, "websocket", exchange.HTTPUpgradeFailed},
		"other protocol": {acceptance, "h2c", exchange.HTTPUpgradeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, func(_ int, p *peer) {
				hr, err := http.ReadRequest(p.br)
				if err != nil || hr.Method != "GET" || hr.Header.Get("Upgrade") != "websocket" || hr.Header.Get("Connection") != "Upgrade" {
					t.Errorf("request %v, %v", hr, err)
					return
				}
				p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + c.token +
					"\r\nSec-WebSocket-Accept: " + c.accept(hr.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\nfirst")
				line, _ := p.br.ReadString('\n')
				p.say("echo " + line)
				p.ended()
			})
			r := upgrading()
			r.Method = "CONNECT"
			res, err := start(t, config(t, s.url)).Fill(t.Context(), r)
			if c.want != exchange.NoCause {
				wantCause(t, err, c.want)
				if n := atOrigin(r); n != 0 {
					t.Errorf("%d requests still counted", n)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer res.Tunnel.Close()
			if res.Header.Has("sec-websocket-accept") {
				t.Error("the answer to our own key was passed")
			}
			if res.Endpoint != "a" {
				t.Errorf("the tunnel is to endpoint %q", res.Endpoint)
			}
			buf := make([]byte, 5)
			if _, err := io.ReadFull(res.Tunnel, buf); err != nil || string(buf) != "first" {
				t.Fatalf("first bytes %q, %v", buf, err)
			}
			if _, err := io.WriteString(res.Tunnel, "hi\n"); err != nil {
				t.Fatal(err)
			}
			if err := res.Tunnel.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(res.Tunnel); err != nil || string(b) != "echo hi\n" {
				t.Errorf("rest %q, %v", b, err)
			}
		})
	}
}

// An endpoint that does not switch gives an ordinary response, and nothing
// more is sent on that connection.
func TestUpgradeRefused(t *testing.T) {
	s := answer(t, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
	o := start(t, config(t, s.url))
	for range 2 {
		res, body := mustFetch(t, o, upgrading())
		if res.Status != 426 || body != "no" || res.Tunnel != nil {
			t.Errorf("status %d, body %q", res.Status, body)
		}
	}
}

func TestTunnelEndsWithItsContext(t *testing.T) {
	s := script(t, func(_ int, p *peer) {
		hr, err := http.ReadRequest(p.br)
		if err != nil {
			return
		}
		p.say("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
			acceptance(hr.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n")
		p.ended()
	})
	ctx, cancel := context.WithCancel(t.Context())
	r := upgrading()
	res, err := start(t, config(t, s.url)).Fill(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := res.Tunnel.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read: %v", err)
	}
	res.Tunnel.Close()
	if n := atOrigin(r); n != 0 {
		t.Errorf("%d requests still counted", n)
	}
}
