package cache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// sequence is an origin that gives its answers one after the other, and
// the last one again and again.
func sequence(answers ...func() (*exchange.Response, error)) *origin {
	return &origin{answer: func(_ context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
		return answers[min(n, len(answers))-1]()
	}}
}

func gives(status int, body string, lines ...string) func() (*exchange.Response, error) {
	return func() (*exchange.Response, error) { return reply(status, body, lines...), nil }
}

func fails(c exchange.Cause) func() (*exchange.Response, error) {
	return func() (*exchange.Response, error) { return nil, &exchange.Error{Cause: c} }
}

func TestStaleWhileRevalidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		cc     string
		policy time.Duration
		after  time.Duration
		want   exchange.Outcome
	}{
		{"within the origin's window", "max-age=10, stale-while-revalidate=20", 0, 15 * time.Second, exchange.Stale},
		{"past it", "max-age=10, stale-while-revalidate=20", 0, 30 * time.Second, exchange.Miss},
		{"within the policy's", "max-age=10", 20 * time.Second, 15 * time.Second, exchange.Stale},
		{"the origin's beats the policy's", "max-age=10, stale-while-revalidate=0", 20 * time.Second, 15 * time.Second, exchange.Miss},
		{"must-revalidate", "max-age=10, stale-while-revalidate=20, must-revalidate", 0, 15 * time.Second, exchange.Miss},
		{"proxy-revalidate", "max-age=10, stale-while-revalidate=20, proxy-revalidate", 0, 15 * time.Second, exchange.Miss},
		{"s-maxage", "s-maxage=10, stale-while-revalidate=20", 0, 15 * time.Second, exchange.Miss},
		{"no permission", "max-age=10", 0, 15 * time.Second, exchange.Miss},
		{"the policy's extends no lifetime of 0", "max-age=0", 20 * time.Second, time.Second, exchange.Miss},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				p := &Policy{StaleWhileRevalidate: c.policy}
				o := sequence(gives(200, "old", "cache-control: "+c.cc, `etag: "a"`), gives(200, "new", "cache-control: max-age=60"))
				t.serve(get("/"), p, o)
				time.Sleep(c.after)
				body := "old"
				if c.want == exchange.Miss {
					body = "new"
				}
				a := t.serve(get("/"), p, o)
				a.want(t, c.want, 200, body)
				if c.want == exchange.Stale && (!a.report.Hit || a.report.TTL != -5*time.Second || a.header.Get("age") != "15") {
					t.Errorf("%+v, age %q", a.report, a.header.Get("age"))
				}
				synctest.Wait()
				t.serve(get("/"), p, o).want(t, exchange.Hit, 200, "new")
				if o.count() != 2 {
					t.Errorf("origin asked %d times", o.count())
				}
			})
		})
	}
}

func TestOneBackgroundFill(t *testing.T) {
	bubble(t, func(t rig) {
		p := &Policy{StaleWhileRevalidate: time.Minute}
		release := make(chan struct{})
		o := &origin{answer: func(_ context.Context, n int, r *exchange.Request) (*exchange.Response, error) {
			if n > 1 {
				<-release
			}
			return reply(200, "x", "cache-control: max-age=10", `etag: "a"`), nil
		}}
		t.serve(get("/"), p, o)
		time.Sleep(11 * time.Second)
		for range 5 {
			req := get("/", "x-own: 1")
			req.Conn = &exchange.Conn{}
			req.Interim = func(int, exchange.Header) {}
			t.serve(req, p, o).want(t, exchange.Stale, 200, "x")
		}
		synctest.Wait()
		if o.count() != 2 {
			t.Fatalf("origin asked %d times", o.count())
		}
		r := o.request(1)
		if r.Interim != nil || r.Conn != nil || r.Header.Get("x-own") != "1" || r.Header.Get("if-none-match") != `"a"` {
			t.Errorf("the background fill asks %+v", r)
		}
		close(release)
	})
}

func TestStaleIfError(t *testing.T) {
	for _, c := range []struct {
		name   string
		cc     string
		policy time.Duration
		second func() (*exchange.Response, error)
		want   exchange.Outcome
		status int
	}{
		{"503", "max-age=10, stale-if-error=60", 0, gives(503, "down"), exchange.Stale, 200},
		{"500", "max-age=10, stale-if-error=60", 0, gives(500, "down"), exchange.Stale, 200},
		{"503 that could be stored", "max-age=10, stale-if-error=60", 0, gives(503, "down", "cache-control: max-age=60"), exchange.Stale, 200},
		{"no connection", "max-age=10, stale-if-error=60", 0, fails(exchange.ConnectionRefused), exchange.Stale, 200},
		{"policy", "max-age=10", time.Minute, fails(exchange.ConnectionTimeout), exchange.Stale, 200},
		{"404 is no failure", "max-age=10, stale-if-error=60", 0, gives(404, "down"), exchange.Miss, 404},
		{"501 is no failure", "max-age=10, stale-if-error=60", 0, gives(501, "down"), exchange.Miss, 501},
		{"window is over", "max-age=10, stale-if-error=5", 0, gives(503, "down"), exchange.Miss, 503},
		{"no permission", "max-age=10", 0, gives(503, "down"), exchange.Miss, 503},
		{"must-revalidate", "max-age=10, stale-if-error=60, must-revalidate", 0, gives(503, "down"), exchange.Miss, 503},
		{"no-cache", "no-cache, stale-if-error=60", 0, fails(exchange.ConnectionRefused), exchange.Failed, 0},
		{"s-maxage", "s-maxage=10, stale-if-error=60", 0, fails(exchange.ConnectionRefused), exchange.Failed, 0},
		{"bad request is no failure", "max-age=10, stale-if-error=60", 0, fails(exchange.HTTPRequestError), exchange.Failed, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				p := &Policy{StaleIfError: c.policy}
				o := sequence(gives(200, "old", "cache-control: "+c.cc, `etag: "a"`), c.second)
				t.serve(get("/"), p, o)
				time.Sleep(20 * time.Second)
				a := t.serve(get("/"), p, o)
				if a.outcome != c.want || a.status != c.status {
					t.Errorf("got %v %d, want %v %d", a.outcome, a.status, c.want, c.status)
				}
				if a.outcome == exchange.Stale && (a.report.Hit || a.report.Fwd != FwdStale || a.report.TTL >= 0) {
					t.Errorf("%+v", a.report)
				}
				head := t.serve(with("HEAD", get("/")), p, o)
				if (head.outcome == exchange.Stale) != (c.want == exchange.Stale) {
					t.Errorf("HEAD got %v", head.outcome)
				}
			})
		})
	}
}

// TestStorableFailure: a failure that says how long it lasts takes the place
// of a stale response only once that may not stand in for it any more.
func TestStorableFailure(t *testing.T) {
	bubble(t, func(t rig) {
		down := gives(503, "down", "cache-control: max-age=60")
		o := sequence(
			gives(200, "old", "cache-control: max-age=10, stale-if-error=20"), down,
			gives(200, "new", "cache-control: max-age=10, stale-if-error=20"), down,
		)
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "old")
		time.Sleep(15 * time.Second)
		t.serve(get("/"), plain, o).want(t, exchange.Stale, 200, "old")
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "new")
		t.serve(get("/"), plain, o).want(t, exchange.Hit, 200, "new")
		time.Sleep(15 * time.Second)
		t.serve(get("/"), plain, o).want(t, exchange.Stale, 200, "new")
		time.Sleep(15 * time.Second)
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 503, "down")
		t.serve(get("/"), plain, o).want(t, exchange.Hit, 503, "down")
	})
}

func TestValidation(t *testing.T) {
	for _, c := range []struct {
		name     string
		stored   []string
		wantINM  string
		wantIMS  string
		validate bool
	}{
		{"etag", []string{`etag: W/"a"`}, `W/"a"`, "", true},
		{"date", []string{"last-modified: Sat, 01 Jan 2000 00:00:00 GMT"}, "", "Sat, 01 Jan 2000 00:00:00 GMT", true},
		{"both", []string{`etag: "a"`, "last-modified: x"}, `"a"`, "x", true},
		{"none", nil, "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				o := &origin{answer: func(_ context.Context, n int, r *exchange.Request) (*exchange.Response, error) {
					if r.Header.Has("if-none-match") || r.Header.Has("if-modified-since") {
						return reply(304, "", append([]string{"cache-control: max-age=60", "x-new: 1", "content-length: 0"}, c.stored...)...), nil
					}
					return reply(200, "x", append([]string{"cache-control: max-age=10", "x-old: 1"}, c.stored...)...), nil
				}}
				t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "x")
				time.Sleep(20 * time.Second)
				a := t.serve(get("/", `if-none-match: "theirs"`, "if-modified-since: theirs"), plain, o)
				r := o.request(1)
				if got := r.Header.Joined("if-none-match"); got != c.wantINM {
					t.Errorf("if-none-match %s, want %s", got, c.wantINM)
				}
				if got := r.Header.Joined("if-modified-since"); got != c.wantIMS {
					t.Errorf("if-modified-since %s, want %s", got, c.wantIMS)
				}
				if !c.validate {
					a.want(t, exchange.Miss, 200, "x")
					return
				}
				a.want(t, exchange.Revalidated, 200, "x")
				if a.header.Get("x-new") != "1" || a.header.Get("x-old") != "1" || a.header.Has("age") || a.header.Has("content-length") {
					t.Errorf("validated: %v", a.header)
				}
				time.Sleep(50 * time.Second)
				a = t.serve(get("/"), plain, o)
				a.want(t, exchange.Hit, 200, "x")
				if a.header.Get("age") != "50" || a.header.Get("x-new") != "1" {
					t.Errorf("after: %v", a.header)
				}
			})
		})
	}
}

func TestValidationIsShared(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := &origin{answer: func(_ context.Context, n int, r *exchange.Request) (*exchange.Response, error) {
			if n == 1 {
				return reply(200, "x", "cache-control: max-age=10", `etag: "a"`), nil
			}
			<-release
			return reply(304, "", "cache-control: max-age=10", `etag: "a"`, "set-cookie: own=1"), nil
		}}
		t.serve(get("/"), plain, o)
		time.Sleep(20 * time.Second)
		a := t.start(get("/"), plain, o)
		synctest.Wait()
		b := t.start(get("/"), plain, o)
		synctest.Wait()
		close(release)
		first, second := <-a, <-b
		first.want(t, exchange.Revalidated, 200, "x")
		second.want(t, exchange.Coalesced, 200, "x")
		if o.count() != 2 || !first.header.Has("set-cookie") || second.header.Has("set-cookie") {
			t.Errorf("asked %d times; %v; %v", o.count(), first.header, second.header)
		}
	})
}

func TestValidationAnsweredOtherwise(t *testing.T) {
	for _, c := range []struct {
		name   string
		second func() (*exchange.Response, error)
		want   exchange.Outcome
		status int
		body   string
		third  string // what is served when the origin then gives "third" with max-age
		fills  int
	}{
		{"replaced", gives(200, "new", "cache-control: max-age=60"), exchange.Miss, 200, "new", "new", 2},
		{"no longer stored", gives(200, "new", "cache-control: no-store"), exchange.Miss, 200, "new", "third", 3},
		{"gone", gives(404, "gone"), exchange.Miss, 404, "gone", "third", 3},
		{"another tag", gives(304, "", `etag: "b"`), exchange.Miss, 200, "third", "third", 3},
		{"confirmed, but not to be stored", gives(304, "", `etag: "a"`, "cache-control: no-store"), exchange.Revalidated, 200, "old", "third", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				o := sequence(gives(200, "old", "cache-control: max-age=10", `etag: "a"`), c.second,
					gives(200, "third", "cache-control: max-age=60"))
				t.serve(get("/"), plain, o)
				time.Sleep(20 * time.Second)
				t.serve(get("/"), plain, o).want(t, c.want, c.status, c.body)
				if a := t.serve(get("/"), plain, o); a.body != c.third || o.count() != c.fills {
					t.Errorf("then %q after %d fills, want %q after %d", a.body, o.count(), c.third, c.fills)
				}
			})
		})
	}
}

// A client that is refused does not cost the others what is stored.
func TestRefusalKeepsTheStored(t *testing.T) {
	bubble(t, func(t rig) {
		o := sequence(gives(200, "old", "cache-control: max-age=10", `etag: "a"`), gives(403, "no"),
			gives(304, "", `etag: "a"`, "cache-control: max-age=10"))
		t.serve(get("/"), plain, o)
		time.Sleep(20 * time.Second)
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 403, "no")
		t.serve(get("/"), plain, o).want(t, exchange.Revalidated, 200, "old")
	})
}

func TestRangeOnStale(t *testing.T) {
	bubble(t, func(t rig) {
		o := sequence(gives(200, "0123456789", "cache-control: max-age=10", `etag: "a"`),
			gives(304, "", `etag: "a"`, "cache-control: max-age=10"),
			gives(206, "345", `etag: "b"`, "content-range: bytes 3-5/10"))
		t.serve(get("/"), plain, o)
		time.Sleep(20 * time.Second)
		t.serve(get("/", "range: bytes=3-5"), plain, o).want(t, exchange.Revalidated, 200, "0123456789")
		if r := o.request(1); r.Header.Get("range") != "bytes=3-5" || r.Header.Get("if-none-match") != `"a"` {
			t.Errorf("asked with %v", r.Header)
		}
		time.Sleep(20 * time.Second)
		t.serve(get("/", "range: bytes=3-5"), plain, o).want(t, exchange.Pass, 206, "345")
		time.Sleep(20 * time.Second)
		t.serve(get("/", "range: bytes=3-5", `if-none-match: "b"`), plain, o).want(t, exchange.Pass, 206, "345")
		if r := o.request(3); r.Header.Get("if-none-match") != `"b"` {
			t.Errorf("the client's conditional became %v", r.Header)
		}
	})
}
