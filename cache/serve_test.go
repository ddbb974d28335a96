package cache

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

func TestMissThenHit(t *testing.T) {
	bubble(t, func(t rig) {
		o := always(200, "hello", "cache-control: max-age=60", "x-a: 1")
		a := t.serve(get("/"), plain, o)
		a.want(t, exchange.Miss, 200, "hello")
		if a.header.Has("age") {
			t.Error("age on a response that the origin just gave")
		}
		if got, want := string(a.report.Append(nil, "landfall", false)), "landfall; fwd=uri-miss; fwd-status=200; ttl=60; stored"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		time.Sleep(20 * time.Second)
		a = t.serve(get("/"), plain, o)
		a.want(t, exchange.Hit, 200, "hello")
		if a.header.Get("age") != "20" || a.header.Get("x-a") != "1" || !a.header.Has("date") {
			t.Errorf("fields of a hit: %v", a.header)
		}
		if got, want := string(a.report.Append(nil, "landfall", true)), `landfall; hit; ttl=40; key="test https://example.com/"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		time.Sleep(40 * time.Second)
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "hello")
		if o.count() != 2 {
			t.Errorf("origin asked %d times", o.count())
		}
	})
}

func TestHead(t *testing.T) {
	bubble(t, func(t rig) {
		o := always(200, "hello", "cache-control: max-age=60")
		head := always(200, "", "cache-control: max-age=60")
		t.serve(with("HEAD", get("/")), plain, head).want(t, exchange.Pass, 200, "")
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "hello")
		res, err := t.store.Serve(t.Context(), with("HEAD", get("/")), plain, head)
		if err != nil || res.Outcome != exchange.Hit || res.Response.Length != 5 {
			t.Fatalf("HEAD from the store: %+v, %v", res, err)
		}
		res.Response.Body.Close()
		if head.count() != 1 {
			t.Errorf("HEAD went forward %d times", head.count())
		}
	})
}

func TestWhatTheFillAsks(t *testing.T) {
	bubble(t, func(t rig) {
		o := always(200, "0123456789", "cache-control: max-age=60", `etag: "a"`)
		p := &Policy{Site: "test", QueryExclude: []string{"utm_*"}}
		req := get("/a?utm_source=x&b=~", `if-none-match: "a"`, "if-modified-since: x", "if-range: x", "range: bytes=0-3", "x-own: 1")
		t.serve(req, p, o).want(t, exchange.Miss, 200, "0123456789")
		got := o.request(0)
		if got.Target() != "/a?b=~" {
			t.Errorf("the fill asks for %s", got.Target())
		}
		if len(got.Header) != 1 || !got.Header.Has("x-own") {
			t.Errorf("the fill has the fields %v", got.Header)
		}
		if len(req.Header) != 5 {
			t.Errorf("the client's request was changed: %v", req.Header)
		}
		t.serve(get("/a?b=~"), p, o).want(t, exchange.Hit, 200, "0123456789")
	})
}

func TestPassed(t *testing.T) {
	body := io.NopCloser(strings.NewReader("x"))
	for _, c := range []struct {
		name   string
		change func(*exchange.Request, *Policy)
		want   string
	}{
		{"method", func(r *exchange.Request, _ *Policy) { r.Method = "POST" }, "c; fwd=method; fwd-status=200"},
		{"options", func(r *exchange.Request, _ *Policy) { r.Method = "OPTIONS" }, "c; fwd=method; fwd-status=200"},
		{"lower case get", func(r *exchange.Request, _ *Policy) { r.Method = "get" }, "c; fwd=method; fwd-status=200"},
		{"policy", func(_ *exchange.Request, p *Policy) { p.Bypass = true }, "c; fwd=bypass; fwd-status=200"},
		{"content", func(r *exchange.Request, _ *Policy) { r.Body = body }, "c; fwd=bypass; fwd-status=200; detail=content"},
		{"upgrade", func(r *exchange.Request, _ *Policy) { r.Upgrade = "websocket" }, "c; fwd=bypass; fwd-status=200; detail=upgrade"},
		{"key", func(r *exchange.Request, _ *Policy) { r.Path = "/" + strings.Repeat("a", 9000) }, "c; fwd=bypass; fwd-status=200; detail=key-size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				o := always(200, "x", "cache-control: max-age=60")
				for range 2 {
					p := &Policy{}
					r := get("/%61", "range: bytes=5-", `if-none-match: "a"`)
					c.change(r, p)
					a := t.serve(r, p, o)
					a.want(t, exchange.Pass, 200, "x")
					if got := string(a.report.Append(nil, "c", false)); got != c.want {
						t.Errorf("got %s, want %s", got, c.want)
					}
				}
				if o.count() != 2 || len(o.request(1).Header) != 2 {
					t.Errorf("asked %d times, last with %v", o.count(), o.request(1).Header)
				}
			})
		})
	}
}

func TestRangeMiss(t *testing.T) {
	bubble(t, func(t rig) {
		part := &origin{answer: func(_ context.Context, _ int, r *exchange.Request) (*exchange.Response, error) {
			if r.Header.Has("range") {
				return reply(206, "345", "content-range: bytes 3-5/10", "cache-control: max-age=60"), nil
			}
			return reply(200, "0123456789", "cache-control: max-age=60"), nil
		}}
		for _, set := range []string{"bytes=3-5", "bytes=-3", "bytes=0-1,3-5"} {
			a := t.serve(get("/", "range: "+set), plain, part)
			a.want(t, exchange.Pass, 206, "345")
			if a.report.Detail != "range" || a.report.Fwd != FwdURIMiss {
				t.Errorf("%s: %+v", set, a.report)
			}
		}
		t.serve(get("/", "range: bytes=0-3"), plain, part).want(t, exchange.Miss, 200, "0123456789")
		res, err := t.store.Serve(t.Context(), get("/", "range: bytes=3-5"), plain, part)
		if err != nil || res.Outcome != exchange.Hit {
			t.Fatalf("%+v, %v", res, err)
		}
		defer res.Response.Body.Close()
		s := res.Response.Slice(3, 3)
		defer s.Close()
		if b, err := io.ReadAll(s); string(b) != "345" || err != nil {
			t.Errorf("slice %q, %v", b, err)
		}
	})
}

func TestInterimReachesTheLeaderOnly(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := &origin{answer: func(_ context.Context, _ int, r *exchange.Request) (*exchange.Response, error) {
			r.Interim(103, fields("link: </a>"))
			<-release
			return reply(200, "x", "cache-control: max-age=60"), nil
		}}
		var got []string
		leader, other := get("/"), get("/")
		leader.Interim = func(status int, h exchange.Header) { got = append(got, h.Get("link")) }
		other.Interim = func(int, exchange.Header) { t.Error("an interim response for one who only joined") }
		a := t.start(leader, plain, o)
		synctest.Wait()
		b := t.start(other, plain, o)
		synctest.Wait()
		close(release)
		(<-a).want(t, exchange.Miss, 200, "x")
		(<-b).want(t, exchange.Coalesced, 200, "x")
		if len(got) != 1 || got[0] != "</a>" {
			t.Errorf("the leader got %v", got)
		}
	})
}

func TestSetCookieModes(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   SetCookie
		second exchange.Outcome
		first  bool // set-cookie on the first response
		later  bool // and on the second
	}{
		{"bypass", SetCookieBypass, exchange.Miss, true, true},
		{"strip", SetCookieStrip, exchange.Hit, false, false},
		{"store", SetCookieStore, exchange.Hit, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				p := &Policy{SetCookie: c.mode}
				o := always(200, "x", "cache-control: max-age=60", "set-cookie: a=b")
				a := t.serve(get("/"), p, o)
				b := t.serve(get("/"), p, o)
				a.want(t, exchange.Miss, 200, "x")
				b.want(t, c.second, 200, "x")
				if a.header.Has("set-cookie") != c.first || b.header.Has("set-cookie") != c.later {
					t.Errorf("set-cookie: first %v, then %v", a.header, b.header)
				}
			})
		})
	}
}

func TestFailures(t *testing.T) {
	bubble(t, func(t rig) {
		fails := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return nil, &exchange.Error{Cause: exchange.ConnectionRefused}
		})
		t.serve(get("/"), plain, fails).wantCause(t, exchange.ConnectionRefused)
		t.serve(with("POST", get("/")), plain, fails).wantCause(t, exchange.ConnectionRefused)
		panics := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) { panic("oops") })
		t.serve(get("/"), plain, panics).wantCause(t, exchange.ProxyInternalError)
		t.serve(get("/"), plain, always(200, "x")).want(t, exchange.Miss, 200, "x")
		cut := &origin{answer: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			r := reply(200, "12345", "cache-control: max-age=60")
			r.Length = 10
			return r, nil
		}}
		for range 2 {
			a := t.serve(get("/cut"), plain, cut)
			a.wantCause(t, exchange.HTTPResponseIncomplete)
			if a.body != "12345" || a.outcome != exchange.Miss {
				t.Errorf("of a body that was cut short: %v %q", a.outcome, a.body)
			}
		}
		long := &origin{answer: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
			r := reply(200, "12345", "cache-control: max-age=60")
			r.Length = 3
			return r, nil
		}}
		t.serve(get("/long"), plain, long).wantCause(t, exchange.HTTPResponseIncomplete)
		t.serve(get("/long"), plain, always(200, "x")).want(t, exchange.Miss, 200, "x")
	})
}

func TestPanicWhileReading(t *testing.T) {
	bubble(t, func(t rig) {
		bad := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			r := reply(200, "12345", "cache-control: max-age=60")
			r.Body = io.NopCloser(panicReader{})
			return r, nil
		})
		t.serve(get("/"), plain, bad).wantCause(t, exchange.ProxyInternalError)
		t.serve(get("/"), plain, always(200, "x")).want(t, exchange.Miss, 200, "x")
	})
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("oops") }

func TestFlightsLimit(t *testing.T) {
	l := limits.Default()
	l.Flights, l.FlightWaiters = 1, 2
	bubbleOf(t, 4<<20, l, func(t rig) {
		release := make(chan struct{})
		slow := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			<-release
			return reply(200, "slow", "cache-control: max-age=60"), nil
		})
		quick := always(200, "quick", "cache-control: max-age=60")
		a := t.start(get("/"), plain, slow)
		synctest.Wait()
		t.serve(get("/other"), plain, quick).want(t, exchange.Pass, 200, "quick")
		b := t.start(get("/"), plain, slow)
		synctest.Wait()
		t.serve(get("/"), plain, quick).want(t, exchange.Pass, 200, "quick")
		close(release)
		(<-a).want(t, exchange.Miss, 200, "slow")
		(<-b).want(t, exchange.Coalesced, 200, "slow")
		if t.limits.Hits(limits.Flights) != 1 || t.limits.Hits(limits.FlightWaiters) != 1 {
			t.Errorf("limits met: %d, %d", t.limits.Hits(limits.Flights), t.limits.Hits(limits.FlightWaiters))
		}
	})
}

// TestUnasked304: nobody can make anything of a 304 to a request without a
// condition.
func TestUnasked304(t *testing.T) {
	bubble(t, func(t rig) {
		_, err := t.store.Serve(t.Context(), get("/"), plain, always(304, ""))
		var e *exchange.Error
		if !errors.As(err, &e) || e.Cause != exchange.HTTPProtocolError {
			t.Errorf("error %v, want http_protocol_error", err)
		}
	})
}

func TestKeySizeLimit(t *testing.T) {
	l := limits.Default()
	l.KeySize = len(targetOf(get("/1234"), plain).key(plain.Site))
	bubbleOf(t, 4<<20, l, func(t rig) {
		o := always(200, "x", "cache-control: max-age=60")
		t.serve(get("/1234"), plain, o).want(t, exchange.Miss, 200, "x")
		t.serve(get("/12345"), plain, o).want(t, exchange.Pass, 200, "x")
		if n := t.limits.Hits(limits.KeySize); n != 1 {
			t.Errorf("counted %d, want 1", n)
		}
	})
}

func TestObjectSizeLimit(t *testing.T) {
	l := limits.Default()
	l.ObjectSize = 4
	for _, sized := range []bool{true, false} {
		bubbleOf(t, 4<<20, l, func(t rig) {
			o := fillFunc(func(_ context.Context, r *exchange.Request) (*exchange.Response, error) {
				resp := reply(200, r.Path[1:], "cache-control: max-age=60")
				if !sized {
					resp = unsized(resp)
				}
				return resp, nil
			})
			for path, second := range map[string]exchange.Outcome{"1234": exchange.Hit, "12345": exchange.Miss} {
				t.serve(get("/"+path), plain, o).want(t, exchange.Miss, 200, path)
				t.serve(get("/"+path), plain, o).want(t, second, 200, path)
			}
			if t.limits.Hits(limits.ObjectSize) == 0 {
				t.Errorf("sized %v: not counted", sized)
			}
		})
	}
}

func TestWithoutRunEverythingPasses(t *testing.T) {
	s, err := New(Config{Memory: 4 << 20, Limits: limits.Default()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := always(200, "x", "cache-control: max-age=60")
	for range 2 {
		read(s.Serve(t.Context(), get("/"), plain, o)).want(t, exchange.Pass, 200, "x")
	}
	stop := runStore(t, s)
	read(s.Serve(t.Context(), get("/"), plain, o)).want(t, exchange.Miss, 200, "x")
	stop()
	read(s.Serve(t.Context(), get("/"), plain, o)).want(t, exchange.Hit, 200, "x")
	read(s.Serve(t.Context(), get("/new"), plain, o)).want(t, exchange.Pass, 200, "x")
}
