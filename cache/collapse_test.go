package cache

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestCollapse(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := &origin{answer: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
			<-release
			return reply(200, "x", "cache-control: max-age=60", "age: 7"), nil
		}}
		lead := t.start(get("/"), plain, o)
		synctest.Wait()
		var others []<-chan answer
		for range 100 {
			others = append(others, t.start(get("/"), plain, o))
		}
		synctest.Wait()
		close(release)
		a := <-lead
		a.want(t, exchange.Miss, 200, "x")
		if a.header.Get("age") != "7" {
			t.Errorf("the leader's age is %q, the origin sent 7", a.header.Get("age"))
		}
		for _, c := range others {
			a := <-c
			a.want(t, exchange.Coalesced, 200, "x")
			if !a.report.Collapsed || a.header.Get("age") != "7" {
				t.Errorf("%+v, age %q", a.report, a.header.Get("age"))
			}
		}
		if o.count() != 1 {
			t.Errorf("origin asked %d times", o.count())
		}
	})
}

// A late reader sees what has landed at once, and the rest as it lands.
func TestStreamToLateReaders(t *testing.T) {
	for _, length := range []int64{-1, 6} {
		bubble(t, func(t rig) {
			var body *script
			o := &origin{answer: func(ctx context.Context, _ int, _ *exchange.Request) (*exchange.Response, error) {
				body = newScript(ctx)
				r := reply(200, "", "cache-control: max-age=60")
				r.Body, r.Length = body, length
				return r, nil
			}}
			lead, err := t.store.Serve(t.Context(), get("/"), plain, o)
			if err != nil {
				t.Fatal(err)
			}
			body.pieces <- "ab"
			readN(t, lead.Response.Body, "ab")
			late, err := t.store.Serve(t.Context(), get("/"), plain, o)
			if err != nil || late.Outcome != exchange.Coalesced {
				t.Fatalf("%+v, %v", late, err)
			}
			readN(t, late.Response.Body, "ab")
			body.pieces <- "cd"
			readN(t, late.Response.Body, "cd")
			readN(t, lead.Response.Body, "cd")
			if (lead.Response.Slice != nil) != (length > 0) {
				t.Errorf("slices are offered with length %d: %v", length, lead.Response.Slice != nil)
			}
			if length > 0 {
				// A slice waits for its bytes.
				s := late.Response.Slice(3, 3)
				got := make(chan string)
				go func() {
					b, _ := io.ReadAll(s)
					s.Close()
					got <- string(b)
				}()
				synctest.Wait()
				body.pieces <- "ef"
				close(body.pieces)
				if b := <-got; b != "def" {
					t.Errorf("slice %q", b)
				}
			} else {
				body.pieces <- "ef"
				close(body.pieces)
			}
			readN(t, lead.Response.Body, "ef")
			readN(t, late.Response.Body, "ef")
			if n, err := lead.Response.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("at the end: %d, %v", n, err)
			}
			lead.Response.Body.Close()
			late.Response.Body.Close()
			t.serve(get("/"), plain, o).want(t, exchange.Hit, 200, "abcdef")
		})
	}
}

func readN(t testing.TB, r io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

// What cannot be shared must not make requests wait for one another: not
// those that waited already, and not those that come later.
func TestHitForMiss(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
	}{
		{"no-store", []string{"cache-control: no-store"}},
		{"private", []string{"cache-control: private"}},
		{"set-cookie", []string{"cache-control: max-age=60", "set-cookie: a=b"}},
		{"nothing said", nil},
		{"no-cache", []string{"cache-control: no-cache", `etag: "a"`}},
		{"vary *", []string{"cache-control: max-age=60", "vary: *"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				var now, most atomic.Int32
				o := &origin{answer: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
					most.Store(max(most.Load(), now.Add(1)))
					defer now.Add(-1)
					time.Sleep(time.Second)
					return reply(200, "x", c.lines...), nil
				}}
				began := time.Now()
				var waiting []<-chan answer
				for range 10 {
					waiting = append(waiting, t.start(get("/"), plain, o))
				}
				for _, w := range waiting {
					(<-w).want(t, exchange.Miss, 200, "x")
				}
				if d := time.Since(began); d > 2*time.Second {
					t.Errorf("ten requests took %v with an origin that takes 1s", d)
				}
				began = time.Now()
				waiting = waiting[:0]
				for range 10 {
					waiting = append(waiting, t.start(get("/"), plain, o))
				}
				for _, w := range waiting {
					(<-w).want(t, exchange.Miss, 200, "x")
				}
				if d := time.Since(began); d > time.Second || most.Load() != 10 {
					t.Errorf("later ten took %v, %d at once", d, most.Load())
				}
				time.Sleep(missMemory)
				before := o.count()
				a := t.start(get("/"), plain, o)
				b := t.start(get("/"), plain, o)
				synctest.Wait()
				if o.count() != before+1 {
					t.Error("the memory of an unshareable key has no end")
				}
				<-a
				<-b
			})
		})
	}
}

// An alone fill forwards the client's own conditional, since nobody else
// gets the answer.
func TestHitForMissKeepsConditionals(t *testing.T) {
	bubble(t, func(t rig) {
		o := &origin{answer: func(_ context.Context, _ int, r *exchange.Request) (*exchange.Response, error) {
			if r.Header.Has("if-none-match") {
				return reply(304, "", `etag: "a"`), nil
			}
			return reply(200, "x", `cache-control: no-store`, `etag: "a"`), nil
		}}
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "x")
		t.serve(get("/", `if-none-match: "a"`), plain, o).want(t, exchange.Miss, 304, "")
	})
}

// A key that can be shared after all is shared again.
func TestHitForMissRecovers(t *testing.T) {
	bubble(t, func(t rig) {
		t.serve(get("/"), plain, always(200, "x", "cache-control: no-store")).want(t, exchange.Miss, 200, "x")
		t.serve(get("/"), plain, always(200, "y", "cache-control: max-age=9")).want(t, exchange.Miss, 200, "y")
		t.serve(get("/"), plain, always(200, "z")).want(t, exchange.Hit, 200, "y")
		time.Sleep(10 * time.Second)
		release := make(chan struct{})
		o := &origin{answer: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
			<-release
			return reply(200, "w", "cache-control: max-age=9"), nil
		}}
		a, b := t.start(get("/"), plain, o), t.start(get("/"), plain, o)
		synctest.Wait()
		close(release)
		<-a
		<-b
		if o.count() != 1 {
			t.Errorf("origin asked %d times", o.count())
		}
	})
}

// Those who waited and do not fit the variant share a fill among
// themselves, per variant, and not one after the other.
func TestCollapseByVariant(t *testing.T) {
	bubble(t, func(t rig) {
		o := &origin{answer: func(_ context.Context, _ int, r *exchange.Request) (*exchange.Response, error) {
			time.Sleep(time.Second)
			return reply(200, r.Header.Get("accept-language"), "cache-control: max-age=60", "vary: accept-language"), nil
		}}
		began := time.Now()
		var waiting [][2]any
		for _, lang := range []string{"de", "en", "fr", "it", "de", "en", "fr", "it", "de"} {
			waiting = append(waiting, [2]any{lang, t.start(get("/", "accept-language: "+lang), plain, o)})
		}
		for _, w := range waiting {
			a := <-w[1].(<-chan answer)
			if a.body != w[0] || a.err != nil {
				t.Errorf("asked for %v, got %q, %v", w[0], a.body, a.err)
			}
		}
		if d := time.Since(began); o.count() != 4 || d != 2*time.Second {
			t.Errorf("%d fills in %v, want 4 in 2s", o.count(), d)
		}
		t.serve(get("/", "accept-language: fr"), plain, o).want(t, exchange.Hit, 200, "fr")
	})
}

func TestLeadersOwnTroubleIsNotShared(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := &origin{answer: func(_ context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			if n == 1 {
				<-release
				return nil, &exchange.Error{Cause: exchange.ConnectionLimitReached}
			}
			return reply(200, "x", "cache-control: max-age=60"), nil
		}}
		a := t.start(get("/"), plain, o)
		synctest.Wait()
		b := t.start(get("/"), plain, o)
		synctest.Wait()
		close(release)
		(<-a).wantCause(t, exchange.ConnectionLimitReached)
		if got := <-b; got.body != "x" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestOriginsTroubleIsShared(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := &origin{answer: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
			<-release
			return nil, &exchange.Error{Cause: exchange.ConnectionTimeout}
		}}
		var waiting []<-chan answer
		for range 5 {
			waiting = append(waiting, t.start(get("/"), plain, o))
		}
		synctest.Wait()
		close(release)
		for _, w := range waiting {
			(<-w).wantCause(t, exchange.ConnectionTimeout)
		}
		if o.count() != 1 {
			t.Errorf("a dead origin was tried %d times for one key", o.count())
		}
	})
}

// The leader's going does not take the fill from those who wait.
func TestLeaderLeaves(t *testing.T) {
	for _, lines := range [][]string{{"cache-control: max-age=60"}, {"cache-control: no-store"}} {
		bubble(t, func(t rig) {
			release := make(chan struct{})
			o := &origin{answer: func(ctx context.Context, n int, r *exchange.Request) (*exchange.Response, error) {
				if n > 1 {
					return reply(200, "again", lines...), nil
				}
				r.Interim(103, nil)
				select {
				case <-release:
					return reply(200, strings.Repeat("x", 10), lines...), nil
				case <-ctx.Done():
					return nil, &exchange.Error{Cause: exchange.ClientAborted}
				}
			}}
			ctx, cancel := context.WithCancel(t.Context())
			lead := make(chan answer)
			req := get("/")
			req.Interim = func(int, exchange.Header) {}
			go func() { lead <- read(t.store.Serve(ctx, req, plain, o)) }()
			synctest.Wait()
			other := t.start(get("/"), plain, o)
			synctest.Wait()
			cancel()
			(<-lead).wantCause(t, exchange.ClientAborted)
			close(release)
			a := <-other
			if a.err != nil || a.status != 200 {
				t.Errorf("who waited got %+v", a)
			}
		})
	}
}

func TestAbandonedFills(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int64
		leaves bool // the client goes away, instead of having enough
		first  string
		ends   bool
	}{
		{"length not known", -1, true, "x", true},
		{"much is missing", 1 << 20, true, "x", true},
		{"little is missing", 5, true, "x", false},
		{"the reader has what it wants", -1, false, "x", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				var body *script
				o := &origin{answer: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
					body = newScript(ctx)
					r := reply(200, "", "cache-control: max-age=60")
					r.Body, r.Length = body, c.length
					return r, nil
				}}
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				res, err := t.store.Serve(ctx, get("/"), plain, o)
				if err != nil {
					t.Fatal(err)
				}
				body.pieces <- c.first
				readN(t, res.Response.Body, c.first)
				if c.leaves {
					leave()
				}
				res.Response.Body.Close()
				synctest.Wait()
				if body.isClosed() != c.ends {
					t.Errorf("the fill ended: %v", body.isClosed())
				}
				if !c.ends {
					body.pieces <- "2345"
					close(body.pieces)
					synctest.Wait()
					t.serve(get("/"), plain, o).want(t, exchange.Hit, 200, "x2345")
				}
			})
		})
	}
}

// TestContentReaderDoesNotKeepAnOutgrownFill: what nobody reads and cannot
// be stored is not fetched on.
func TestContentReaderDoesNotKeepAnOutgrownFill(t *testing.T) {
	bubble(t, func(t rig) {
		var body *script
		o := &origin{answer: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			body = newScript(ctx)
			r := reply(200, "", "cache-control: max-age=60")
			r.Body, r.Length = body, -1
			return r, nil
		}}
		small := *plain
		small.ObjectSize = 4
		res, err := t.store.Serve(t.Context(), get("/"), &small, o)
		if err != nil {
			t.Fatal(err)
		}
		body.pieces <- "x"
		readN(t, res.Response.Body, "x")
		res.Response.Body.Close()
		synctest.Wait()
		if body.isClosed() {
			t.Fatal("ended while it could still be stored")
		}
		body.pieces <- "23456789"
		synctest.Wait()
		if !body.isClosed() {
			t.Error("goes on although nobody reads it and it is too large to store")
		}
	})
}

func TestAbandonedBeforeTheHead(t *testing.T) {
	bubble(t, func(t rig) {
		ended := make(chan struct{})
		o := fillFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
			<-ctx.Done()
			close(ended)
			return nil, &exchange.Error{Cause: exchange.ClientAborted}
		})
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		read(t.store.Serve(ctx, get("/"), plain, o)).wantCause(t, exchange.ClientAborted)
		<-ended
	})
}

// A response that is handed to the leader ends with the leader.
func TestHandedOverEndsWithItsReader(t *testing.T) {
	for _, how := range []string{"close", "context"} {
		bubble(t, func(t rig) {
			var body *script
			o := fillFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
				body = newScript(ctx)
				r := reply(200, "", "cache-control: no-store")
				r.Body, r.Length = body, -1
				return r, nil
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			res, err := t.store.Serve(ctx, get("/"), plain, o)
			if err != nil {
				t.Fatal(err)
			}
			body.pieces <- "x"
			readN(t, res.Response.Body, "x")
			if how == "close" {
				res.Response.Body.Close()
			} else {
				cancel()
			}
			synctest.Wait()
			if body.ctx.Err() == nil {
				t.Errorf("%s left the fill running", how)
			}
			res.Response.Body.Close()
		})
	}
}
