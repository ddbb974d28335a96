package sessions

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// tableOf returns a table that holds at most n sessions, for half an hour
// each.
func tableOf(t testing.TB, n int) (*Table, *limits.Counters, time.Time) {
	t.Helper()
	l, c := limits.Default(), new(limits.Counters)
	l.Sessions = n
	return New(l, c, nil), c, time.Now()
}

func TestHeld(t *testing.T) {
	tab, counters, now := tableOf(t, 10_000)
	if _, held := tab.Touch("shop 1", now); held || tab.Held("shop 1", now) || tab.Len(now) != 0 {
		t.Error("an unknown session is held")
	}
	tab.Hold("shop 1", "", now)
	if endpoint, held := tab.Touch("shop 1", now); !held || endpoint != "" {
		t.Errorf("%q, %v", endpoint, held)
	}
	tab.Hold("shop 1", "a", now)
	tab.Hold("shop 2", "b", now)
	for i := range 10 {
		now = now.Add(29 * time.Minute)
		if endpoint, held := tab.Touch("shop 1", now); !held || endpoint != "a" {
			t.Fatalf("after %d uses: %q, %v", i, endpoint, held)
		}
	}
	if tab.Held("shop 2", now) || tab.Held("blog 1", now) {
		t.Error("a session that was left is held")
	}
	tab.Hold("shop 1", "c", now)
	if endpoint, _ := tab.Touch("shop 1", now); endpoint != "c" || tab.Len(now) != 1 {
		t.Errorf("on endpoint %q; %d held", endpoint, tab.Len(now))
	}
	if counters.Hits(limits.SessionIdle) != 1 || counters.Hits(limits.Sessions) != 0 {
		t.Errorf("%d idle, %d crowded out", counters.Hits(limits.SessionIdle), counters.Hits(limits.Sessions))
	}
}

// TestIdle: to look at a session is not to use it, and it goes on time.
func TestIdle(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		want  bool
	}{
		{"at once", 0, true},
		{"just in time", 30*time.Minute - time.Nanosecond, true},
		{"too late", 30 * time.Minute, false},
		{"much too late", 24 * time.Hour, false},
		{"by a clock that went back", -time.Hour, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab, _, now := tableOf(t, 10_000)
			tab.Hold("shop 1", "a", now)
			tab.Held("shop 1", now.Add(20*time.Minute))
			if got := tab.Held("shop 1", now.Add(c.after)); got != c.want {
				t.Errorf("held: %v", got)
			}
			if _, got := tab.Touch("shop 1", now.Add(c.after)); got != c.want {
				t.Errorf("touched: %v", got)
			}
			if got := tab.Len(now.Add(c.after)); (got == 1) != c.want {
				t.Errorf("%d held", got)
			}
		})
	}
}

// TestSessionsLimit: limits.Sessions bounds the table, and the sessions in
// use are not those that go.
func TestSessionsLimit(t *testing.T) {
	const limit = 12_800
	tab, counters, now := tableOf(t, limit)
	for i := range 100 {
		tab.Hold(fmt.Sprint("used ", i), "a", now)
	}
	begun := 100
	for i := range 5 * limit {
		now = now.Add(time.Millisecond)
		tab.Hold(fmt.Sprint("flood ", i), "b", now)
		begun++
		if i%1000 == 0 {
			for j := range 100 {
				if endpoint, held := tab.Touch(fmt.Sprint("used ", j), now); !held || endpoint != "a" {
					t.Fatalf("session %d in use was forgotten after %d others", j, i)
				}
			}
			if n := tab.Len(now); n > limit {
				t.Fatalf("%d sessions are held, the limit is %d", n, limit)
			}
		}
	}
	n := tab.Len(now)
	if n < limit/2 {
		t.Errorf("only %d of %d are held", n, limit)
	}
	if gone := int(counters.Hits(limits.Sessions)); gone+n != begun {
		t.Errorf("%d begun, %d held and %d crowded out", begun, n, gone)
	}
	if got := testutil.ToFloat64(tab.met.begun); got != float64(begun) {
		t.Errorf("%v begun are counted, want %d", got, begun)
	}
}

// TestTableAgainstTheTruth: with room enough the table agrees with a plain
// map.
func TestTableAgainstTheTruth(t *testing.T) {
	tab, _, now := tableOf(t, 100_000)
	type use struct {
		endpoint string
		at       time.Time
	}
	truth := map[string]use{}
	for i := range 20_000 {
		now = now.Add(time.Duration(i%97) * time.Second)
		s := fmt.Sprint("shop ", i*7919%53)
		u, known := truth[s]
		known = known && now.Sub(u.at) < 30*time.Minute
		switch i % 3 {
		case 0:
			e := fmt.Sprint("e", i%4)
			tab.Hold(s, e, now)
			truth[s] = use{e, now}
		case 1:
			endpoint, held := tab.Touch(s, now)
			if held != known || held && endpoint != u.endpoint {
				t.Fatalf("step %d: %q, %v; want %+v, %v", i, endpoint, held, u, known)
			}
			if held {
				truth[s] = use{endpoint, now}
			}
		default:
			if held := tab.Held(s, now); held != known {
				t.Fatalf("step %d: held %v, want %v", i, held, known)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	tab, _, now := tableOf(t, 1000)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				s := fmt.Sprint("shop ", (i*g)%700)
				tab.Hold(s, "a", now.Add(time.Duration(i)*time.Second))
				tab.Touch(s, now)
				tab.Held(s, now)
			}
			tab.Len(now)
		})
	}
	all.Wait()
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	tab := New(limits.Default(), nil, r)
	tab.Hold("shop 1", "a", time.Now())
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(r); err != nil || n != 3 {
		t.Errorf("%d series, %v", n, err)
	}
}

// TestMemory: a session costs what the limit's description says.
func TestMemory(t *testing.T) {
	const n = 200_000
	tab, _, now := tableOf(t, 2*n)
	before := heapInUse()
	for i := range n {
		tab.Hold(fmt.Sprint("shop ", i), "a", now)
	}
	each := float64(heapInUse()-before) / n
	t.Logf("%.0f bytes for each of %d sessions", each, tab.Len(now))
	if each > 80 {
		t.Errorf("a session takes %.0f bytes", each)
	}
	runtime.KeepAlive(tab)
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkTouch(b *testing.B) {
	tab, _, now := tableOf(b, 1_000_000)
	tab.Hold("shop 1234567890abcdef", "main", now)
	b.ReportAllocs()
	for b.Loop() {
		tab.Touch("shop 1234567890abcdef", now)
	}
}
