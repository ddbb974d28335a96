package front

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

type handlerFunc func(context.Context, exchange.Writer, *exchange.Request)

func (handlerFunc) Hit(*exchange.Request, *exchange.Stored) bool { return false }

func (handlerFunc) Sent(*exchange.Request, *exchange.Stored, int64, exchange.Cause) {}

func (f handlerFunc) ServeExchange(ctx context.Context, w exchange.Writer, r *exchange.Request) {
	f(ctx, w, r)
}

// running is a front that serves until the test ends.
type running struct {
	*Front
	stop     context.CancelFunc
	ended    chan struct{}
	err      error
	counters *limits.Counters
	tls      *tls.Config // of clients
}

func start(t *testing.T, h handlerFunc, change func(*Config)) *running {
	t.Helper()
	cert, roots := testCert(t)
	conf := Config{
		HTTPS:    []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		HTTP:     []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		TLS:      &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}},
		Handler:  h,
		Limits:   limits.Default(),
		Counters: &limits.Counters{},
		Drain:    10 * time.Second,
		Log:      zap.NewNop(),
	}
	if change != nil {
		change(&conf)
	}
	f, err := Listen(conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{Front: f, stop: stop, ended: make(chan struct{}), counters: conf.Counters, tls: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	ready := make(chan struct{})
	go func() { defer close(r.ended); r.err = f.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() { stop(); <-r.ended })
	return r
}

func (r *running) url(scheme string) string {
	if scheme == "http" {
		return "http://" + r.HTTPAddrs()[0].String()
	}
	return "https://" + r.HTTPSAddrs()[0].String()
}

func (r *running) client(t *testing.T, proto exchange.Proto) *http.Client {
	var rt http.RoundTripper
	switch proto {
	case exchange.HTTP3:
		h3 := &http3.Transport{TLSClientConfig: r.tls.Clone()}
		t.Cleanup(func() { _ = h3.Close() })
		rt = h3
	default:
		h := &http.Transport{TLSClientConfig: r.tls.Clone(), ForceAttemptHTTP2: proto == exchange.HTTP2, DisableCompression: true}
		t.Cleanup(h.CloseIdleConnections)
		rt = h
	}
	return &http.Client{Transport: rt, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func testCert(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

var protos = []exchange.Proto{exchange.HTTP11, exchange.HTTP2, exchange.HTTP3}

func TestRequestAndResponseOverEveryVersion(t *testing.T) {
	type received struct {
		*exchange.Request
		body []byte
	}
	got := make(chan received, 1)
	r := start(t, func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- received{r, body}
		_ = w.Head(201, exchange.Header{{Name: "x-answer", Value: "a"}, {Name: "x-answer", Value: "b"}}, 2)
		_, _ = w.Write([]byte("ok"))
	}, nil)
	for _, proto := range protos {
		t.Run(proto.String(), func(t *testing.T) {
			req, _ := http.NewRequest("POST", r.url("https")+"/a%2Fb//c;d?x=%zz&&y", strings.NewReader("hello"))
			req.Host = "localhost:1234"
			req.Header.Set("X-Question", "q")
			resp, err := r.client(t, proto).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			x := <-got
			if x.Proto != proto || x.Method != "POST" || x.Scheme != "https" || x.Host != "localhost" || x.Port != "1234" ||
				x.Path != "/a%2Fb//c;d" || x.Query != "?x=%zz&&y" || x.Header.Get("x-question") != "q" || x.Length != 5 || string(x.body) != "hello" {
				t.Errorf("request %+v with body %q", x.Request, x.body)
			}
			if x.TLS == nil || x.TLS.ServerName != "localhost" || !x.Client.IsValid() || x.Local.Port() != r.HTTPSAddrs()[0].Port() {
				t.Errorf("connection: TLS %+v, client %v, local %v", x.TLS, x.Client, x.Local)
			}
			if resp.StatusCode != 201 || string(text) != "ok" || resp.ContentLength != 2 || len(resp.Header.Values("X-Answer")) != 2 {
				t.Errorf("response %v with body %q", resp, text)
			}
			if ct, ok := resp.Header["Content-Type"]; ok {
				t.Errorf("content-type %q was guessed", ct)
			}
		})
	}
}

// TestTLS12: the last flight of a full handshake is the server's, and that
// of a resumed one the client's.
func TestTLS12(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) { _ = w.Head(204, nil, -1) }, nil)
	for _, proto := range []exchange.Proto{exchange.HTTP11, exchange.HTTP2} {
		for _, resumed := range []bool{false, true} {
			c := r.client(t, proto)
			conf := c.Transport.(*http.Transport).TLSClientConfig
			conf.MaxVersion = tls.VersionTLS12
			if conf.ClientSessionCache = tls.NewLRUClientSessionCache(1); resumed {
				if _, err := c.Get(r.url("https")); err != nil {
					t.Fatal(err)
				}
				c.CloseIdleConnections()
			}
			resp, err := c.Get(r.url("https"))
			if err != nil || resp.StatusCode != 204 || resp.TLS.Version != tls.VersionTLS12 || resp.TLS.DidResume != resumed {
				t.Errorf("%v, resumed %v: %v, %v", proto, resumed, resp, err)
			}
		}
	}
}

// Over HTTP/3 only the end of a stream says that a request has no content.
func TestGetHasNoBody(t *testing.T) {
	got := make(chan *exchange.Request, 1)
	r := start(t, func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		got <- r
		_ = w.Head(200, nil, 0)
	}, nil)
	for _, proto := range protos {
		if _, err := r.client(t, proto).Get(r.url("https")); err != nil {
			t.Fatal(err)
		}
		if x := <-got; x.Body != nil || x.Length != 0 {
			t.Errorf("%v: body %v of length %d", proto, x.Body, x.Length)
		}
	}
}

func TestInterimAndTrailers(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		r.Interim(103, exchange.Header{{Name: "link", Value: "</a.css>; rel=preload"}})
		_ = w.Head(200, nil, -1)
		_, _ = w.Write([]byte("x"))
		_ = w.Trailer(exchange.Header{{Name: "x-sum", Value: "1"}})
	}, nil)
	for _, proto := range protos {
		t.Run(proto.String(), func(t *testing.T) {
			var hints []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints = append(hints, h.Get("Link"))
				return nil
			}})
			req, _ := http.NewRequestWithContext(ctx, "GET", r.url("https"), nil)
			resp, err := r.client(t, proto).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(resp.Body)
			if len(hints) != 1 || hints[0] != "</a.css>; rel=preload" {
				t.Errorf("interim responses %q", hints)
			}
			if resp.Header.Get("Link") != "" {
				t.Error("a field of the interim response came again with the final one")
			}
			if resp.Trailer.Get("X-Sum") != "1" {
				t.Errorf("trailer %v", resp.Trailer)
			}
		})
	}
}

func TestAbortShowsAsCut(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
		_ = w.Head(200, nil, -1)
		_, _ = w.Write([]byte("half"))
		_ = w.Flush()
		w.Abort()
	}, nil)
	for _, proto := range protos {
		t.Run(proto.String(), func(t *testing.T) {
			resp, err := r.client(t, proto).Get(r.url("https"))
			if err != nil {
				return // the reset of a stream may overtake the head
			}
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("read %q without an error", b)
			}
		})
	}
}

func TestTunnel(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		if r.Upgrade != "websocket" {
			t.Errorf("upgrade %q", r.Upgrade)
		}
		c, err := w.Tunnel(exchange.Header{{Name: "x-a", Value: "b"}})
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.CopyN(c, c, 5)
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Errorf("end of one direction: %v", err)
		}
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}, nil)
	c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	// The client sends before it has seen the 101: those bytes belong to
	// the tunnel.
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\nearly")
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Connection") != "Upgrade" || resp.Header.Get("X-A") != "b" {
		t.Fatalf("%v, %v", resp, err)
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(in, buf); err != nil || string(buf) != "early" {
		t.Errorf("echo %q, %v", buf, err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the end of the origin's direction: %v", err)
	}
}

func TestH2CIsNoUpgrade(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		if r.Upgrade != "" {
			t.Errorf("upgrade %q", r.Upgrade)
		}
		_ = w.Head(200, nil, 0)
	}, nil)
	req, _ := http.NewRequest("GET", r.url("http"), nil)
	req.Header.Set("Upgrade", "h2c")
	req.Header.Set("Connection", "Upgrade, HTTP2-Settings")
	resp, err := r.client(t, exchange.HTTP11).Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestDrainLetsRequestsEnd(t *testing.T) {
	entered, release := make(chan struct{}, len(protos)), make(chan struct{})
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
		entered <- struct{}{}
		<-release
		_ = w.Head(200, nil, 2)
		_, _ = w.Write([]byte("ok"))
	}, nil)
	var wg sync.WaitGroup
	var ok atomic.Int32
	for _, proto := range protos {
		client := r.client(t, proto)
		wg.Go(func() {
			resp, err := client.Get(r.url("https"))
			if err != nil {
				t.Errorf("%v: %v", proto, err)
				return
			}
			if b, err := io.ReadAll(resp.Body); err == nil && string(b) == "ok" {
				ok.Add(1)
			}
			if proto == exchange.HTTP11 && !resp.Close {
				t.Error("an HTTP/1.1 client was not told that its connection closes")
			}
		})
	}
	for range protos {
		<-entered
	}
	r.stop()
	waitFor(t, "refusal of new connections", func() bool {
		c, err := net.Dial("tcp", r.HTTPAddrs()[0].String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	<-r.open.told
	close(release)
	wg.Wait()
	<-r.ended
	if int(ok.Load()) != len(protos) || r.err != nil {
		t.Errorf("%d of %d requests ended well; Run: %v", ok.Load(), len(protos), r.err)
	}
}

func TestDrainLimitCutsTheRest(t *testing.T) {
	entered := make(chan struct{})
	r := start(t, func(ctx context.Context, w exchange.Writer, _ *exchange.Request) {
		close(entered)
		<-ctx.Done()
		w.Abort()
	}, func(c *Config) { c.Drain = 50 * time.Millisecond })
	client := r.client(t, exchange.HTTP11)
	failed := make(chan error, 1)
	go func() { _, err := client.Get(r.url("http")); failed <- err }()
	<-entered
	r.stop()
	<-r.ended
	if err := <-failed; err == nil {
		t.Error("a request that never ends got an answer")
	}
}

// TestSeveralListeners: they start at once and share one TLS configuration.
func TestSeveralListeners(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) { _ = w.Head(200, nil, 0) }, func(c *Config) {
		c.HTTPS = append(c.HTTPS, c.HTTPS[0], c.HTTPS[0])
	})
	for _, addr := range r.HTTPSAddrs() {
		for _, proto := range protos {
			if _, err := r.client(t, proto).Get("https://" + addr.String()); err != nil {
				t.Errorf("%v at %v: %v", proto, addr, err)
			}
		}
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	r := start(t, nil, nil)
	_, err := Listen(Config{HTTP: r.HTTPAddrs(), Limits: limits.Default(), Log: zap.NewNop()}, nil)
	if err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), r.HTTPAddrs()[0].String()) {
		t.Errorf("error %v does not say which port is in use", err)
	}
}

// waitFor polls until a condition holds; a long bound ends a wait that is in
// vain.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("no %s", what)
}
