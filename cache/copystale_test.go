package cache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestCopyIsNotServedStale: whatever its fields and the site allow, its
// owner is asked; only when nobody answers may it stand in.
func TestCopyIsNotServedStale(t *testing.T) {
	const cc = "cache-control: max-age=1000, stale-while-revalidate=1000, stale-if-error=30"
	for _, c := range []struct {
		name   string
		after  time.Duration // the copy is fresh for 10 s
		second func() (*exchange.Response, error)
		want   exchange.Outcome
		status int
		body   string
	}{
		{"fresh", 9 * time.Second, fails(exchange.ConnectionRefused), exchange.Hit, 200, "old"},
		{"replaced", 15 * time.Second, owner(kept(0, time.Minute), 200, "new", cc), exchange.Miss, 200, "new"},
		{"confirmed", 15 * time.Second, owner(kept(0, time.Minute), 304, "", `etag: "a"`, cc), exchange.Revalidated, 200, "old"},
		{"confirmed by one that does not keep it", 15 * time.Second, owner(exchange.Copy{}, 304, "", `etag: "a"`), exchange.Revalidated, 200, "old"},
		{"the owner answers with a failure", 15 * time.Second, owner(exchange.Copy{}, 503, "down"), exchange.Miss, 503, "down"},
		{"an origin answers with a failure", 15 * time.Second, gives(503, "down"), exchange.Miss, 503, "down"},
		{"nobody answers", 15 * time.Second, fails(exchange.ConnectionRefused), exchange.Stale, 200, "old"},
		{"nobody answers, too late", 41 * time.Second, fails(exchange.ConnectionRefused), exchange.Failed, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				t.heated()
				p := &Policy{Site: "test", StaleWhileRevalidate: time.Hour, StaleIfError: time.Hour}
				own := sequence(owner(kept(5*time.Second, 10*time.Second), 200, "old", cc, `etag: "a"`), c.second)
				t.serve(get("/"), p, own).want(t, exchange.Miss, 200, "old")
				time.Sleep(c.after)
				a := t.serve(get("/"), p, own)
				if a.outcome != c.want || a.status != c.status || a.body != c.body {
					t.Errorf("got %v %d %q, %v; want %v %d %q", a.outcome, a.status, a.body, a.err, c.want, c.status, c.body)
				}
				if c.want != exchange.Hit && own.request(1).Header.Get("if-none-match") != `"a"` {
					t.Errorf("the owner was asked %v", own.request(1).Header)
				}
			})
		})
	}
}

// TestCopyIsConfirmed: the times of the owner's 304 are taken over, and it
// stays stored however seldom it is asked for.
func TestCopyIsConfirmed(t *testing.T) {
	bubble(t, func(t rig) {
		t.heated()
		own := sequence(
			owner(kept(5*time.Second, 10*time.Second), 200, "x", `etag: "a"`, "cache-control: max-age=15"),
			owner(kept(2*time.Second, 20*time.Second), 304, "", `etag: "a"`, "cache-control: max-age=999", "x-new: 1", "age: 700"),
		)
		t.serve(get("/"), plain, own)
		time.Sleep(time.Minute)
		a := t.serve(get("/"), plain, own)
		a.want(t, exchange.Revalidated, 200, "x")
		if a.header.Joined("age") != "2" || a.header.Get("x-new") != "1" || !a.report.Relayed || a.report.TTL != 20*time.Second {
			t.Errorf("%v, %+v", a.header, a.report)
		}
		time.Sleep(19 * time.Second)
		a = t.serve(get("/"), plain, own)
		a.want(t, exchange.Hit, 200, "x")
		if a.header.Get("age") != "21" || a.report.Relayed {
			t.Errorf("%v, %+v", a.header, a.report)
		}
		time.Sleep(2 * time.Second)
		t.serve(get("/"), plain, own).want(t, exchange.Revalidated, 200, "x")
	})
}

// TestCopyIsReplaced: what takes the place of a stored copy is stored,
// though the key was not asked for for long.
func TestCopyIsReplaced(t *testing.T) {
	bubble(t, func(t rig) {
		t.heated()
		own := sequence(
			owner(kept(0, 10*time.Second), 200, "old", `etag: "a"`, "cache-control: max-age=10"),
			owner(kept(0, 10*time.Second), 200, "new", `etag: "b"`, "cache-control: max-age=10"),
		)
		t.serve(get("/"), plain, own).want(t, exchange.Miss, 200, "old")
		time.Sleep(time.Minute)
		t.serve(get("/"), plain, own).want(t, exchange.Miss, 200, "new")
		t.serve(get("/"), plain, own).want(t, exchange.Hit, 200, "new")
	})
}

// TestLateConfirmation: a 304 from before a purge is passed on, and makes
// nothing fresh.
func TestLateConfirmation(t *testing.T) {
	bubble(t, func(t rig) {
		t.heated()
		own := sequence(
			owner(kept(0, 10*time.Second), 200, "x", `etag: "a"`, "cache-control: max-age=10"),
			owner(kept(0, 10*time.Second), 304, "", `etag: "a"`, "cache-control: max-age=10"),
		)
		t.serve(get("/"), plain, own)
		time.Sleep(time.Minute)
		t.store.SetPurges(1)
		for range 2 {
			t.serve(get("/"), plain, own).want(t, exchange.Revalidated, 200, "x")
		}
		if own.count() != 3 {
			t.Errorf("the owner was asked %d times", own.count())
		}
		t.refused(refusedLate, 2)
	})
}

// TestStaleCopyIsShared: an owner that answers with what is stale by
// permission answers all who wait, and is asked again by those who come
// later.
func TestStaleCopyIsShared(t *testing.T) {
	for _, c := range []struct {
		name   string
		cc     string
		policy Policy
		shared bool
	}{
		{"by the origin's permission", "max-age=10, stale-while-revalidate=60", Policy{}, true},
		{"by the site's", "max-age=10", Policy{StaleWhileRevalidate: time.Minute}, true},
		{"after an error", "max-age=10", Policy{StaleIfError: time.Minute}, true},
		{"without", "max-age=10", Policy{}, false},
		{"against the origin's word", "max-age=10, must-revalidate", Policy{StaleIfError: time.Minute}, false},
		{"with no-cache", "max-age=100, no-cache, stale-while-revalidate=60", Policy{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				release := make(chan struct{})
				own := sequence(owner(kept(15*time.Second, -5*time.Second), 200, "x", "cache-control: "+c.cc))
				slow := fillFunc(func(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
					<-release
					return own.Fill(ctx, r)
				})
				a, b := t.start(get("/"), &c.policy, slow), t.start(get("/"), &c.policy, slow)
				synctest.Wait()
				close(release)
				<-a
				<-b
				want := 2
				if c.shared {
					want = 1
				}
				if own.count() != want {
					t.Errorf("the owner was asked %d times, want %d", own.count(), want)
				}
				t.serve(get("/"), &c.policy, slow).want(t, exchange.Miss, 200, "x")
				if own.count() != want+1 {
					t.Errorf("the owner was asked %d times, want %d", own.count(), want+1)
				}
			})
		})
	}
}
