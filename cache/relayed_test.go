package cache

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// relayed is a request that another node brings.
func relayed(r *exchange.Request) *exchange.Request {
	c := *r
	c.Asked, c.Arrived = exchange.AskFill, time.Now()
	return &c
}

// toOwner brings requests to the store of the node that owns their keys, as
// an edge does, which answers If-None-Match itself.
type toOwner struct {
	store   *Store
	policy  *Policy
	fill    exchange.Filler
	latency time.Duration // each way
}

func (o toOwner) Here() bool { return false }

func (o toOwner) Fill(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	<-time.After(o.latency)
	res, err := o.store.Serve(ctx, relayed(r), o.policy, o.fill)
	if err != nil {
		return nil, err
	}
	c, resp := res.Copy(time.Now()), *res.Response
	<-time.After(o.latency)
	resp.Copy = &c
	if etag := r.Header.Get("if-none-match"); resp.Status == 200 && res.Outcome != exchange.Pass && etag != "" && etag == resp.Header.Get("etag") {
		discard(&resp)
		resp.Status, resp.Body, resp.Length = 304, reply(304, "").Body, 0
	}
	return &resp, nil
}

// another makes one more running store in a bubble.
func (r rig) another() *Store {
	r.Helper()
	s, err := New(Config{Memory: 4 << 20, Limits: limits.Default()}, nil, nil)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(runStore(r, s))
	return s
}

// TestResultCopy: what an owner tells of its answer.
func TestResultCopy(t *testing.T) {
	copyOf := func(t rig, p *Policy, f exchange.Filler, r *exchange.Request) exchange.Copy {
		res, err := t.store.Serve(t.Context(), r, p, f)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Response.Body.Close()
		return res.Copy(time.Now())
	}
	for _, c := range []struct {
		name  string
		cc    string
		after time.Duration
		miss  exchange.Copy // told by the request that fills
		later exchange.Copy // told by one that comes after
	}{
		{"stored", "max-age=60", 10 * time.Second, kept(0, time.Minute), kept(10*time.Second, 50*time.Second)},
		{"stale", "max-age=60, stale-while-revalidate=60", 70 * time.Second, kept(0, time.Minute), kept(70*time.Second, -10*time.Second)},
		{"no-cache", "max-age=60, no-cache", 10 * time.Second, kept(0, 0), kept(0, 0)},
		{"private", "private", 0, exchange.Copy{}, exchange.Copy{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				t.store.SetPurges(3)
				c.miss.Purges, c.later.Purges = 3, 3
				o := always(200, "x", "cache-control: "+c.cc, `etag: "a"`)
				if got := copyOf(t, plain, o, get("/")); got != c.miss {
					t.Errorf("the fill tells %+v, want %+v", got, c.miss)
				}
				synctest.Wait()
				time.Sleep(c.after)
				if got := copyOf(t, plain, o, get("/")); got != c.later {
					t.Errorf("then %+v, want %+v", got, c.later)
				}
				if got := copyOf(t, plain, o, with("POST", get("/"))); got != (exchange.Copy{Purges: 3}) {
					t.Errorf("POST tells %+v", got)
				}
			})
		})
	}
}

// TestResultCopyOfTheInvalidated: a response that was invalidated while it
// came is not for other nodes to keep, and it is from before the purge.
func TestResultCopyOfTheInvalidated(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			<-release
			return reply(200, "x", "cache-control: max-age=60"), nil
		})
		got := make(chan exchange.Copy)
		go func() {
			res, err := t.store.Serve(t.Context(), get("/"), plain, o)
			if err != nil {
				t.Error(err)
			}
			got <- res.Copy(time.Now())
			res.Response.Body.Close()
		}()
		synctest.Wait()
		t.store.Invalidate([]string{Key(get("/"), plain)})
		t.store.SetPurges(1)
		close(release)
		if c := <-got; c.Kept || c.Purges != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// TestTwoWhoDisagree: two nodes that each take the other for the owner of a
// key do not wait for each other.
func TestTwoWhoDisagree(t *testing.T) {
	bubble(t, func(t rig) {
		other := t.another()
		o := always(200, "x", "cache-control: max-age=60")
		toThem := toOwner{store: other, policy: plain, fill: o, latency: time.Millisecond}
		toUs := toOwner{store: t.store, policy: plain, fill: o, latency: time.Millisecond}
		here := t.start(get("/"), plain, toThem)
		there := make(chan answer)
		go func() { there <- read(other.Serve(t.Context(), get("/"), plain, toUs)) }()
		(<-here).want(t, exchange.Miss, 200, "x")
		(<-there).want(t, exchange.Miss, 200, "x")
	})
}

// TestRelayedJoinsTheOwnersFill: the PoP asks an origin once.
func TestRelayedJoinsTheOwnersFill(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := &origin{answer: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
			<-release
			return reply(200, "x", "cache-control: max-age=60"), nil
		}}
		own := t.start(get("/"), plain, o)
		synctest.Wait()
		var others []<-chan answer
		for range 3 {
			other := t.another()
			for range 10 {
				c := make(chan answer, 1)
				others = append(others, c)
				go func() {
					c <- read(other.Serve(t.Context(), get("/"), plain, toOwner{store: t.store, policy: plain, fill: o}))
				}()
			}
		}
		synctest.Wait()
		close(release)
		(<-own).want(t, exchange.Miss, 200, "x")
		for _, c := range others {
			if a := <-c; a.body != "x" {
				t.Errorf("%v, %v", a.outcome, a.err)
			}
		}
		if o.count() != 1 {
			t.Errorf("the origin was asked %d times", o.count())
		}
	})
}

func TestPeek(t *testing.T) {
	for _, c := range []struct {
		name  string
		cc    string
		after time.Duration
		req   func() *exchange.Request
		found bool
	}{
		{"fresh", "max-age=60", 10 * time.Second, func() *exchange.Request { return get("/") }, true},
		{"HEAD", "max-age=60", 10 * time.Second, func() *exchange.Request { return with("HEAD", get("/")) }, true},
		{"stale", "max-age=60, stale-while-revalidate=60", 70 * time.Second, func() *exchange.Request { return get("/") }, false},
		{"no-cache", "max-age=60, no-cache", 0, func() *exchange.Request { return get("/") }, false},
		{"another variant", "max-age=60", 0, func() *exchange.Request { return get("/", "accept-language: de") }, false},
		{"another key", "max-age=60", 0, func() *exchange.Request { return get("/b") }, false},
		{"POST", "max-age=60", 0, func() *exchange.Request { return with("POST", get("/")) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				o := always(200, "x", "cache-control: "+c.cc, "vary: accept-language", `etag: "a"`)
				t.serve(get("/"), plain, o)
				time.Sleep(c.after)
				before := testutil.ToFloat64(t.store.met.requests[exchange.Hit])
				res, ok := t.store.Peek(c.req(), plain)
				if ok != c.found {
					t.Fatalf("found: %v", ok)
				}
				which := absent
				if ok {
					which = present
					if got := res.Copy(time.Now()); got != kept(10*time.Second, 50*time.Second) {
						t.Errorf("%+v", got)
					}
					read(res, nil).want(t, exchange.Hit, 200, "x")
				}
				if testutil.ToFloat64(t.store.met.peeks[which]) != 1 || testutil.ToFloat64(t.store.met.requests[exchange.Hit]) != before {
					t.Error("counted among the others")
				}
				if o.count() != 1 || len(t.store.flights) != 0 {
					t.Error("a peek fills")
				}
			})
		})
	}
}

// TestPeekJoinsNothing: not what is still landing either.
func TestPeekJoinsNothing(t *testing.T) {
	bubble(t, func(t rig) {
		var body *script
		res, err := t.store.Serve(t.Context(), get("/"), plain, fillFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
			body = newScript(ctx)
			r := reply(200, "", "cache-control: max-age=60")
			r.Body, r.Length = body, 1
			return r, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := t.store.Peek(get("/"), plain); ok {
			t.Error("found what has not landed")
		}
		body.pieces <- "x"
		close(body.pieces)
		read(res, nil)
		synctest.Wait()
		if res, ok := t.store.Peek(get("/"), plain); !ok {
			t.Error("not found")
		} else {
			read(res, nil).want(t, exchange.Hit, 200, "x")
		}
	})
}

func TestKnown(t *testing.T) {
	shared := owner(kept(0, time.Minute), 200, "x", "cache-control: max-age=60")
	for _, c := range []struct {
		name   string
		answer func() (*exchange.Response, error)
		after  time.Duration
		want   bool
	}{
		{"stored", gives(200, "x", "cache-control: max-age=60"), 0, true},
		{"stored, and stale", gives(200, "x", "cache-control: max-age=60"), time.Hour, true},
		{"private", gives(200, "x", "cache-control: private"), 0, false},
		{"a copy that went by", shared, 0, true},
		{"a copy that went by long ago", shared, time.Hour, false},
		{"one that the owner does not keep", owner(exchange.Copy{}, 200, "x", "cache-control: max-age=60"), 0, false},
		{"nothing", fails(exchange.ConnectionRefused), 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				if t.store.Known(get("/"), plain) {
					t.Error("known before anybody asked")
				}
				t.serve(get("/"), plain, sequence(c.answer))
				synctest.Wait()
				time.Sleep(c.after)
				if got := t.store.Known(get("/"), plain); got != c.want {
					t.Errorf("known: %v", got)
				}
				if t.store.Known(get("/b"), plain) || t.store.Known(with("POST", get("/")), plain) {
					t.Error("another request is known")
				}
			})
		})
	}
}

// TestKnownIsForgotten: the last answer counts.
func TestKnownIsForgotten(t *testing.T) {
	bubble(t, func(t rig) {
		t.serve(get("/"), plain, sequence(owner(kept(0, time.Minute), 200, "x", "cache-control: max-age=60")))
		t.serve(get("/"), plain, sequence(owner(exchange.Copy{}, 200, "x", "cache-control: private")))
		if t.store.Known(get("/"), plain) {
			t.Error("known as it was before")
		}
		t.serve(get("/"), plain, sequence(owner(kept(0, time.Minute), 200, "x", "cache-control: max-age=60")))
		if !t.store.Known(get("/"), plain) {
			t.Error("not known again")
		}
	})
}

// TestInvalidatedIsReported: once, by the node that saw the origin's answer.
func TestInvalidatedIsReported(t *testing.T) {
	bubble(t, func(t rig) {
		var told [][]string
		t.store.invalidated = func(keys []string) { told = append(told, keys) }
		lines := []string{"location: /a", "content-location: /b"}
		t.serve(with("POST", get("/p")), plain, always(201, "", lines...))
		want := []string{"test https://example.com/p", "test https://example.com/a", "test https://example.com/b"}
		if len(told) != 1 || !slices.Equal(told[0], want) {
			t.Errorf("told %v, want %v", told, want)
		}
		t.serve(get("/a"), plain, always(200, "x", "cache-control: max-age=60"))
		t.serve(with("POST", get("/p")), plain, sequence(owner(exchange.Copy{}, 201, "", lines...)))
		t.serve(get("/a"), plain, always(200, "y", "cache-control: max-age=60")).want(t, exchange.Miss, 200, "y")
		t.serve(with("POST", get("/p")), plain, always(500, ""))
		t.store.Invalidate(want)
		t.serve(get("/a"), plain, always(200, "z", "cache-control: max-age=60")).want(t, exchange.Miss, 200, "z")
		if len(told) != 1 {
			t.Errorf("told %v", told)
		}
	})
}

// TestHitTellsItsCopy: the way that takes no waiting says the same.
func TestHitTellsItsCopy(t *testing.T) {
	bubble(t, func(t rig) {
		t.store.SetPurges(3)
		t.serve(get("/"), plain, always(200, strings.Repeat("x", 100), "cache-control: max-age=60"))
		time.Sleep(10 * time.Second)
		f, ok := t.store.Hit(get("/"), plain, nil)
		if !ok {
			t.Fatal("no hit")
		}
		f.Content.Release()
		if c := f.Copy(); c != (exchange.Copy{Kept: true, Age: 10 * time.Second, Fresh: 50 * time.Second, Purges: 3}) {
			t.Errorf("%+v", c)
		}
	})
}

// TestAgeOfTheOwners: a response that the owner had stored has an age, if
// only 0; one that the origin has just made has none.
func TestAgeOfTheOwners(t *testing.T) {
	bubble(t, func(t rig) {
		o := always(200, "x", "cache-control: max-age=60", `etag: "a"`)
		first, second := t.another(), t.another()
		ask := func(s *Store) answer {
			return read(s.Serve(t.Context(), get("/"), plain, toOwner{store: t.store, policy: plain, fill: o}))
		}
		if a := ask(first); a.header.Has("age") {
			t.Errorf("made just now: %v", a.header)
		}
		synctest.Wait()
		if a := ask(second); a.header.Joined("age") != "0" {
			t.Errorf("stored just now: %v", a.header)
		}
		time.Sleep(7 * time.Second)
		if a := ask(first); a.header.Joined("age") != "7" {
			t.Errorf("stored: %v", a.header)
		}
	})
}
