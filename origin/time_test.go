package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

const (
	connectTime   = 3 * time.Second
	firstByteTime = 10 * time.Second
	idleTime      = 5 * time.Second
)

// timeoutCase is an endpoint that is too slow. Time is virtual, so that
// after is exact.
type timeoutCase struct {
	serve   func(n int, p *peer)
	request func() *exchange.Request // nil: a plain GET
	want    exchange.Cause
	after   time.Duration
}

func TestSlowHeads(t *testing.T) {
	timeOut(t, map[string]timeoutCase{
		"no head": {
			serve: func(_ int, p *peer) { _, _ = p.head(); p.ended() },
			want:  exchange.HTTPResponseTimeout, after: firstByteTime,
		},
		"a head that trickles": {
			serve: func(_ int, p *peer) {
				_, _ = p.head()
				for {
					if _, err := io.WriteString(p, "H"); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			},
			// The first wrong byte decides.
			want: exchange.HTTPProtocolError, after: time.Second,
		},
		"a head that never ends": {
			serve: func(_ int, p *peer) {
				_, _ = p.head()
				p.say("HTTP/1.1 200 OK\r\n")
				for {
					if _, err := io.WriteString(p, "a: b\r\n"); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			},
			want: exchange.HTTPResponseTimeout, after: firstByteTime,
		},
		"interim responses do not prolong": {
			serve: func(_ int, p *peer) {
				_, _ = p.head()
				for {
					if _, err := io.WriteString(p, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
						return
					}
					time.Sleep(2 * time.Second)
				}
			},
			want: exchange.HTTPResponseTimeout, after: firstByteTime,
		},
	})
}

func TestSlowBodies(t *testing.T) {
	timeOut(t, map[string]timeoutCase{
		"a body that stops": {
			serve: func(_ int, p *peer) {
				_, _ = p.head()
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
				for range 5 {
					p.say("x")
					time.Sleep(4 * time.Second)
				}
				p.ended()
			},
			want: exchange.ConnectionReadTimeout, after: 4*4*time.Second + idleTime,
		},
		"an endpoint that takes no body": {
			serve: func(_ int, p *peer) {
				_, _ = p.head()
				time.Sleep(time.Minute)
			},
			request: func() *exchange.Request {
				r := post("")
				r.Body, r.Length = io.NopCloser(endless{}), -1
				return r
			},
			want: exchange.HTTPResponseTimeout, after: idleTime,
		},
	})
}

func timeOut(t *testing.T, cases map[string]timeoutCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conf := config(t, "http://127.0.0.1")
				conf.Endpoints[0].Timeouts = Timeouts{Connect: connectTime, FirstByte: firstByteTime, Idle: idleTime}
				o := inMemory(t, conf, &memory{serve: c.serve})
				r := get("/")
				if c.request != nil {
					r = c.request()
				}
				begin := time.Now()
				_, _, err := virtually(t, o, r)
				wantCause(t, err, c.want)
				if got := time.Since(begin); got != c.after {
					t.Errorf("after %v, want %v", got, c.after)
				}
				if n := atOrigin(r); n != 0 {
					t.Errorf("%d requests still counted", n)
				}
			})
		})
	}
}

// virtually is fetch without a deadline of its own.
func virtually(t *testing.T, o *Origin, r *exchange.Request) (*exchange.Response, string, error) {
	t.Helper()
	res, err := o.Fill(t.Context(), r)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A slow reader is not an idle endpoint, and neither is a slow writer.
func TestSlowClientsAreNotTimedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conf := config(t, "http://127.0.0.1")
		conf.Endpoints[0].Timeouts = Timeouts{Connect: time.Second, FirstByte: time.Second, Idle: time.Second}
		o := inMemory(t, conf, &memory{serve: func(_ int, p *peer) {
			hr, err := http.ReadRequest(p.br)
			if err != nil {
				return
			}
			if b, err := io.ReadAll(hr.Body); err != nil || len(b) != 3 {
				t.Errorf("request body %q, %v", b, err)
			}
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
			p.ended()
		}})
		r := post("")
		r.Body, r.Length = io.NopCloser(&slow{3}), 3
		res, err := o.Fill(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1)
		for range 3 {
			time.Sleep(time.Hour)
			if _, err := res.Body.Read(buf); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
		res.Body.Close()
	})
}

// slow gives a byte an hour.
type slow struct{ left int }

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(time.Hour)
	if s.left--; s.left < 0 {
		return 0, io.EOF
	}
	p[0] = 'x'
	return 1, nil
}

func TestConnectionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conf := config(t, "http://127.0.0.1")
		conf.Limits.EndpointConns = 1
		conf.Endpoints[0].Timeouts.Connect = 3 * time.Second
		m := &memory{serve: func(_ int, p *peer) {
			for {
				if _, err := p.head(); err != nil {
					return
				}
				p.say(ok)
			}
		}}
		o := inMemory(t, conf, m)
		first, err := o.Fill(t.Context(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, _, err = virtually(t, o, get("/"))
		wantCause(t, err, exchange.ConnectionLimitReached)
		if got := time.Since(begin); got != 3*time.Second {
			t.Errorf("waited %v", got)
		}
		if o.counters.Hits(limits.EndpointConns) != 1 {
			t.Error("the limit was not counted")
		}
		// Whoever waits gets the connection that becomes free.
		go func() {
			time.Sleep(2 * time.Second)
			_, _ = io.ReadAll(first.Body)
			first.Body.Close()
		}()
		if _, body, err := virtually(t, o, get("/")); err != nil || body != "ok" {
			t.Errorf("body %q, %v", body, err)
		}
		if n := m.dials.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// Tunnels count as the connections they are, and take the place of idle
// ones.
func TestConnectionLimitHoldsForTunnels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conf := config(t, "http://127.0.0.1")
		conf.Limits.EndpointConns = 1
		conf.Endpoints[0].Timeouts.Connect = 3 * time.Second
		o := inMemory(t, conf, &memory{serve: func(_ int, p *peer) {
			for {
				hr, err := http.ReadRequest(p.br)
				if err != nil {
					return
				}
				if hr.Header.Get("Upgrade") == "" {
					p.say(ok)
					continue
				}
				p.say("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
					acceptance(hr.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n")
				p.ended()
				return
			}
		}})
		if _, _, err := virtually(t, o, get("/")); err != nil {
			t.Fatal(err)
		}
		res, err := o.Fill(t.Context(), upgrading())
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = virtually(t, o, get("/"))
		wantCause(t, err, exchange.ConnectionLimitReached)
		_, err = o.Fill(t.Context(), upgrading())
		wantCause(t, err, exchange.ConnectionLimitReached)
		res.Tunnel.Close()
		if _, _, err := virtually(t, o, get("/")); err != nil {
			t.Error(err)
		}
	})
}

func TestDialTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conf := config(t, "https://127.0.0.1")
		conf.Endpoints[0].Timeouts.Connect = 3 * time.Second
		// Connected, but the handshake gets no answer.
		o := inMemory(t, conf, &memory{serve: func(_ int, p *peer) { p.ended() }})
		begin := time.Now()
		_, _, err := virtually(t, o, get("/"))
		wantCause(t, err, exchange.ConnectionTimeout)
		if got := time.Since(begin); got != 3*time.Second {
			t.Errorf("after %v", got)
		}
	})
}

func TestVitals(t *testing.T) {
	const rise, fall = 2, 3
	var v vitals
	got := ""
	for _, check := range "+--+---+-++--+---" {
		v = v.after(check == '+', rise, fall)
		if v.down {
			got += "d"
		} else {
			got += "u"
		}
	}
	if want := "uuuuuudddduuuuuud"; got != want {
		t.Errorf("states %s, want %s", got, want)
	}
}

func TestHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conf := config(t, "http://127.0.0.1", "http://127.0.0.1")
		conf.Endpoints[0].Health = &HealthConfig{Path: "/healthz?deep", Interval: 10 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3}
		var status atomic.Value
		status.Store("200 OK")
		m := &memory{
			serve: func(_ int, p *peer) {
				hr, err := http.ReadRequest(p.br)
				if err != nil {
					return
				}
				if hr.RequestURI != "/healthz?deep" || hr.Host != "127.0.0.1" {
					t.Errorf("check asks for %s at %s", hr.RequestURI, hr.Host)
				}
				if status := status.Load().(string); status != "" {
					p.say("HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\nok")
				}
				p.ended()
			},
			fail: func(int) error {
				if status.Load() == "refuse" {
					return errors.New("refused")
				}
				return nil
			},
		}
		o := inMemory(t, conf, m)
		done := make(chan error)
		ctx, stop := context.WithCancel(t.Context())
		go func() { done <- o.Run(ctx) }()
		ep := o.endpoints[0]
		for i, step := range []struct {
			status string
			checks int32 // to wait for
			usable bool
		}{
			{"200 OK", 3, true},
			{"500 Oops", 2, true},
			{"", 1, false}, // no answer
			{"302 Found", 1, false},
			{"204 No Content", 1, true},
			{"refuse", 3, false},
			{"200 OK", 2, true},
		} {
			status.Store(step.status)
			for until := m.dials.Load() + step.checks; m.dials.Load() < until; {
				time.Sleep(time.Second)
			}
			time.Sleep(2 * time.Second) // longer than a check, shorter than the interval
			if got := !ep.unhealthy.Load(); got != step.usable {
				t.Errorf("step %d: healthy %v, want %v", i, got, step.usable)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
