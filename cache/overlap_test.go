package cache

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// A fill that lands slowly must not be joined once its response is stale.
func TestNoJoiningOfTheStale(t *testing.T) {
	bubble(t, func(t rig) {
		var body *script
		slow := fillFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
			body = newScript(ctx)
			r := reply(200, "", "cache-control: max-age=5")
			r.Body, r.Length = body, 3
			return r, nil
		})
		a := t.start(get("/"), plain, slow)
		time.Sleep(4 * time.Second)
		b := t.start(get("/"), plain, slow)
		time.Sleep(2 * time.Second)
		t.serve(get("/"), plain, always(200, "new", "cache-control: max-age=5")).want(t, exchange.Miss, 200, "new")
		body.pieces <- "old"
		close(body.pieces)
		(<-a).want(t, exchange.Miss, 200, "old")
		(<-b).want(t, exchange.Coalesced, 200, "old")
	})
}

// Requests without credentials do not wait for those with.
func TestCredentialsKeepToThemselves(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := fillFunc(func(_ context.Context, r *exchange.Request) (*exchange.Response, error) {
			if r.Header.Has("authorization") {
				<-release
				return reply(200, "secret", "cache-control: max-age=60"), nil
			}
			return reply(200, "public", "cache-control: max-age=60"), nil
		})
		a := t.start(get("/", "authorization: x"), plain, o)
		synctest.Wait()
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "public")
		close(release)
		(<-a).want(t, exchange.Miss, 200, "secret")
		t.serve(get("/"), plain, o).want(t, exchange.Hit, 200, "public")
	})
}

// What the origin replaced by something that is not stored must not come
// back when the origin fails.
func TestReplacedDoesNotComeBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		second func() (*exchange.Response, error)
	}{
		{"by a response that is not stored", gives(200, "new", "cache-control: no-store")},
		{"by a 304 that forbids storing", gives(304, "", `etag: "a"`, "cache-control: no-store")},
		{"by its absence", gives(410, "gone")},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				p := &Policy{StaleIfError: time.Hour}
				o := sequence(gives(200, "old", "cache-control: max-age=10", `etag: "a"`), c.second,
					fails(exchange.ConnectionRefused))
				t.serve(get("/"), p, o)
				time.Sleep(20 * time.Second)
				t.serve(get("/"), p, o)
				t.serve(get("/"), p, o).wantCause(t, exchange.ConnectionRefused)
			})
		})
	}
}

// Between a request's look at the store and its start of a fill, another
// fill may store what it wants.
func TestBoardLooksAgain(t *testing.T) {
	bubble(t, func(t rig) {
		o := always(200, "x", "cache-control: max-age=60")
		req := get("/")
		a := newAsk(t.Context(), req, plain, o)
		a.target, a.key = targetOf(req, plain), Key(req, plain)
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "x")
		res, err := t.store.fetch(a)
		if err != nil {
			t.Fatal(err)
		}
		read(res, nil).want(t, exchange.Hit, 200, "x")
		if o.count() != 1 {
			t.Errorf("origin asked %d times", o.count())
		}
	})
}

// An interim response for a leader who is gone must not hold the fill up.
func TestInterimAfterTheLeaderLeft(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := fillFunc(func(_ context.Context, r *exchange.Request) (*exchange.Response, error) {
			<-release
			r.Interim(103, nil)
			return reply(200, "x", "cache-control: max-age=60"), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		req := get("/")
		req.Interim = func(int, exchange.Header) { t.Error("the leader is gone") }
		lead := make(chan answer)
		go func() { lead <- read(t.store.Serve(ctx, req, plain, o)) }()
		synctest.Wait()
		other := t.start(get("/"), plain, o)
		synctest.Wait()
		cancel()
		<-lead
		close(release)
		(<-other).want(t, exchange.Coalesced, 200, "x")
	})
}

// A background fill that outgrows the store ends when nobody reads it,
// and reaches those who do.
func TestBackgroundFillOutgrows(t *testing.T) {
	for _, joined := range []bool{false, true} {
		bubble(t, func(t rig) {
			const size = 6 << 20
			p := &Policy{StaleWhileRevalidate: 5 * time.Second, ObjectSize: 1000}
			start := make(chan struct{})
			ended := false
			o := &origin{answer: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
				if n == 1 {
					return reply(200, "old", "cache-control: max-age=10"), nil
				}
				<-start
				context.AfterFunc(ctx, func() { ended = true })
				r := reply(200, "", "cache-control: max-age=60")
				r.Body, r.Length = io.NopCloser(io.LimitReader(&pattern{}, size)), -1
				if !joined {
					r.Body = io.NopCloser(&pattern{}) // has no end
				}
				return r, nil
			}}
			t.serve(get("/"), p, o)
			time.Sleep(12 * time.Second)
			t.serve(get("/"), p, o).want(t, exchange.Stale, 200, "old")
			time.Sleep(10 * time.Second)
			done := make(chan error, 1)
			if joined {
				go func() {
					res, err := t.store.Serve(t.Context(), get("/"), p, o)
					if err == nil {
						defer res.Response.Body.Close()
						err = check(res.Response.Body, size)
					}
					done <- err
				}()
				synctest.Wait()
			}
			close(start)
			synctest.Wait()
			if joined {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			synctest.Wait()
			if !ended || o.count() != 2 {
				t.Errorf("joined: %v, ended: %v, origin asked %d times", joined, ended, o.count())
			}
		})
	}
}

// A window waits for readers that were announced, until they forgo it.
func TestWindowWaitsForTheAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBody(&budget{limit: 64 << 20}, -1, 1000)
		if !b.expect(2) {
			t.Fatal("a body at its beginning expects nobody")
		}
		r := &reader{}
		r.start(t.Context(), b, 0, -1)
		r.follow()
		const size = 8 << 20
		done := make(chan error, 2)
		go func() { done <- check(r, size) }()
		go func() {
			src := io.LimitReader(&pattern{}, size)
			for {
				free, _, err := b.room(t.Context())
				if err != nil {
					done <- err
					return
				}
				n, err := src.Read(free)
				b.land(n)
				if err == io.EOF {
					b.end(io.EOF)
					done <- nil
					return
				}
			}
		}()
		synctest.Wait()
		if b.landed >= size {
			t.Error("the window did not wait")
		}
		b.forgo()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if b.expect(1) {
			t.Error("a window promises its beginning")
		}
		r.Close()
		b.release()
		if n := b.budget.used.Load(); n != 0 {
			t.Errorf("%d bytes are left behind", n)
		}
	})
}
