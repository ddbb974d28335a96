package http3

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// TestWorkersEnd: workers are there while requests come, and gone when the
// connection falls silent.
func TestWorkersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c, _, _ := fakeConn(limits.Default(), &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			if r.Header.Has("x-wait") {
				<-release
			}
			_ = w.Head(200, nil, 0)
		}})
		ask := func(more ...exchange.Field) {
			if c.next.Add(streamStep); !c.workers.room(100) {
				t.Fatal("no room")
			}
			c.dispatch(newFake(head("GET", more...), true))
			synctest.Wait()
		}
		idle := func(want int64) {
			t.Helper()
			synctest.Wait()
			if n := c.workers.idle.Load(); n != want {
				t.Errorf("%d workers wait, want %d", n, want)
			}
		}
		for range 2 * idleWorkers {
			ask(field("x-wait", "1"))
		}
		close(release)
		idle(idleWorkers)
		ask() // by one of those that wait
		idle(idleWorkers)
		time.Sleep(3 * silence)
		idle(0)
		ask()
		idle(1)
		time.Sleep(3 * silence)
		idle(0)
		ask()
		c.stopWorkers()
		c.tasks.Wait()
		idle(0)
	})
}

// TestRoom: requests beyond the limit find no room, and those that end make
// some.
func TestRoom(t *testing.T) {
	var w workers
	if !w.room(1) || w.room(1) {
		t.Error("one request may be answered at a time")
	}
	w.active.Add(-1)
	if !w.room(1) {
		t.Error("no room after the end of a request")
	}
}
