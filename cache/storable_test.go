package cache

import (
	"testing"
	"time"
)

func TestStorable(t *testing.T) {
	lm := "last-modified: " + at(-1000*time.Second)
	for _, c := range []struct {
		name   string
		status int
		auth   bool
		lines  []string
		policy Policy
		want   refusal
	}{
		{"lifetime", 200, false, []string{"cache-control: max-age=60"}, Policy{}, stored},
		{"nothing said", 200, false, nil, Policy{}, refusedUseless},
		{"validator only", 200, false, []string{`etag: "a"`}, Policy{}, stored},
		{"heuristic", 200, false, []string{lm}, Policy{}, stored},
		{"default", 200, false, nil, Policy{DefaultTTL: time.Minute}, stored},
		{"no lifetime, no validator", 200, false, []string{"cache-control: max-age=0"}, Policy{}, refusedUseless},
		{"old on arrival", 200, false, []string{"cache-control: max-age=60", "age: 60"}, Policy{}, refusedUseless},
		{"old on arrival, but may be served", 200, false, []string{"cache-control: max-age=60, stale-while-revalidate=9", "age: 60"}, Policy{}, stored},
		{"old on arrival, but may be served on error", 200, false, []string{"cache-control: max-age=60", "age: 60"}, Policy{StaleIfError: time.Hour}, stored},
		{"nothing said, and a window of the policy", 200, false, nil, Policy{StaleWhileRevalidate: time.Hour, StaleIfError: time.Hour}, refusedUseless},
		{"no-store", 200, false, []string{"cache-control: max-age=60, no-store"}, Policy{}, refusedNoStore},
		{"private", 200, false, []string{"cache-control: max-age=60, private"}, Policy{}, refusedPrivate},
		{"private field", 200, false, []string{`cache-control: max-age=60, private="x"`}, Policy{}, refusedPrivate},
		{"no-store beats a rule", 200, false, []string{"cache-control: no-store"}, Policy{TTL: time.Hour, HasTTL: true}, refusedNoStore},
		{"private beats a default", 200, false, []string{"cache-control: private"}, Policy{DefaultTTL: time.Hour}, refusedPrivate},
		{"no-cache with a validator", 200, false, []string{"cache-control: no-cache", `etag: "a"`}, Policy{}, stored},
		{"no-cache without", 200, false, []string{"cache-control: no-cache, max-age=60"}, Policy{}, refusedUseless},
		{"withheld field", 200, false, []string{`cache-control: max-age=60, no-cache="x"`}, Policy{}, stored},
		{"withheld cookie", 200, false, []string{`cache-control: max-age=60, no-cache="set-cookie"`, "set-cookie: a=b"}, Policy{}, refusedSetCookie},
		{"pragma is a request's", 200, false, []string{"cache-control: max-age=60", "pragma: no-cache"}, Policy{}, stored},

		{"must-understand beats no-store", 200, false, []string{"cache-control: max-age=60, no-store, must-understand"}, Policy{}, stored},
		{"must-understand", 299, false, []string{"cache-control: max-age=60, must-understand"}, Policy{}, refusedNotUnderstood},
		{"must-understand and private", 200, false, []string{"cache-control: max-age=60, private, must-understand"}, Policy{}, refusedPrivate},

		{"with credentials", 200, true, []string{"cache-control: max-age=60"}, Policy{}, refusedAuthorization},
		{"public", 200, true, []string{"cache-control: max-age=60, public"}, Policy{}, stored},
		{"s-maxage", 200, true, []string{"cache-control: s-maxage=60"}, Policy{}, stored},
		{"must-revalidate", 200, true, []string{"cache-control: max-age=60, must-revalidate"}, Policy{}, stored},
		{"a rule does not share credentials", 200, true, nil, Policy{TTL: time.Hour, HasTTL: true}, refusedAuthorization},
		{"targeted, nothing shared", 200, true, []string{"cdn-cache-control: max-age=60", "cache-control: public"}, Policy{}, refusedAuthorization},

		{"any status with a lifetime", 599, false, []string{"cache-control: max-age=60"}, Policy{}, stored},
		{"502 with a lifetime", 502, false, []string{"cache-control: max-age=60"}, Policy{}, stored},
		{"502 without", 502, false, []string{lm}, Policy{}, refusedNoFreshness},
		{"502 with a default", 502, false, nil, Policy{DefaultTTL: time.Hour}, refusedNoFreshness},
		{"400 without", 400, false, []string{`etag: "a"`}, Policy{}, refusedNoFreshness},
		{"404 without", 404, false, nil, Policy{}, refusedUseless},
		{"404 with a default", 404, false, nil, Policy{DefaultTTL: time.Hour}, refusedUseless},
		{"404 with a date", 404, false, []string{lm}, Policy{}, stored},
		{"302 without", 302, false, []string{lm}, Policy{}, refusedNoFreshness},
		{"302 public", 302, false, []string{lm, "cache-control: public"}, Policy{}, stored},
		{"206", 206, false, []string{"cache-control: max-age=60"}, Policy{}, refusedStatus},
		{"304", 304, false, []string{"cache-control: max-age=60"}, Policy{}, refusedStatus},
		{"101", 101, false, []string{"cache-control: max-age=60"}, Policy{}, refusedStatus},

		{"cookie", 200, false, []string{"cache-control: max-age=60", "set-cookie: a=b"}, Policy{}, refusedSetCookie},
		{"cookie, public", 200, false, []string{"cache-control: max-age=60, public", "set-cookie: a=b"}, Policy{}, refusedSetCookie},
		{"cookie stripped", 200, false, []string{"cache-control: max-age=60", "set-cookie: a=b"}, Policy{SetCookie: SetCookieStrip}, stored},
		{"cookie stored", 200, false, []string{"cache-control: max-age=60", "set-cookie: a=b"}, Policy{SetCookie: SetCookieStore}, stored},

		{"vary", 200, false, []string{"cache-control: max-age=60", "vary: x"}, Policy{}, stored},
		{"vary *", 200, false, []string{"cache-control: max-age=60", "vary: *"}, Policy{}, refusedVary},
		{"vary * among others", 200, false, []string{"cache-control: max-age=60", "vary: x, *"}, Policy{}, refusedVary},
		{"vary * on the second line", 200, false, []string{"cache-control: max-age=60", "vary: x", "vary: , *"}, Policy{}, refusedVary},
		{"vary, no names", 200, false, []string{"cache-control: max-age=60", "vary: x y"}, Policy{}, refusedVary},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &head{
				policy: &c.policy, timing: timing{epoch, epoch}, path: "/",
				status: c.status, header: fields(c.lines...),
			}
			if c.auth {
				r.request = fields("authorization: Basic x")
			}
			if _, got := storable(r); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
