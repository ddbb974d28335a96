package cache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestWithheld: a field that no-cache="..." names is for the client that
// the origin was asked for, and for no later one (RFC 9111, 5.2.2.4).
func TestWithheld(t *testing.T) {
	bubble(t, func(t rig) {
		lines := []string{`etag: "v"`, `cache-control: max-age=10, no-cache="a"`, "b: 1"}
		o := &origin{answer: func(_ context.Context, n int, r *exchange.Request) (*exchange.Response, error) {
			if r.Header.Has("if-none-match") {
				return reply(304, "", append(lines, "a: again")...), nil
			}
			return reply(200, "x", append(lines, "a: once")...), nil
		}}
		expect := func(want exchange.Outcome, field string) {
			t.Helper()
			a := t.serve(get("/"), plain, o)
			a.want(t, want, 200, "x")
			if a.header.Joined("a") != field || a.header.Joined("b") != "1" {
				t.Errorf("%v: %v", want, a.header)
			}
		}
		expect(exchange.Miss, "once")
		expect(exchange.Hit, "")
		time.Sleep(20 * time.Second)
		expect(exchange.Revalidated, "again")
		expect(exchange.Hit, "")
	})
}

// TestWithheldStaysWithTheLeader: neither those who join a fill nor those
// who find what was posted get it.
func TestWithheldStaysWithTheLeader(t *testing.T) {
	bubble(t, func(t rig) {
		release := make(chan struct{})
		o := &origin{answer: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
			<-release
			return reply(200, "x", `cache-control: max-age=10, no-cache="a"`, "a: 1"), nil
		}}
		first := t.start(get("/"), plain, o)
		synctest.Wait()
		second := t.start(get("/"), plain, o)
		synctest.Wait()
		close(release)
		a, b := <-first, <-second
		a.want(t, exchange.Miss, 200, "x")
		b.want(t, exchange.Coalesced, 200, "x")
		if a.header.Joined("a") != "1" || b.header.Has("a") {
			t.Errorf("the leader got %v, the other %v", a.header, b.header)
		}

		posted := always(200, "y", "content-location: /p", `cache-control: max-age=10, no-cache="a"`, "a: 1")
		a = t.serve(with("POST", get("/p")), plain, posted)
		b = t.serve(get("/p"), plain, posted)
		a.want(t, exchange.Pass, 200, "y")
		b.want(t, exchange.Hit, 200, "y")
		if a.header.Joined("a") != "1" || b.header.Has("a") {
			t.Errorf("who posted got %v, the other %v", a.header, b.header)
		}
	})
}

// TestWithheldCookie: withholding the cookie changes nothing in what the
// policy says about it, except that it is not replayed.
func TestWithheldCookie(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   SetCookie
		second exchange.Outcome
		first  string // set-cookie on the first response
		later  string // and on the second
	}{
		{"bypass", SetCookieBypass, exchange.Miss, "a=b", "a=b"},
		{"strip", SetCookieStrip, exchange.Hit, "", ""},
		{"store", SetCookieStore, exchange.Hit, "a=b", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				p := &Policy{SetCookie: c.mode}
				o := always(200, "x", `cache-control: max-age=60, no-cache="Set-Cookie"`, "set-cookie: a=b")
				a := t.serve(get("/"), p, o)
				b := t.serve(get("/"), p, o)
				a.want(t, exchange.Miss, 200, "x")
				b.want(t, c.second, 200, "x")
				if a.header.Joined("set-cookie") != c.first || b.header.Joined("set-cookie") != c.later {
					t.Errorf("set-cookie: first %v, then %v", a.header, b.header)
				}
			})
		})
	}
}

// TestWithheldCookieOfAConfirmation: the client gets it once in each mode.
func TestWithheldCookieOfAConfirmation(t *testing.T) {
	for _, mode := range []SetCookie{SetCookieBypass, SetCookieStrip, SetCookieStore} {
		bubble(t, func(t rig) {
			p := &Policy{SetCookie: mode}
			lines := []string{`etag: "v"`, `cache-control: max-age=10, no-cache="set-cookie"`}
			o := &origin{answer: func(_ context.Context, _ int, r *exchange.Request) (*exchange.Response, error) {
				if r.Header.Has("if-none-match") {
					return reply(304, "", append(lines, "set-cookie: a=b")...), nil
				}
				return reply(200, "x", lines...), nil
			}}
			t.serve(get("/"), p, o).want(t, exchange.Miss, 200, "x")
			time.Sleep(20 * time.Second)
			a := t.serve(get("/"), p, o)
			a.want(t, exchange.Revalidated, 200, "x")
			if got := a.header.Values("set-cookie"); len(got) != 1 {
				t.Errorf("mode %d: %q", mode, got)
			}
			if b := t.serve(get("/"), p, o); b.outcome != exchange.Hit || b.header.Has("set-cookie") {
				t.Errorf("mode %d: then %v %v", mode, b.outcome, b.header)
			}
		})
	}
}
