package origin

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// refusing is the URL of an endpoint that nobody listens at.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "http://" + l.Addr().String()
}

// keeping serves ok on each connection until a test closes it.
func keeping(t *testing.T) *scripted {
	return script(t, func(_ int, c *peer) {
		for {
			if _, err := c.head(); err != nil {
				return
			}
			c.say(ok)
		}
	})
}

func TestRefusedConnectionGoesElsewhere(t *testing.T) {
	for name, request := range map[string]func() *exchange.Request{
		"GET":            func() *exchange.Request { return get("/") },
		"POST with body": func() *exchange.Request { return post("hello") },
	} {
		t.Run(name, func(t *testing.T) {
			good := script(t, func(_ int, c *peer) {
				head, err := c.head()
				if err != nil {
					return
				}
				if strings.Contains(head, "POST") {
					b := make([]byte, 5)
					if _, err := c.br.Read(b); err != nil || string(b) != "hello" {
						c.say("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
						return
					}
				}
				c.say(ok)
				c.ended()
			})
			o := start(t, config(t, refusing(t), good.url))
			if res, _ := mustFetch(t, o, request()); res.Status != 200 {
				t.Errorf("status %d", res.Status)
			}
			if n := len(good.heads()); n != 1 {
				t.Errorf("%d requests at the origin", n)
			}
		})
	}
}

func TestEveryEndpointIsTriedOnce(t *testing.T) {
	o := start(t, config(t, refusing(t), refusing(t), refusing(t)))
	_, _, err := fetch(t, o, get("/"))
	wantCause(t, err, exchange.ConnectionRefused)
	for i, ep := range o.endpoints {
		if n := ep.failures.Load(); n != 1 {
			t.Errorf("endpoint %d was dialled %d times", i, n)
		}
	}
}

// A connection that dies on its first request may have carried it out.
func TestFreshConnectionThatDiesIsNotRetried(t *testing.T) {
	bad := script(t, func(_ int, c *peer) { _, _ = c.head() })
	good := keeping(t)
	o := start(t, config(t, bad.url, good.url))
	_, _, err := fetch(t, o, get("/"))
	wantCause(t, err, exchange.ConnectionTerminated)
	if n := len(bad.heads()) + len(good.heads()); n != 1 {
		t.Errorf("%d requests at the origins, want 1", n)
	}
}

// dying answers the first request of each connection, and ends the
// connection on the second without an answer.
func dying(t *testing.T) *scripted {
	return script(t, func(_ int, c *peer) {
		if _, err := c.head(); err != nil {
			return
		}
		c.say(ok)
		_, _ = c.head()
	})
}

func TestKeptConnectionThatDies(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *exchange.Request)
		heads  int // at the origin, the first request included
		want   exchange.Cause
	}{
		"GET":               {func(*exchange.Request) {}, 3, exchange.NoCause},
		"HEAD":              {func(r *exchange.Request) { r.Method = "HEAD" }, 3, exchange.NoCause},
		"DELETE":            {func(r *exchange.Request) { r.Method = "DELETE" }, 3, exchange.NoCause},
		"PUT without body":  {func(r *exchange.Request) { r.Method = "PUT" }, 3, exchange.NoCause},
		"POST without body": {func(r *exchange.Request) { r.Method = "POST" }, 2, exchange.ConnectionTerminated},
		"POST that its client calls idempotent": {func(r *exchange.Request) {
			r.Method = "POST"
			r.Header.Add("idempotency-key", "1")
		}, 2, exchange.ConnectionTerminated},
		"PUT with body":  {func(r *exchange.Request) { *r = *post("hello"); r.Method = "PUT" }, 2, exchange.ConnectionTerminated},
		"unknown method": {func(r *exchange.Request) { r.Method = "FROB" }, 2, exchange.ConnectionTerminated},
	} {
		t.Run(name, func(t *testing.T) {
			s := dying(t)
			o := start(t, config(t, s.url))
			mustFetch(t, o, get("/first"))
			r := get("/second")
			c.change(r)
			_, _, err := fetch(t, o, r)
			if c.want == exchange.NoCause && err != nil {
				t.Error(err)
			} else if c.want != exchange.NoCause {
				wantCause(t, err, c.want)
			}
			heads := s.heads()
			if len(heads) != c.heads {
				t.Errorf("%d requests at the origin, want %d", len(heads), c.heads)
			}
			if strings.Contains(strings.Join(heads, ""), "Idempotency-Key: \r\n") {
				t.Error("our sign for net/http reached the origin")
			}
		})
	}
}

// However many kept connections are dead, an origin gets a request twice
// at most: the second time on a new connection.
func TestManyDeadConnections(t *testing.T) {
	const kept = 5
	var second atomic.Int32
	var arrived sync.WaitGroup
	arrived.Add(kept)
	s := script(t, func(n int, c *peer) {
		if _, err := c.head(); err != nil {
			return
		}
		if n < kept {
			arrived.Done()
			arrived.Wait()
		}
		c.say(ok)
		if _, err := c.head(); err == nil {
			second.Add(1)
		}
	})
	o := start(t, config(t, s.url))
	done := make(chan error)
	for range kept {
		go func() {
			_, _, err := fetch(t, o, get("/first"))
			done <- err
		}()
	}
	for range kept {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	mustFetch(t, o, get("/second"))
	if n := second.Load(); n != 1 {
		t.Errorf("%d kept connections got the request, want 1", n)
	}
	if n := len(s.heads()); n != kept+2 {
		t.Errorf("%d requests, want %d", n, kept+2)
	}
}

// When the endpoint is gone altogether, the repetition goes elsewhere.
func TestDeadConnectionThenRefusedGoesElsewhere(t *testing.T) {
	good := keeping(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bad := &scripted{url: "http://" + l.Addr().String()}
	served := make(chan struct{})
	go func() {
		defer close(served)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		l.Close()
		p := bad.peer(c)
		_, _ = p.head()
		p.say(ok)
		_, _ = p.head()
	}()
	o := start(t, config(t, bad.url, good.url))
	mustFetch(t, o, get("/1"))
	mustFetch(t, o, get("/2"))
	mustFetch(t, o, get("/3"))
	<-served
	if n := len(bad.heads()); n != 2 {
		t.Errorf("%d requests at the dying endpoint, want 2", n)
	}
	if n := len(good.heads()); n != 2 {
		t.Errorf("%d requests at the other, want 2", n)
	}
}

func TestRetryBudget(t *testing.T) {
	conf := config(t, refusing(t), refusing(t))
	conf.Tuning = Tuning{RetryFloor: 2, RetryPercent: 1, DialFailures: 1000}
	o := start(t, conf)
	for range 10 {
		_, _, err := fetch(t, o, get("/"))
		wantCause(t, err, exchange.ConnectionRefused)
	}
	dials := o.endpoints[0].failures.Load() + o.endpoints[1].failures.Load()
	if dials != 12 {
		t.Errorf("%d dials for 10 requests, want 12", dials)
	}
}

func TestBudgetWindow(t *testing.T) {
	b := &budget{window: 10 * time.Second, percent: 20, floor: 2}
	now := time.Unix(1_700_000_000, 0)
	allowed := func(at time.Time) (n int) {
		for b.take(at) {
			n++
		}
		return n
	}
	if n := allowed(now); n != 2 {
		t.Errorf("%d retries without requests, want the floor of 2", n)
	}
	for range 100 {
		b.request(now)
	}
	if n := allowed(now); n != 18 {
		t.Errorf("%d more retries for 100 requests, want 18", n)
	}
	if n := allowed(now.Add(9 * time.Second)); n != 0 {
		t.Errorf("%d retries within the window, want 0", n)
	}
	if n := allowed(now.Add(10 * time.Second)); n != 2 {
		t.Errorf("%d retries after the window, want 2", n)
	}
	if n := allowed(now.Add(-time.Hour)); n != 0 {
		t.Errorf("%d retries when the clock went back, want 0", n)
	}
	if n := allowed(now.Add(24 * time.Hour)); n != 2 {
		t.Errorf("%d retries a day later, want 2", n)
	}
}

func TestSmoothWeights(t *testing.T) {
	weights, current := []int{5, 1, 1}, make([]int, 3)
	order := ""
	for range 7 {
		order += string(rune('a' + smooth(weights, current, func(int) bool { return true })))
	}
	if order != "aabacaa" {
		t.Errorf("order %s, want aabacaa", order)
	}
	counts := [3]int{}
	for range 600 {
		counts[smooth(weights, current, func(i int) bool { return i != 0 })]++
	}
	if counts != [3]int{0, 300, 300} {
		t.Errorf("counts %v without the first", counts)
	}
	if i := smooth(weights, current, func(int) bool { return false }); i != -1 {
		t.Errorf("index %d of none", i)
	}
}

func TestWeightsAtTheOrigins(t *testing.T) {
	a, b := keeping(t), keeping(t)
	conf := config(t, a.url, b.url)
	conf.Endpoints[0].Weight = 3
	o := start(t, conf)
	for range 40 {
		mustFetch(t, o, get("/"))
	}
	if na, nb := len(a.heads()), len(b.heads()); na != 30 || nb != 10 {
		t.Errorf("%d and %d requests, want 30 and 10", na, nb)
	}
}

func TestEndpointIsPutAside(t *testing.T) {
	good := keeping(t)
	conf := config(t, refusing(t), good.url)
	conf.Tuning.Aside = time.Hour
	o := start(t, conf)
	for range 20 {
		mustFetch(t, o, get("/"))
	}
	if o.endpoints[0].usable(time.Now()) {
		t.Error("endpoint is still in use after 20 failures")
	}
	if !o.endpoints[0].usable(time.Now().Add(time.Hour)) {
		t.Error("endpoint is never used again")
	}
	if n := o.endpoints[0].failures.Load(); n != 0 {
		t.Errorf("dialled %d times more once aside", n)
	}
}

func TestRequestsPerClientConnection(t *testing.T) {
	s := keeping(t)
	conf := config(t, s.url)
	conf.Limits.OriginPerConn = 1
	o := start(t, conf)
	r := get("/")
	res, err := o.Fill(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = fetch(t, o, r)
	wantCause(t, err, exchange.ConnectionLimitReached)
	if o.counters.Hits(limits.OriginPerConn) != 1 {
		t.Error("the limit was not counted")
	}
	res.Body.Close()
	res.Body.Close()
	mustFetch(t, o, r)
}
