package lab

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/landfall-cdn/landfall/internal/demo"
)

// startDemo serves the demo origin and returns its URL.
func startDemo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := demo.New(demo.Config{}).Run(ctx, ln); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { stop(); <-ended })
	return "http://" + ln.Addr().String()
}

func TestWebSocketEcho(t *testing.T) {
	n := startNode(t, "", map[string]string{"demo.yaml": siteDoc("demo.example", startDemo(t))})
	c, resp, err := websocket.Dial(t.Context(), "https://demo.example/ws", &websocket.DialOptions{HTTPClient: n.client(t, "h1")})
	if err != nil {
		t.Fatalf("%v, response %+v", err, resp)
	}
	for _, text := range []string{"hello", strings.Repeat("x", 60<<10)} {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(1 << 20)
		if _, got, err := c.Read(t.Context()); err != nil || string(got) != text {
			t.Fatalf("echo of %d bytes: %d bytes, %v", len(text), len(got), err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	waitFor(t, "access record of the tunnel", func() bool { return strings.Contains(n.accessLog(t), `"outcome":"tunnel"`) })
}

// TestWebSocketOverHTTP3 opens a tunnel by extended CONNECT (RFC 9220) and
// speaks WebSocket's framing over it.
func TestWebSocketOverHTTP3(t *testing.T) {
	n := startNode(t, "", map[string]string{"demo.yaml": siteDoc("demo.example", startDemo(t))})
	rt := &http3.Transport{}
	conf := n.client(t, "h3").Transport.(*http3.Transport).TLSClientConfig.Clone()
	conf.ServerName, conf.NextProtos = "demo.example", []string{http3.NextProtoH3}
	qc, err := quic.DialAddr(t.Context(), n.https, conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = qc.CloseWithError(0, "") }()
	cc := rt.NewClientConn(qc)
	<-cc.ReceivedSettings()
	str, err := cc.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodConnect, "https://demo.example/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Proto = "websocket"
	req.Header.Set("Sec-WebSocket-Version", "13")
	if err := str.SendRequestHeader(req); err != nil {
		t.Fatal(err)
	}
	resp, err := str.ReadResponse()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%+v, %v", resp, err)
	}
	// A masked text frame of "hi" with a mask of zeroes (RFC 6455, 5.2).
	if _, err := str.Write([]byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i'}); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 4)
	if _, err := io.ReadFull(str, frame); err != nil || string(frame) != "\x81\x02hi" {
		t.Errorf("echo %q, %v", frame, err)
	}
}

// TestServerSentEvents: each event arrives when it is sent, not when a
// buffer is full.
func TestServerSentEvents(t *testing.T) {
	n := startNode(t, "", map[string]string{"demo.yaml": siteDoc("demo.example", startDemo(t))})
	for _, proto := range []string{"h1", "h2", "h3"} {
		resp, err := n.client(t, proto).Get("https://demo.example/events?n=2")
		if err != nil {
			t.Fatal(err)
		}
		events := 0
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			if strings.HasPrefix(s.Text(), "data:") {
				events++
			}
		}
		_ = resp.Body.Close()
		if events < 2 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			t.Errorf("%s: %d events of 2 in %v", proto, events, resp.Header)
		}
	}
}

// TestEarlyHintsTrailersAndUploads passes the rest of what HTTP has.
func TestEarlyHintsTrailersAndUploads(t *testing.T) {
	n := startNode(t, "", map[string]string{"demo.yaml": siteDoc("demo.example", startDemo(t))})
	for _, proto := range []string{"h1", "h2", "h3"} {
		c := n.client(t, proto)
		if resp, _ := get(t, c, "https://demo.example/trailers"); len(resp.Trailer) == 0 {
			t.Errorf("%s: no trailer in %v", proto, resp)
		}
		resp, err := c.Post("https://demo.example/upload", "text/plain", strings.NewReader(strings.Repeat("a", 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(body), "1048576") {
			t.Errorf("%s: upload answered %d %s", proto, resp.StatusCode, body)
		}
	}
}
