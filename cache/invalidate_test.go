package cache

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestInvalidation(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		target string
		status int
		line   string
		gone   bool
	}{
		{"POST", "POST", "/a", 200, "x: y", true},
		{"PUT", "PUT", "/a", 204, "x: y", true},
		{"DELETE", "DELETE", "/a", 200, "x: y", true},
		{"PATCH", "PATCH", "/a", 200, "x: y", true},
		{"unknown", "M-SEARCH", "/a", 200, "x: y", true},
		{"redirect", "POST", "/a", 303, "x: y", true},
		{"refused", "POST", "/a", 403, "x: y", false},
		{"failed", "POST", "/a", 500, "x: y", false},
		{"OPTIONS", "OPTIONS", "/a", 200, "x: y", false},
		{"TRACE", "TRACE", "/a", 200, "x: y", false},
		{"other target", "POST", "/b", 200, "x: y", false},
		{"other query", "POST", "/a?q", 200, "x: y", false},
		{"location", "POST", "/b", 201, "location: /a", true},
		{"other spelling", "POST", "/b", 201, "location: /%61", true},
		{"content-location", "PUT", "/b", 200, "content-location: https://example.com/a", true},
		{"relative", "POST", "/b/c", 200, "location: ../a", true},
		{"default port", "POST", "/b", 200, "location: https://example.com:443/a", true},
		{"host in capitals", "POST", "/b", 200, "location: https://EXAMPLE.com/a", true},
		{"other scheme", "POST", "/b", 200, "location: http://example.com/a", false},
		{"other host", "POST", "/b", 200, "location: https://example.net/a", false},
		{"other port", "POST", "/b", 200, "location: https://example.com:8443/a", false},
		{"no reference", "POST", "/b", 200, "location: https://[", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				o := always(200, "x", "cache-control: max-age=60")
				t.serve(get("/a"), plain, o)
				t.serve(with(c.method, get(c.target)), plain, always(c.status, "", c.line)).want(t, exchange.Pass, c.status, "")
				want := exchange.Hit
				if c.gone {
					want = exchange.Miss
				}
				t.serve(get("/a"), plain, o).want(t, want, 200, "x")
			})
		})
	}
}

// What the origin began to send before the change must not be stored
// after it.
func TestInvalidationReachesFills(t *testing.T) {
	bubble(t, func(t rig) {
		var body *script
		o := &origin{answer: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			if n > 1 {
				return reply(200, "new", "cache-control: max-age=60"), nil
			}
			body = newScript(ctx)
			r := reply(200, "", "cache-control: max-age=60")
			r.Body, r.Length = body, 3
			return r, nil
		}}
		a := t.start(get("/"), plain, o)
		synctest.Wait()
		t.serve(with("POST", get("/")), plain, always(200, "")).want(t, exchange.Pass, 200, "")
		t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "new")
		body.pieces <- "old"
		close(body.pieces)
		(<-a).want(t, exchange.Miss, 200, "old")
		synctest.Wait()
		t.serve(get("/"), plain, o).want(t, exchange.Hit, 200, "new")
	})
}

func TestPostedIsStored(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		sized bool
		want  exchange.Outcome
	}{
		{"sized", []string{"content-location: /form", "cache-control: max-age=60"}, true, exchange.Hit},
		{"not sized", []string{"content-location: /form", "cache-control: max-age=60"}, false, exchange.Hit},
		{"elsewhere", []string{"content-location: /other", "cache-control: max-age=60"}, true, exchange.Miss},
		{"no location", []string{"cache-control: max-age=60"}, true, exchange.Miss},
		{"no lifetime", []string{"content-location: /form", "last-modified: Sat, 01 Jan 2000 00:00:00 GMT"}, true, exchange.Miss},
		{"no-store", []string{"content-location: /form", "cache-control: max-age=60, no-store"}, true, exchange.Miss},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				posts := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
					r := reply(200, "posted", c.lines...)
					if !c.sized {
						r = unsized(r)
					}
					return r, nil
				})
				t.serve(with("POST", get("/form")), plain, posts).want(t, exchange.Pass, 200, "posted")
				body := "posted"
				if c.want == exchange.Miss {
					body = "got"
				}
				t.serve(get("/form"), plain, always(200, "got")).want(t, c.want, 200, body)
				synctest.Wait() // a fill ends after its last reader has
				if n := len(t.store.flights); n != 0 {
					t.Errorf("%d flights are left", n)
				}
			})
		})
	}
}

func TestPostedIsInvalidatedByTheNext(t *testing.T) {
	bubble(t, func(t rig) {
		posted := always(200, "posted", "content-location: /form", "cache-control: max-age=60")
		res, err := t.store.Serve(t.Context(), with("POST", get("/form")), plain, posted)
		if err != nil {
			t.Fatal(err)
		}
		t.serve(with("PUT", get("/form")), plain, always(204, ""))
		read(res, nil).want(t, exchange.Pass, 200, "posted")
		t.serve(get("/form"), plain, always(200, "got")).want(t, exchange.Miss, 200, "got")
	})
}

func TestPostedCutShort(t *testing.T) {
	bubble(t, func(t rig) {
		cut := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			r := reply(200, "123", "content-location: /form", "cache-control: max-age=60")
			r.Length = 5
			return r, nil
		})
		t.serve(with("POST", get("/form")), plain, cut)
		t.serve(get("/form"), plain, always(200, "got")).want(t, exchange.Miss, 200, "got")
		if used := t.store.content.used.Load(); used != 0 {
			t.Errorf("%d bytes of content are counted, none is held", used)
		}
	})
}
