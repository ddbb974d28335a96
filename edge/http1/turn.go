package http1

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/message"
	"github.com/landfall-cdn/landfall/edge/wire"
)

// turn is one exchange that ServeExchange answers.
type turn struct {
	// Static while ServeExchange runs.
	c      *Conn
	head   head
	r      exchange.Request
	body   *body // nil when no content follows the head
	cancel context.CancelFunc

	w     writer
	watch watch

	stopped bool // owned by the connection's goroutine
}

// turn answers the request whose head is the first n bytes of the input, or
// is refused for why. It reports whether the connection goes on.
func (c *Conn) turn(ctx context.Context, n int, why exchange.Refusal) bool {
	// What was answered before must not wait for this one.
	if c.queued {
		if !c.flush() {
			return false
		}
		c.now = time.Now()
	}
	ctx, cancel := context.WithCancel(ctx)
	t := c.newTurn(n, why, cancel)
	defer t.stop()
	if t.body == nil && why == exchange.Admitted {
		t.watch.start()
	}
	c.s.conf.Handler.ServeExchange(ctx, &t.w, &t.r)
	t.stop()
	c.now = time.Now()
	return t.end()
}

// newTurn takes the head out of the input and reads it again, into memory
// of its own.
func (c *Conn) newTurn(n int, why exchange.Refusal, cancel context.CancelFunc) *turn {
	own := bytes.Clone(c.in.bytes()[:n])
	c.in.drop(n)
	c.in.release()
	t := &turn{c: c, r: c.base, cancel: cancel, watch: watch{conn: c.p.Conn, gone: cancel}}
	t.w.t, t.w.left = t, -1
	t.r.Arrived = c.now
	t.r.Header = make(exchange.Header, 0, bytes.Count(own, []byte{'\n'}))
	_ = t.head.parse(own, &t.r, &c.s.conf.Limits) // why says it already
	if why != exchange.Admitted {
		t.r.Refused, t.r.Length, t.r.Upgrade = why, 0, ""
		if t.r.Path == "" { // refused before it was looked at; for the record
			t.r.Path, t.r.Query = message.Target(t.head.target)
			t.r.Host = t.head.host
		}
		t.head.close = true
		return t
	}
	if t.r.Proto == exchange.HTTP11 {
		t.r.Interim = func(status int, h exchange.Header) { _ = t.w.Interim(status, h) }
	}
	if t.head.content() {
		t.body = newBody(t)
		t.r.Body = t.body
		if t.head.chunked {
			t.r.Trailer = t.body.trailer
		}
	}
	return t
}

// stop waits for all that ServeExchange may have left running.
func (t *turn) stop() {
	if t.stopped {
		return
	}
	t.stopped = true
	t.w.stop()
	if t.body != nil {
		t.body.stop()
	}
	t.watch.stop()
	t.cancel()
	t.c.p.Conn.Resume()
	t.c.until = time.Time{} // the deadline was others'
}

// end finishes the answer, and the request.
func (t *turn) end() bool {
	c := t.c
	c.queued = true
	unread := t.body != nil && !t.body.whole.Load()
	switch t.w.finish() {
	case answerTunnel:
		return c.ends(endTunnel)
	case answerCut:
		return c.ends(endAborted)
	case answerFailed:
		return c.ends(endClientLeft)
	case answerLast:
		if t.r.Refused != exchange.Admitted {
			return c.finish(false, endRefused)
		}
		return c.finish(t.head.close && !unread, endAnswered)
	case answerKept:
	}
	if !unread {
		return true
	}
	if !c.flush() {
		return false
	}
	if !t.body.drain() {
		c.linger()
		return c.ends(endUnread)
	}
	return true
}

// watch notices a client that leaves while it waits for its answer.
type watch struct {
	// Static.
	conn *wire.Conn
	gone func()

	wg sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	running, over bool
}

// start begins to read ahead, once nobody else reads any more.
func (w *watch) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running || w.over {
		return
	}
	w.running = true
	_ = w.conn.SetReadDeadline(time.Time{}) // an error shows in the read
	w.wg.Go(func() {
		if err := w.conn.Ahead(); err != nil && !isTimeout(err) {
			w.gone()
		}
	})
}

// stop ends the reading. What was read stays for the next request.
func (w *watch) stop() {
	w.mu.Lock()
	w.over = true
	running := w.running
	w.mu.Unlock()
	if running {
		_ = w.conn.SetReadDeadline(past)
		w.wg.Wait()
	}
}
