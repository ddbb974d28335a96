package origin

import (
	"context"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// wait is what a try is waiting for. Waits come in this order; a later
// one cannot be followed by an earlier one.
type wait uint8

const (
	noWait    wait = iota
	forConn        // a connection that may be used
	forWriter      // the endpoint to take more of the request
	forHead        // the head of the final response
	forBody        // more of the response's body
)

// expired says what is wrong when a wait takes too long.
var expired = [...]struct {
	cause exchange.Cause
	what  string
}{
	noWait:    {exchange.ProxyInternalError, ""},
	forConn:   {exchange.ConnectionLimitReached, "all connections to the endpoint were in use for too long"},
	forWriter: {exchange.HTTPResponseTimeout, "endpoint took no more of the request for too long"},
	forHead:   {exchange.HTTPResponseTimeout, "endpoint sent no response head in time"},
	forBody:   {exchange.ConnectionReadTimeout, "endpoint sent no more of the response's body for too long"},
}

// timeoutError is the error of an expired wait.
type timeoutError string

func (e timeoutError) Error() string { return string(e) }
func (timeoutError) Timeout() bool   { return true }

// watch cancels a try when one of its waits takes too long.
type watch struct {
	// Static.
	cancel context.CancelCauseFunc

	mu sync.Mutex
	// Guarded by mu.
	timer *time.Timer
	now   wait
	floor wait // earlier waits are over
	until time.Time
}

// begin starts to wait, unless that wait is over.
func (w *watch) begin(k wait, limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k < w.floor {
		return
	}
	w.now, w.until = k, time.Now().Add(limit)
	if w.timer == nil {
		w.timer = time.AfterFunc(limit, w.fire)
		return
	}
	w.timer.Reset(limit)
}

// end stops waiting for k. It leaves any other wait alone.
func (w *watch) end(k wait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == k {
		w.rest()
	}
}

// pass ends every wait before k for good.
func (w *watch) pass(k wait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.floor = k
	if w.now < k {
		w.rest()
	}
}

func (w *watch) rest() {
	w.now = noWait
	if w.timer != nil {
		w.timer.Stop()
	}
}

// fire may run late, when the wait it was meant for is over and another
// has begun.
func (w *watch) fire() {
	w.mu.Lock()
	k := w.now
	late := k == noWait || time.Until(w.until) > 0
	w.mu.Unlock()
	if late {
		return
	}
	w.cancel(&exchange.Error{Cause: expired[k].cause, Err: timeoutError(expired[k].what)})
}
