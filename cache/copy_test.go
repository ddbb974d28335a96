package cache

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// kept is what an owner says of a response that is this old, and fresh for
// this much longer.
func kept(age, fresh time.Duration) exchange.Copy {
	return exchange.Copy{Kept: true, Age: age, Fresh: fresh}
}

// owner is an answer of the node that owns the key.
func owner(c exchange.Copy, status int, body string, lines ...string) func() (*exchange.Response, error) {
	return func() (*exchange.Response, error) {
		r := reply(status, body, lines...)
		r.Copy = &c
		return r, nil
	}
}

// heated makes the key of / hot: nobody asks for it, and still it counts.
func (r rig) heated() rig {
	r.store.heat.add(Key(get("/"), plain), hotRequests, time.Now())
	return r
}

func (r rig) refused(why refusal, want float64) {
	r.Helper()
	if got := testutil.ToFloat64(r.store.met.refusals[why]); got != want {
		r.Errorf("%v %s responses were not stored, want %v", got, why, want)
	}
}

// TestCopyTimes: neither the response's own fields nor the site make a copy
// fresher than the owner says.
func TestCopyTimes(t *testing.T) {
	asked := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		name   string
		lines  []string
		policy Policy
		copy   exchange.Copy
		wait   time.Duration // for the answer
		age    time.Duration // when it came
		ttl    time.Duration
	}{
		{"as the owner says", []string{"cache-control: max-age=60"}, Policy{}, kept(20*time.Second, 40*time.Second), 0, 20 * time.Second, 40 * time.Second},
		{"the wait is lost", []string{"cache-control: max-age=60"}, Policy{}, kept(20*time.Second, 40*time.Second), 3 * time.Second, 20 * time.Second, 37 * time.Second},
		{"its own lifetime", []string{"cache-control: max-age=600"}, Policy{}, kept(0, 5*time.Second), 0, 0, 5 * time.Second},
		{"its own age", []string{"cache-control: max-age=600", "age: 500"}, Policy{}, kept(7*time.Second, 5*time.Second), 0, 7 * time.Second, 5 * time.Second},
		{"its own date", []string{"date: Mon, 01 Jan 1970 00:00:00 GMT"}, Policy{}, kept(time.Second, 5*time.Second), 0, time.Second, 5 * time.Second},
		{"default lifetime of the site", nil, Policy{DefaultTTL: time.Hour}, kept(0, 5*time.Second), 0, 0, 5 * time.Second},
		{"lifetime of a rule", []string{"cache-control: max-age=60"}, Policy{TTL: time.Hour, HasTTL: true}, kept(0, 5*time.Second), 0, 0, 5 * time.Second},
		{"stale", []string{"cache-control: max-age=60"}, Policy{DefaultTTL: time.Hour}, kept(70*time.Second, -10*time.Second), time.Second, 70 * time.Second, -11 * time.Second},
		{"absurd", nil, Policy{}, kept(-time.Second, 1<<62), 0, 0, maxDelta},
		{"absurdly old", nil, Policy{}, kept(1<<62, -1<<62), 0, maxDelta, -maxDelta},
		{"inherited", []string{"cache-control: max-age=60"}, Policy{HasTTL: true, TTL: time.Hour}, exchange.Copy{Kept: true, Fresh: time.Second, Inherited: true}, 0, 0, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := asked.Add(c.wait)
			v, _ := storable(&head{
				policy: &c.policy, timing: timing{asked, now}, path: "/",
				status: 200, header: fields(c.lines...), copy: &c.copy,
			})
			if age, ttl := v.age(now), v.ttl(now); age != c.age || ttl != c.ttl {
				t.Errorf("%v old and fresh for %v, want %v and %v", age, ttl, c.age, c.ttl)
			}
			if age := v.age(now.Add(time.Second)); age != c.age+time.Second {
				t.Errorf("a second later %v old", age)
			}
			if v.copied == c.copy.Inherited {
				t.Errorf("copied is %v", v.copied)
			}
		})
	}
}

// TestCopyNotKept: what the owner does not keep is for the one who asked.
func TestCopyNotKept(t *testing.T) {
	bubble(t, func(t rig) {
		t.heated()
		release := make(chan struct{})
		own := sequence(owner(exchange.Copy{Fresh: time.Hour}, 200, "x", "cache-control: max-age=60"))
		slow := fillFunc(func(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
			<-release
			return own.Fill(ctx, r)
		})
		a, b := t.start(get("/"), plain, slow), t.start(get("/"), plain, slow)
		synctest.Wait()
		close(release)
		for _, got := range []answer{<-a, <-b, t.serve(get("/"), plain, slow)} {
			got.want(t, exchange.Miss, 200, "x")
			if !got.report.Relayed || got.report.Stored {
				t.Errorf("%+v", got.report)
			}
		}
		if own.count() != 3 {
			t.Errorf("the owner was asked %d times", own.count())
		}
		t.refused(refusedOwner, 3)
		if got := testutil.ToFloat64(t.store.met.hitForMiss); got != 1 {
			t.Errorf("%v requests did not wait for another, want 1", got)
		}
	})
}

// TestColdCopy: those who wait share it, those who come while it lands too,
// and then it is gone.
func TestColdCopy(t *testing.T) {
	bubble(t, func(t rig) {
		var body *script
		own := &origin{answer: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			r := reply(200, "", "cache-control: max-age=60")
			c := kept(5*time.Second, 55*time.Second)
			body = newScript(ctx)
			r.Body, r.Length, r.Copy = body, 2, &c
			return r, nil
		}}
		first := t.start(get("/"), plain, own)
		synctest.Wait()
		second := t.start(get("/"), plain, own)
		synctest.Wait()
		body.pieces <- "ab"
		close(body.pieces)
		a, b := <-first, <-second
		a.want(t, exchange.Miss, 200, "ab")
		b.want(t, exchange.Coalesced, 200, "ab")
		if a.report.Stored || !a.report.Relayed || !b.report.Relayed || a.header.Get("age") != "5" || b.header.Get("age") != "5" {
			t.Errorf("%+v %v, %+v %v", a.report, a.header, b.report, b.header)
		}
		synctest.Wait()
		if r := t.store.lookup(Key(get("/"), plain)); r != nil || own.count() != 1 {
			t.Errorf("stored: %v; asked %d times", r, own.count())
		}
		t.refused(refusedCold, 1)
		if used := t.store.content.used.Load(); used != 0 {
			t.Errorf("%d bytes of content are counted, none is held", used)
		}
	})
}

// TestHotCopy: the request that makes a key hot has its copy stored.
func TestHotCopy(t *testing.T) {
	for _, c := range []struct {
		name  string
		pause time.Duration
		hit   int // the first request that is a hit; 0 for none
	}{
		{"at once", 0, 4},
		{"within the window", 2 * time.Second, 4},
		{"too seldom", 6 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				own := sequence(owner(kept(5*time.Second, time.Hour), 200, "x", "cache-control: max-age=60"))
				for i := 1; i <= 6; i++ {
					a := t.serve(get("/"), plain, own)
					want := exchange.Miss
					if c.hit > 0 && i >= c.hit {
						want = exchange.Hit
					}
					a.want(t, want, 200, "x")
					if a.report.Stored != (i == c.hit-1) || a.report.Relayed != (want == exchange.Miss) {
						t.Errorf("request %d: %+v", i, a.report)
					}
					synctest.Wait()
					time.Sleep(c.pause)
				}
				if c.hit == 0 {
					return
				}
				if got := t.serve(get("/"), plain, own).header.Get("age"); got != fmt.Sprint(5+int(4*c.pause/time.Second)) {
					t.Errorf("age %s", got)
				}
			})
		})
	}
}

// TestCrowdMakesHot: requests that wait for one fill, or join it while it
// lands, had to be relayed too.
func TestCrowdMakesHot(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("while it lands: ", late), func(t *testing.T) {
			bubble(t, func(t rig) {
				release := make(chan struct{})
				var body *script
				own := &origin{answer: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
					if !late {
						<-release
					}
					body = newScript(ctx)
					r := reply(200, "", "cache-control: max-age=60")
					c := kept(0, time.Minute)
					r.Body, r.Length, r.Copy = body, 1, &c
					return r, nil
				}}
				var all []<-chan answer
				for range hotRequests {
					all = append(all, t.start(get("/"), plain, own))
					synctest.Wait()
				}
				close(release)
				synctest.Wait()
				body.pieces <- "x"
				close(body.pieces)
				for _, a := range all {
					if a := <-a; a.body != "x" {
						t.Errorf("got %q, %v", a.body, a.err)
					}
				}
				t.serve(get("/"), plain, own).want(t, exchange.Hit, 200, "x")
			})
		})
	}
}

// TestColdCopyIsNotFinished: once nobody reads it, nobody wants the rest.
func TestColdCopyIsNotFinished(t *testing.T) {
	bubble(t, func(t rig) {
		var body *script
		own := fillFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
			body = newScript(ctx)
			r := reply(200, "", "cache-control: max-age=60")
			c := kept(0, time.Minute)
			r.Body, r.Length, r.Copy = body, 10, &c
			return r, nil
		})
		res, err := t.store.Serve(t.Context(), get("/"), plain, own)
		if err != nil {
			t.Fatal(err)
		}
		body.pieces <- "abc"
		readN(t, res.Response.Body, "abc")
		res.Response.Body.Close()
		synctest.Wait()
		if !body.isClosed() || testutil.ToFloat64(t.store.met.abandoned) != 1 {
			t.Error("the fill goes on")
		}
	})
}

// TestInheritedIsStored: what a new owner is given by the one before is its
// own from then on, and no fresher.
func TestInheritedIsStored(t *testing.T) {
	bubble(t, func(t rig) {
		c := kept(5*time.Second, 10*time.Second)
		c.Inherited = true
		p := &Policy{Site: "test", StaleWhileRevalidate: time.Minute}
		own := sequence(owner(c, 200, "old", "cache-control: max-age=60"), gives(200, "new", "cache-control: max-age=60"))
		a := t.serve(get("/"), p, own)
		a.want(t, exchange.Miss, 200, "old")
		if !a.report.Stored || !a.report.Relayed || a.header.Get("age") != "5" {
			t.Errorf("%+v, %v", a.report, a.header)
		}
		time.Sleep(9 * time.Second)
		a = t.serve(get("/"), p, own)
		a.want(t, exchange.Hit, 200, "old")
		if a.header.Get("age") != "14" {
			t.Errorf("age %s", a.header.Get("age"))
		}
		time.Sleep(2 * time.Second)
		t.serve(get("/"), p, own).want(t, exchange.Stale, 200, "old")
		synctest.Wait()
		t.serve(get("/"), p, own).want(t, exchange.Hit, 200, "new")
	})
}

// TestLateCopy: a node that has not carried a purge out yet cannot bring
// back what was purged here.
func TestLateCopy(t *testing.T) {
	for _, c := range []struct {
		name            string
		awaited, purged uint64
		copy            uint64
		want            exchange.Outcome
	}{
		{"as far", 7, 7, 7, exchange.Hit},
		{"further", 7, 7, 9, exchange.Hit},
		{"behind", 7, 7, 6, exchange.Miss},
		{"behind what is being carried out", 7, 6, 6, exchange.Miss},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				t.heated().store.SetPurges(c.purged)
				t.store.AwaitPurges(c.awaited)
				said := kept(0, time.Minute)
				said.Purges = c.copy
				release := make(chan struct{})
				own := sequence(owner(said, 200, "x", "cache-control: max-age=60"))
				slow := fillFunc(func(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
					<-release
					return own.Fill(ctx, r)
				})
				a, b := t.start(get("/"), plain, slow), t.start(get("/"), plain, slow)
				synctest.Wait()
				close(release)
				// Both asked before it came.
				for _, got := range []answer{<-a, <-b} {
					if got.body != "x" || got.report.Stored && c.want != exchange.Hit {
						t.Errorf("%q, %+v", got.body, got.report)
					}
				}
				synctest.Wait()
				t.serve(get("/"), plain, slow).want(t, c.want, 200, "x")
				if t.store.Purges() != c.purged {
					t.Errorf("purges %d", t.store.Purges())
				}
				if c.want == exchange.Miss {
					t.refused(refusedLate, 2)
				}
			})
		})
	}
}

// TestNobodyJoinsTheLate: also not while it lands.
func TestNobodyJoinsTheLate(t *testing.T) {
	bubble(t, func(t rig) {
		t.store.SetPurges(7)
		own := &origin{answer: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			if n > 1 {
				return owner(exchange.Copy{Kept: true, Fresh: time.Minute, Purges: 7}, 200, "new", "cache-control: max-age=60")()
			}
			r, _ := owner(exchange.Copy{Kept: true, Fresh: time.Minute, Purges: 6}, 200, "", "cache-control: max-age=60")()
			r.Body, r.Length = newScript(ctx), 3
			return r, nil
		}}
		res, err := t.store.Serve(t.Context(), get("/"), plain, own)
		if err != nil {
			t.Fatal(err)
		}
		t.serve(get("/"), plain, own).want(t, exchange.Miss, 200, "new")
		res.Response.Body.Close()
	})
}
