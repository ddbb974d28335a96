package http3

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// drains reports whether the connection was told to drain.
func (c *Conn) drains() bool {
	c.drain.mu.Lock()
	defer c.drain.mu.Unlock()
	return c.drain.wanted
}

// TestQuiet: the time without requests counts from the last one's end.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c, _, counters := fakeConn(testLimits(), &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			if r.Header.Has("x-wait") {
				<-release
			}
			_ = w.Head(200, nil, 0)
		}})
		limit := c.server.conf.Limits.IdleTime
		ask := func(more ...exchange.Field) {
			s := newFake(head("GET", more...), true)
			if !c.accept(s, c.next.Load()) {
				t.Fatal("not accepted")
			}
			c.dispatch(s)
			synctest.Wait()
		}
		after := func(d time.Duration, over bool) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if drains, hits := c.drains(), counters.Hits(limits.IdleTime); drains != over || (hits == 1) != over {
				t.Fatalf("drains %v, counted %d times, want %v", drains, hits, over)
			}
		}
		c.watchQuiet()
		after(limit-1, false)
		ask()
		after(limit-1, false)
		ask(field("x-wait", "1"))
		after(5*limit/2, false)
		close(release)
		synctest.Wait()
		after(limit-1, false)
		after(1, true)
		after(3*limit, true)
		c.stopQuiet()
		c.stopWorkers()
		c.tasks.Wait()
	})
}

// TestQuietStops: a connection that ends leaves no timer behind.
func TestQuietStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, counters := fakeConn(testLimits(), &handler{})
		c.watchQuiet()
		c.stopQuiet()
		c.tasks.Wait()
		time.Sleep(2 * c.server.conf.Limits.IdleTime)
		if n := counters.Hits(limits.IdleTime); n != 0 || c.drains() {
			t.Errorf("counted %d times after the end", n)
		}
	})
}

// TestPingIsNoRequest: a client that only keeps its connection alive does
// not keep it.
func TestPingIsNoRequest(t *testing.T) {
	t.Parallel() // it waits
	lim := testLimits()
	lim.IdleTime = 3 * time.Second // longer than a machine may stand still in a handshake
	e := serve(t, lim, &handler{serve: echo})
	qc, err := quic.DialAddr(e.ctx(), e.ln.Addr().String(), e.clientTLS(),
		&quic.Config{MaxIncomingUniStreams: 10, KeepAlivePeriod: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got := closedWith(t, e, qc); got != codeNoError {
		t.Errorf("closed with %v", got)
	}
	if n := e.counters.Hits(limits.IdleTime); n != 1 {
		t.Errorf("counted %d times", n)
	}
}
