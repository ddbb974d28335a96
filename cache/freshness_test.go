package cache

import (
	"net/http"
	"testing"
	"time"
)

var epoch = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestParseDate(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, c := range []struct {
		in string
		ok bool
	}{
		{"Sun, 06 Nov 1994 08:49:37 GMT", true},
		{"sun, 06 nov 1994 08:49:37 gmt", true},
		{"SUN, 06 NOV 1994 08:49:37 GMT", true},
		{"Sunday, 06-Nov-94 08:49:37 GMT", true},
		{"Sun Nov  6 08:49:37 1994", true},
		{"Mon, 06 Nov 1994 08:49:37 GMT", true}, // the weekday is not checked against the date
		{"Sun, 06 Nov 1994 08:49:37 UTC", false},
		{"Sun, 06 Nov 1994 08:49:37 AEST", false},
		{"Sun, 06 Nov 1994 08:49:37", false},
		{"Sun, 06 Nov 1994 8:49:37 GMT", false},
		{"Sun,  06 Nov 1994 8:49:37 GMT", false},
		{"Sun, 6 Nov 1994 08:49:37 GMT", false},
		{"Sun, 06 Nov 94 08:49:37 GMT", false},
		{"Sun, 06-Nov-1994 08:49:37 GMT", false},
		{"Sun, 06 Nov 1994 08.49.37 GMT", false},
		{"Sun, 06 Nov 1994 24:49:37 GMT", false},
		{"Sun, 06 Nov 1994 08:60:37 GMT", false},
		{"Sun, 31 Nov 1994 08:49:37 GMT", false},
		{"Sun, 00 Nov 1994 08:49:37 GMT", false},
		{"Foo, 06 Nov 1994 08:49:37 GMT", false},
		{"Sun 06 Nov 1994 08:49:37 GMT", false},
		{"Sun, 06 Nov 1994 08:49:37.0 GMT", false},
		{"Sun, 06 Nov 1994 08:49:37 GMT ", false},
		{"Sun Nov 06 08:49:37 1994", true},
		{"Sun Nov 6 08:49:37 1994", false},
		{"1994-11-06T08:49:37Z", false},
		{"0", false},
		{"-1", false},
		{"", false},
	} {
		got, ok := parseDate(c.in, epoch)
		if ok != c.ok || ok && !got.Equal(want) {
			t.Errorf("%q: %v, %v", c.in, got, ok)
		}
	}
	if got, _ := parseDate("Sunday, 06-Nov-76 08:49:37 GMT", epoch); got.Year() != 2076 {
		t.Errorf("fifty years ahead is %d", got.Year())
	}
	if got, _ := parseDate("Sunday, 06-Nov-77 08:49:37 GMT", epoch); got.Year() != 1977 {
		t.Errorf("more than fifty years ahead is %d", got.Year())
	}
	if got, ok := parseDate("Sat, 31 Dec 2016 23:59:60 GMT", epoch); !ok || got.Year() != 2017 {
		t.Errorf("a leap second is %v", got)
	}
}

// FuzzDate compares with net/http, which takes all that we take but for
// letters' case, and more.
func FuzzDate(f *testing.F) {
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		"Sat, 31 Dec 2016 23:59:60 GMT", "Tue, 30 Feb 2016 23:59:59 GMT",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDate(s, epoch)
		if !ok {
			return
		}
		if back := httpDate(got); got.Year() >= 1000 {
			if again, ok := parseDate(back, epoch); !ok || !again.Equal(got) {
				t.Fatalf("%q, written %q, reads %v", s, back, again)
			}
		}
		ref, err := http.ParseTime(s)
		if err == nil && !ref.Equal(got) && ref.Sub(got).Abs() < 90*365*24*time.Hour {
			t.Fatalf("%q: %v, net/http says %v", s, got, ref)
		}
	})
}

func at(d time.Duration) string { return httpDate(epoch.Add(d)) }

func TestLifetimeAndAge(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name     string
		status   int
		lines    []string
		policy   Policy
		path     string
		delay    time.Duration
		lifetime time.Duration
		age      time.Duration
	}{
		{"nothing said", 200, nil, Policy{}, "/", 0, 0, 0},
		{"max-age", 200, []string{"cache-control: max-age=60"}, Policy{}, "/", 0, time.Minute, 0},
		{"s-maxage beats max-age", 200, []string{"cache-control: max-age=60, s-maxage=5"}, Policy{}, "/", 0, 5 * time.Second, 0},
		{"max-age beats Expires", 200, []string{"cache-control: max-age=60", "expires: " + at(time.Hour)}, Policy{}, "/", 0, time.Minute, 0},
		{"broken max-age beats Expires", 200, []string{"cache-control: max-age=x", "expires: " + at(time.Hour)}, Policy{}, "/", 0, 0, 0},
		{"Expires", 200, []string{"expires: " + at(time.Hour), "date: " + at(0)}, Policy{}, "/", 0, time.Hour, 0},
		{"Expires without Date", 200, []string{"expires: " + at(time.Hour)}, Policy{}, "/", 0, time.Hour, 0},
		{"Expires counts from Date", 200, []string{"expires: " + at(time.Hour), "date: " + at(-time.Minute)}, Policy{}, "/", 0, time.Hour + time.Minute, time.Minute},
		{"Expires past", 200, []string{"expires: " + at(-time.Hour)}, Policy{}, "/", 0, 0, 0},
		{"Expires 0", 200, []string{"expires: 0", "last-modified: " + at(-10*day)}, Policy{}, "/", 0, 0, 0},
		{"first Expires", 200, []string{"expires: " + at(time.Hour), "expires: 0"}, Policy{}, "/", 0, time.Hour, 0},
		{"first Expires broken", 200, []string{"expires: 0", "expires: " + at(time.Hour)}, Policy{}, "/", 0, 0, 0},
		{"targeted voids Expires", 200, []string{"cdn-cache-control: public", "expires: " + at(time.Hour)}, Policy{}, "/", 0, 0, 0},
		{"targeted", 200, []string{"cdn-cache-control: max-age=9", "cache-control: max-age=60"}, Policy{}, "/", 0, 9 * time.Second, 0},

		{"heuristic", 200, []string{"last-modified: " + at(-1000*time.Second)}, Policy{}, "/", 0, 100 * time.Second, 0},
		{"heuristic has an end", 200, []string{"last-modified: " + at(-1000*day)}, Policy{}, "/", 0, day, 0},
		{"modified in the future", 200, []string{"last-modified: " + at(day)}, Policy{}, "/", 0, 0, 0},
		{"heuristic 404", 404, []string{"last-modified: " + at(-1000*time.Second)}, Policy{}, "/", 0, 100 * time.Second, 0},
		{"no heuristic against Pragma", 200, []string{"last-modified: " + at(-1000*time.Second), "pragma: x, No-Cache"}, Policy{}, "/", 0, 0, 0},
		{"another Pragma", 200, []string{"last-modified: " + at(-1000*time.Second), "pragma: x"}, Policy{}, "/", 0, 100 * time.Second, 0},
		{"Pragma beside Cache-Control", 200, []string{"last-modified: " + at(-1000*time.Second), "pragma: no-cache", "cache-control: public"}, Policy{}, "/", 0, 100 * time.Second, 0},
		{"Pragma beside a targeted field", 200, []string{"last-modified: " + at(-1000*time.Second), "pragma: no-cache", "cdn-cache-control: public"}, Policy{}, "/", 0, 100 * time.Second, 0},
		{"Pragma beside Expires", 200, []string{"expires: " + at(time.Hour), "pragma: no-cache"}, Policy{}, "/", 0, time.Hour, 0},
		{"no heuristic for 201", 201, []string{"last-modified: " + at(-1000*time.Second)}, Policy{}, "/", 0, 0, 0},
		{"public 201", 201, []string{"last-modified: " + at(-1000*time.Second), "cache-control: public"}, Policy{}, "/", 0, 100 * time.Second, 0},

		{"Age", 200, []string{"age: 30"}, Policy{}, "/", 0, 0, 30 * time.Second},
		{"Age and delay", 200, []string{"age: 30"}, Policy{}, "/", 2 * time.Second, 0, 32 * time.Second},
		{"delay alone", 200, nil, Policy{}, "/", 2 * time.Second, 0, 2 * time.Second},
		{"apparent age", 200, []string{"date: " + at(-time.Minute), "age: 30"}, Policy{}, "/", 0, 0, time.Minute},
		{"Date in the future", 200, []string{"date: " + at(time.Hour)}, Policy{}, "/", 0, 0, 0},
		{"Date broken", 200, []string{"date: x"}, Policy{}, "/", 0, 0, 0},
		{"Age list", 200, []string{"age: 30, 60"}, Policy{}, "/", 0, 0, 30 * time.Second},
		{"two Ages", 200, []string{"age: 30", "age: 60"}, Policy{}, "/", 0, 0, 30 * time.Second},
		{"Age negative", 200, []string{"age: -30"}, Policy{}, "/", 0, 0, 0},
		{"Age decimal", 200, []string{"age: 30.5"}, Policy{}, "/", 0, 0, 0},
		{"Age with a parameter", 200, []string{"age: 30;a=b"}, Policy{}, "/", 0, 0, 0},
		{"Age huge", 200, []string{"age: 99999999999999999999"}, Policy{}, "/", 0, 0, maxDelta},

		{"default", 200, nil, Policy{DefaultTTL: time.Hour}, "/", 0, time.Hour, 0},
		{"default beats heuristic", 200, []string{"last-modified: " + at(-1000*time.Second)}, Policy{DefaultTTL: time.Hour}, "/", 0, time.Hour, 0},
		{"the origin beats the default", 200, []string{"cache-control: max-age=0"}, Policy{DefaultTTL: time.Hour}, "/", 0, 0, 0},
		{"no default against Pragma", 200, []string{"pragma: no-cache"}, Policy{DefaultTTL: time.Hour}, "/", 0, 0, 0},
		{"override against Pragma", 200, []string{"pragma: no-cache"}, Policy{TTL: time.Hour, HasTTL: true}, "/", 0, time.Hour, 0},
		{"no default for errors", 404, nil, Policy{DefaultTTL: time.Hour}, "/", 0, 0, 0},
		{"no default for what does not fit the path", 200, []string{"content-type: text/html"}, Policy{DefaultTTL: time.Hour}, "/account/x.css", 0, 0, 0},
		{"default for what fits", 200, []string{"content-type: text/css; charset=utf-8"}, Policy{DefaultTTL: time.Hour}, "/x.CSS", 0, time.Hour, 0},
		{"override", 200, []string{"cache-control: max-age=60"}, Policy{TTL: time.Hour, HasTTL: true}, "/", 0, time.Hour, 0},
		{"override runs from receipt", 200, []string{"cache-control: max-age=60", "age: 1200"}, Policy{TTL: time.Hour, HasTTL: true}, "/", 0, time.Hour + 20*time.Minute, 20 * time.Minute},
		{"default runs from receipt", 200, []string{"age: 1200"}, Policy{DefaultTTL: time.Hour}, "/", 0, time.Hour + 20*time.Minute, 20 * time.Minute},
		{"override with 0", 200, []string{"cache-control: max-age=60"}, Policy{HasTTL: true}, "/", 0, 0, 0},
		{"no override for errors", 500, []string{"cache-control: max-age=60"}, Policy{TTL: time.Hour, HasTTL: true}, "/", 0, time.Minute, 0},
		{"no override for what does not fit", 200, []string{"cache-control: max-age=6", "content-type: text/html"}, Policy{TTL: time.Hour, HasTTL: true}, "/x.png", 0, 6 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &head{
				policy: &c.policy, timing: timing{epoch.Add(-c.delay), epoch}, path: c.path,
				status: c.status, header: fields(c.lines...),
			}
			v := validityOf(r, directivesOf(r.header))
			if v.lifetime != c.lifetime || v.initialAge != c.age {
				t.Errorf("lifetime %v, age %v; want %v, %v", v.lifetime, v.initialAge, c.lifetime, c.age)
			}
		})
	}
}

func TestFreshAndStale(t *testing.T) {
	v := validity{received: epoch, initialAge: 5 * time.Second, lifetime: 15 * time.Second, staleIfError: secs(10)}
	p := &Policy{StaleWhileRevalidate: 20 * time.Second, StaleIfError: time.Hour}
	for _, c := range []struct {
		after           time.Duration
		fresh, swr, sie bool
		ttl             time.Duration
	}{
		{-time.Hour, true, true, true, 10 * time.Second}, // the clock was set back
		{0, true, true, true, 10 * time.Second},
		{9999 * time.Millisecond, true, true, true, time.Millisecond},
		{10 * time.Second, false, true, true, 0},
		{19 * time.Second, false, true, true, -9 * time.Second},
		{20 * time.Second, false, true, false, -10 * time.Second},
		{30 * time.Second, false, false, false, -20 * time.Second},
		{10 * 365 * 24 * time.Hour, false, false, false, 10*time.Second - 10*365*24*time.Hour},
	} {
		now := epoch.Add(c.after)
		if got := v.ttl(now); got != c.ttl {
			t.Errorf("after %v: ttl %v, want %v", c.after, got, c.ttl)
		}
		if v.fresh(now) != c.fresh || v.mayServeWhileRevalidating(p, now) != c.swr || v.mayServeOnError(p, now) != c.sie {
			t.Errorf("after %v: fresh %v, while revalidating %v, on error %v", c.after, v.fresh(now),
				v.mayServeWhileRevalidating(p, now), v.mayServeOnError(p, now))
		}
		strict, validate := v, v
		strict.strict = true
		validate.strict, validate.validate = true, true
		if strict.mayServeWhileRevalidating(p, now) || strict.mayServeOnError(p, now) || validate.fresh(now) {
			t.Errorf("after %v: a strict response is let through", c.after)
		}
	}
}
