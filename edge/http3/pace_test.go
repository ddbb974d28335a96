package http3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// TestHeaderTime: a head that dribbles in is cut off.
func TestHeaderTime(t *testing.T) {
	get := head("GET")
	for _, tc := range []struct {
		name string
		in   []byte
		hits uint64
	}{
		{"nothing comes", nil, 1},
		{"half a head", get[:20], 1},
		{"a head without an end", get, 1},
		{"a head and an empty frame", join(get, frame(0x21)), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, session, counters := fakeConn(limits.Default(), &handler{serve: func(context.Context, exchange.Writer, *exchange.Request) {
					t.Error("served")
				}})
				f := newFake(tc.in, false)
				start := time.Now()
				c.serve(f)
				if d := time.Since(start); d != limits.Default().HeaderTime {
					t.Errorf("cut off after %v", d)
				}
				if _, _, read, write := f.state(); read != codeRequestRejected || write != codeRequestRejected || session.closed() != 0 {
					t.Errorf("reset with %v and %v, connection %v", read, write, session.closed())
				}
				if n := counters.Hits(limits.HeaderTime); n != tc.hits {
					t.Errorf("counted %d times", n)
				}
			})
		})
	}
}

// TestLateEnd: the end of a stream that comes behind the head is waited for
// where that is cheap, and means that there is no content.
func TestLateEnd(t *testing.T) {
	for _, tc := range []struct {
		name, method string
		after        time.Duration
		body         bool
	}{
		{"GET", "GET", 5 * time.Second, false},
		{"DELETE at once", "DELETE", grace / 2, false},
		{"DELETE late", "DELETE", 2 * grace, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var body, served bool
				c, _, _ := fakeConn(limits.Default(), &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
					body, served = r.Body != nil, true
					if r.Body != nil {
						if n, err := io.Copy(io.Discard, r.Body); n != 0 || err != nil {
							t.Errorf("read %d, %v", n, err)
						}
					}
					_ = w.Head(200, nil, 0)
				}})
				f := newFake(head(tc.method), false)
				time.AfterFunc(tc.after, func() { f.send(nil, true) })
				c.serve(f)
				if !served || body != tc.body {
					t.Errorf("served %v, with a body %v", served, body)
				}
				if _, closed, _, _ := f.state(); !closed {
					t.Error("not answered")
				}
			})
		})
	}
}

// TestSlowBody: a request body must keep the pace, but the time in which
// nobody reads it is not the client's.
func TestSlowBody(t *testing.T) {
	lim := limits.Default()
	for _, tc := range []struct {
		name  string
		rate  int // bytes per second that the client sends
		pause time.Duration
		ok    bool
	}{
		{"as fast as it must be", 2 * lim.MinRate, 0, true},
		{"too slow", lim.MinRate / 2, 0, false},
		{"silent", 0, 0, false},
		{"an origin that waits", 2 * lim.MinRate, time.Hour, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const seconds = 60
				total := 2 * lim.MinRate * seconds
				var got int64
				var failed error
				c, _, counters := fakeConn(lim, &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
					time.Sleep(tc.pause)
					got, failed = io.Copy(io.Discard, r.Body)
					_ = w.Head(200, nil, 0)
				}})
				f := newFake(join(head("POST"), appendDataHeader(nil, int64(total))), false)
				done := make(chan struct{})
				client := time.AfterFunc(0, func() {
					for n := 0; n < total && tc.rate > 0; n += tc.rate {
						select {
						case <-done:
							return
						case <-time.After(time.Second):
							f.send(make([]byte, min(tc.rate, total-n)), n+tc.rate >= total)
						}
					}
				})
				defer client.Stop()
				c.serve(f)
				close(done)
				if tc.ok && (failed != nil || got != int64(total)) || !tc.ok && !timedOut(failed) {
					t.Errorf("read %d of %d, %v", got, total, failed)
				}
				want := uint64(0)
				if !tc.ok {
					want = 1
				}
				if n := counters.Hits(limits.MinRate); n != want {
					t.Errorf("counted %d times, want %d", n, want)
				}
			})
		})
	}
}

// TestSlowReader: a client that does not read its response is cut off, and
// the handler learns how much it got.
func TestSlowReader(t *testing.T) {
	lim := limits.Default()
	data := bytes.Repeat([]byte("x"), 1<<20)
	for _, tc := range []struct {
		name string
		rate int // bytes per second that the client reads
		ok   bool
	}{
		{"reads enough", 20000, true},
		{"reads too slowly", lim.MinRate / 2, false},
		{"reads nothing", 0, false},
	} {
		for _, hit := range []bool{true, false} {
			t.Run(tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					kept := &content{data: data}
					sent, why := int64(-1), exchange.NoCause
					h := &handler{sent: func(n int64, w exchange.Cause) { sent, why = n, w }}
					if hit {
						h.hit = stored(kept)
					}
					h.serve = func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
						_ = w.Head(200, nil, int64(len(data)))
						n, err := w.Write(data)
						if sent = int64(n); err != nil {
							why = exchange.ClientAborted
							w.Abort()
						}
					}
					c, session, counters := fakeConn(lim, h)
					f := newFake(head("GET"), true)
					f.window = 1000
					done := make(chan struct{})
					reader := time.AfterFunc(time.Second, func() {
						for tc.rate > 0 {
							select {
							case <-done:
								return
							case <-time.After(time.Second):
								f.allow(tc.rate)
							}
						}
					})
					defer reader.Stop()
					c.serve(f)
					close(done)
					out, closed, _, write := f.state()
					if tc.ok {
						if !closed || sent != int64(len(data)) || why != exchange.NoCause || len(read(t, bytes.NewReader(out)).body) != len(data) {
							t.Errorf("closed %v, sent %d, %v", closed, sent, why)
						}
						return
					}
					if write != codeRequestCancelled || why != exchange.ClientAborted || session.closed() != 0 {
						t.Errorf("reset with %v, %v, connection %v", write, why, session.closed())
					}
					if sent < 0 || sent > int64(len(out)) || sent < int64(len(out))-200 {
						t.Errorf("said %d bytes of content were sent, of %d in all", sent, len(out))
					}
					if n := counters.Hits(limits.BodyStall); n != 1 {
						t.Errorf("counted %d times", n)
					}
					if hit && kept.released.Load() != 1 {
						t.Errorf("content released %d times", kept.released.Load())
					}
				})
			})
		}
	}
}

// TestBodyClosed: closing a body ends a read in progress, and what is left
// is not waited for.
func TestBodyClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed error
		c, session, counters := fakeConn(limits.Default(), &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			reading := make(chan struct{})
			go func() {
				defer close(reading)
				_, failed = io.Copy(io.Discard, r.Body)
			}()
			synctest.Wait()
			if err := r.Body.Close(); err != nil {
				t.Error(err)
			}
			<-reading
			_ = w.Head(413, nil, 0)
		}})
		f := newFake(join(head("POST"), appendDataHeader(nil, 100), make([]byte, 10)), false)
		start := time.Now()
		c.serve(f)
		if time.Since(start) > time.Second || !errors.Is(failed, errBodyClosed) || session.closed() != 0 {
			t.Errorf("took %v, read %v, connection %v", time.Since(start), failed, session.closed())
		}
		if _, closed, read, write := f.state(); !closed || read != codeNoError || write != 0 {
			t.Errorf("closed %v, cancelled with %v and %v", closed, read, write)
		}
		if n := counters.Hits(limits.MinRate); n != 0 {
			t.Errorf("counted %d times", n)
		}
	})
}
