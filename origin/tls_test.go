package origin

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// secure starts a real https server; its certificate is for example.com
// and 127.0.0.1.
func secure(t *testing.T, http2 bool, h http.HandlerFunc) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s, pool
}

func secureConfig(t *testing.T, s *httptest.Server, pool *x509.CertPool) Config {
	conf := config(t, s.URL)
	conf.Endpoints[0].TLS.RootCAs = pool
	return conf
}

func TestHTTPS(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			s, pool := secure(t, http2, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Proto", r.Proto)
				w.Header().Set("X-Host", r.Host)
				w.Header().Set("X-Target", r.RequestURI)
				w.Header().Set("X-Te", r.Header.Get("Te"))
				w.Header().Set("X-Agent", r.UserAgent())
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
				b, _ := io.ReadAll(r.Body)
				w.Header().Set(http.TrailerPrefix+"Content-Digest", r.Trailer.Get("Content-Digest"))
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write(b)
			})
			o := start(t, secureConfig(t, s, pool))
			for i, path := range []string{"/a%2Fb//c;d", "//x/%7e|"} {
				r := post("hello")
				r.Path, r.Query = path, "?x=%zz&&y"
				r.Header = exchange.Header{{Name: "te", Value: "trailers"}, {Name: "trailer", Value: "content-digest"}}
				r.Trailer = func() exchange.Header { return exchange.Header{{Name: "content-digest", Value: "x"}} }
				res, body := mustFetch(t, o, r)
				if body != "hello" || res.Status != 201 {
					t.Errorf("status %d, body %q", res.Status, body)
				}
				for field, want := range map[string]string{
					"x-proto": name, "x-host": "shop.example.com", "x-te": "trailers", "x-agent": "",
					"x-target": r.Target(),
				} {
					got := res.Header.Get(field)
					if field == "x-target" {
						got = strings.TrimPrefix(got, "https://shop.example.com")
					}
					if got != want {
						t.Errorf("request %d: %s is %q, want %q", i, field, got, want)
					}
				}
				want := exchange.Header{{Name: "content-digest", Value: "x"}, {Name: "grpc-status", Value: "0"}}
				if d := cmp.Diff(want, res.Trailer()); d != "" {
					t.Errorf("trailers -want +got:\n%s", d)
				}
			}
		})
	}
}

func TestServerName(t *testing.T) {
	var asked atomic.Value
	s, pool := secure(t, true, func(http.ResponseWriter, *http.Request) {})
	s.TLS.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		asked.Store(h.ServerName)
		return nil, nil
	}
	for name, c := range map[string]struct {
		change func(e *EndpointConfig)
		sni    string
		want   exchange.Cause
	}{
		"address":                   {func(*EndpointConfig) {}, "", exchange.NoCause},
		"server name":               {func(e *EndpointConfig) { e.TLS.ServerName = "example.com" }, "example.com", exchange.NoCause},
		"host for an address":       {func(e *EndpointConfig) { e.Host = "example.com:8443" }, "example.com", exchange.NoCause},
		"server name over host":     {func(e *EndpointConfig) { e.Host, e.TLS.ServerName = "other.example", "example.com" }, "example.com", exchange.NoCause},
		"not in the certificate":    {func(e *EndpointConfig) { e.Host = "other.example" }, "other.example", exchange.TLSCertificateError},
		"authority that nobody has": {func(e *EndpointConfig) { e.TLS.RootCAs = x509.NewCertPool() }, "", exchange.TLSCertificateError},
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store("?")
			conf := secureConfig(t, s, pool)
			c.change(&conf.Endpoints[0])
			_, _, err := fetch(t, start(t, conf), get("/"))
			if c.want != exchange.NoCause {
				wantCause(t, err, c.want)
			} else if err != nil {
				t.Error(err)
			}
			if got := asked.Load(); got != c.sni {
				t.Errorf("SNI %q, want %q", got, c.sni)
			}
		})
	}
}

func TestHandshakeFailures(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(n int, c *peer)
		want  exchange.Cause
	}{
		"plain HTTP":     {func(_ int, c *peer) { c.say("HTTP/1.1 400 Bad Request\r\n\r\n"); c.ended() }, exchange.TLSProtocolError},
		"closes at once": {func(int, *peer) {}, exchange.TLSProtocolError},
		"alert":          {func(_ int, c *peer) { c.say("\x15\x03\x03\x00\x02\x02\x28"); c.ended() }, exchange.TLSAlertReceived},
		"old version": {func(_ int, c *peer) {
			tc := tls.Server(c.Conn, &tls.Config{MaxVersion: tls.VersionTLS11, Certificates: []tls.Certificate{{}}})
			_ = tc.Handshake()
			c.ended()
		}, exchange.TLSAlertReceived},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.serve)
			o := start(t, config(t, strings.Replace(s.url, "http:", "https:", 1)))
			_, _, err := fetch(t, o, get("/"))
			wantCause(t, err, c.want)
			if n := o.endpoints[0].failures.Load(); n != 1 {
				t.Errorf("%d failures counted against the endpoint", n)
			}
		})
	}
}

func TestHTTP2Head(t *testing.T) {
	s, pool := secure(t, true, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/huge":
			for range 100 {
				w.Header().Add("X-A", strings.Repeat("x", 1000))
			}
		case "/interim":
			for range 100 {
				w.WriteHeader(http.StatusEarlyHints)
			}
		case "/cut":
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("hello"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/reset":
			panic(http.ErrAbortHandler)
		}
	})
	o := start(t, secureConfig(t, s, pool))
	for path, want := range map[string]exchange.Cause{
		"/huge":    exchange.HTTPResponseHeadSize,
		"/interim": exchange.HTTPProtocolError,
		"/cut":     exchange.HTTPResponseIncomplete,
		"/reset":   exchange.ConnectionTerminated,
	} {
		_, _, err := fetch(t, o, get(path))
		if err == nil || cause(t, err) != want {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if o.counters.Hits(limits.ResponseHead) != 1 || o.counters.Hits(limits.ResponseInterim) != 1 {
		t.Error("a limit was not counted")
	}
}

// Many requests share an HTTP/2 connection; the limit on connections is
// not one on requests.
func TestHTTP2Shares(t *testing.T) {
	const requests = 20
	var (
		conns   sync.Map
		arrived sync.WaitGroup
	)
	arrived.Add(requests)
	s, pool := secure(t, true, func(_ http.ResponseWriter, r *http.Request) {
		conns.Store(r.RemoteAddr, true)
		arrived.Done()
		arrived.Wait() // all are here at once
	})
	conf := secureConfig(t, s, pool)
	conf.Limits.EndpointConns = 1
	o := start(t, conf)
	done := make(chan error)
	for range requests {
		go func() {
			_, _, err := fetch(t, o, get("/"))
			done <- err
		}()
	}
	for range requests {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d connections", n)
	}
}

// refusal is an HTTP/2 server that resets the first streams that it gets.
func refusal(t *testing.T, code http2.ErrCode, times int) (url string, pool *x509.CertPool, streams *atomic.Int32) {
	t.Helper()
	borrowed, pool := secure(t, true, func(http.ResponseWriter, *http.Request) {})
	conf := &tls.Config{Certificates: borrowed.TLS.Certificates, NextProtos: []string{"h2"}}
	streams = new(atomic.Int32)
	s := script(t, func(_ int, p *peer) {
		tc := tls.Server(p.Conn, conf)
		if _, err := io.ReadFull(tc, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		fr := http2.NewFramer(tc, tc)
		_ = fr.WriteSettings()
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.PingFrame:
				_ = fr.WritePing(true, f.Data)
			case *http2.HeadersFrame:
				if int(streams.Add(1)) <= times {
					_ = fr.WriteRSTStream(f.StreamID, code)
					continue
				}
				_ = fr.WriteHeaders(http2.HeadersFrameParam{
					StreamID: f.StreamID, EndHeaders: true, EndStream: true,
					BlockFragment: []byte{0x88}, // :status 200
				})
			}
		}
	})
	return strings.Replace(s.url, "http:", "https:", 1), pool, streams
}

func TestHTTP2Repetition(t *testing.T) {
	for name, c := range map[string]struct {
		method  string
		code    http2.ErrCode
		times   int
		want    exchange.Cause
		streams int32
	}{
		"refused once":       {"GET", http2.ErrCodeRefusedStream, 1, exchange.NoCause, 2},
		"refused always":     {"GET", http2.ErrCodeRefusedStream, 100, exchange.ConnectionTerminated, 2},
		"refused, no repeat": {"POST", http2.ErrCodeRefusedStream, 1, exchange.ConnectionTerminated, 1},
		"reset":              {"GET", http2.ErrCodeInternal, 1, exchange.ConnectionTerminated, 1},
	} {
		t.Run(name, func(t *testing.T) {
			url, pool, streams := refusal(t, c.code, c.times)
			conf := config(t, url)
			conf.Endpoints[0].TLS.RootCAs = pool
			o := start(t, conf)
			r := get("/")
			r.Method = c.method
			_, _, err := fetch(t, o, r)
			if c.want == exchange.NoCause && err != nil {
				t.Error(err)
			} else if c.want != exchange.NoCause {
				wantCause(t, err, c.want)
			}
			if n := streams.Load(); n != c.streams {
				t.Errorf("%d streams at the origin, want %d", n, c.streams)
			}
			o.closeIdle()
		})
	}
}
