package http2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestHitsOfOneWakeUpLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{stored: map[string]*exchange.Stored{"/a": object(100), "/b": object(200)}}
		c := open(t, h, nil)
		synctest.Wait()
		before := c.writes.Load()
		c.get(1, "/a")
		c.get(3, "/b", "priority", "u=1")
		c.headers(5, true, target("HEAD", "/a")...)
		c.flush()
		got := c.collect(1, 3, 5)
		if n := c.writes.Load() - before; n != 1 {
			t.Errorf("%d writes for the hits of one wake-up", n)
		}
		for id, want := range map[uint32]int{1: 100, 3: 200, 5: 0} {
			r := got[id]
			if r.reset != nil || len(r.body) != want || r.head.field(":status") != "200" {
				t.Errorf("stream %d: %+v", id, r)
			}
			for _, name := range []string{"content-type", "etag", "age", "cache-status", "date", "via"} {
				if r.head.field(name) == "" {
					t.Errorf("stream %d has no %s: %v", id, name, r.head.fields)
				}
			}
		}
		if l := got[5].head.field("content-length"); l != "100" || !got[5].head.end {
			t.Errorf("HEAD says length %q, end %v", l, got[5].head.end)
		}
		if h.hits.Load() != 3 || h.sentWhole.Load() != 3 || h.exchanges.Load() != 0 {
			t.Errorf("%d hits, %d sent, %d exchanges", h.hits.Load(), h.sentWhole.Load(), h.exchanges.Load())
		}
	})
}

func TestStoredDateStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := object(3)
		o.Head.Header.Add("date", "Sun, 06 Nov 1994 08:49:37 GMT")
		c := open(t, &stub{stored: map[string]*exchange.Stored{"/a": o}}, nil)
		c.get(1, "/a")
		c.flush()
		n := 0
		for _, f := range c.collect(1)[1].head.fields {
			if f.Name == "date" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d Date fields", n)
		}
	})
}

// A large hit waits for its client's windows, is taken from where it lies,
// and is given up once.
func TestLargeHit(t *testing.T) {
	for _, run := range []int{0, 1000, 16384, 100_001} {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, released := object(300_000), &atomic.Int64{}
				o.Content = &content{b: o.Content.From(0), run: run, released: released}
				h := &stub{stored: map[string]*exchange.Stored{"/a": o}}
				c := open(t, h, nil)
				c.get(1, "/a")
				c.flush()
				synctest.Wait()
				if n := c.server.conf.InFlight.Load(); n != 1 {
					t.Errorf("%d in flight", n)
				}
				if released.Load() != 0 || h.sentWhole.Load() != 0 {
					t.Error("given up before it was sent")
				}
				_ = c.framer.WriteWindowUpdate(0, 1<<20)
				_ = c.framer.WriteWindowUpdate(1, 100_000)
				c.flush()
				synctest.Wait()
				_ = c.framer.WriteWindowUpdate(1, 1<<20)
				c.flush()
				if got := c.collect(1)[1]; !bytes.Equal(got.body, object(300_000).Content.From(0)) {
					t.Errorf("%d bytes came, or others", len(got.body))
				}
				synctest.Wait()
				if released.Load() != 1 || h.sentWhole.Load() != 1 || c.server.conf.InFlight.Load() != 0 {
					t.Errorf("released %d, sent %d, in flight %d", released.Load(), h.sentWhole.Load(), c.server.conf.InFlight.Load())
				}
			})
		})
	}
}

func TestLargeHitIsGivenUpWithItsClient(t *testing.T) {
	for name, end := range map[string]func(c *client){
		"reset":      func(c *client) { _ = c.framer.WriteRSTStream(1, http2.ErrCodeCancel); c.flush() },
		"connection": func(c *client) { _ = c.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, released := object(300_000), &atomic.Int64{}
				o.Content = &content{b: o.Content.From(0), released: released}
				h := &stub{stored: map[string]*exchange.Stored{"/a": o}}
				c := open(t, h, nil)
				c.get(1, "/a")
				c.flush()
				synctest.Wait()
				end(c)
				synctest.Wait()
				if released.Load() != 1 || h.sentCut.Load() != 1 || c.server.conf.InFlight.Load() != 0 {
					t.Errorf("released %d, cut %d, in flight %d", released.Load(), h.sentCut.Load(), c.server.conf.InFlight.Load())
				}
			})
		})
	}
}

func TestExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			r.Interim(103, exchange.Header{{Name: "link", Value: "</x>"}})
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("read the content: %v", err)
			}
			_ = w.Head(201, exchange.Header{{Name: "x-length", Value: fmt.Sprint(r.Length)}, {Name: "connection", Value: "x"}}, -1)
			_, _ = w.Write(b)
			_ = w.Flush()
			_ = w.Trailer(exchange.Header{{Name: "server-timing", Value: r.Trailer().Get("server-timing")}})
		}}
		c := open(t, h, nil)
		c.post(1, "/up?x=1", "cookie", "a=1", "cookie", "b=2")
		_ = c.framer.WriteData(1, false, []byte("hello "))
		_ = c.framer.WriteDataPadded(1, false, []byte("world"), make([]byte, 200))
		c.headers(1, true, "server-timing", "w")
		c.flush()
		got := c.collect(1)[1]
		if len(got.interim) != 1 || got.interim[0].field("link") != "</x>" || got.interim[0].end {
			t.Errorf("interim %+v", got.interim)
		}
		if got.head.field(":status") != "201" || got.head.field("x-length") != "-1" || got.head.field("connection") != "" || got.head.field("date") == "" {
			t.Errorf("head %v", got.head.fields)
		}
		if string(got.body) != "hello world" || got.trailer.field("server-timing") != "w" || !got.trailer.end {
			t.Errorf("content %q, trailer %+v", got.body, got.trailer)
		}
	})
}

func TestContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			if r.Header.Has("expect") {
				t.Error("the expectation goes on")
			}
			b, _ := io.ReadAll(r.Body)
			ok(w, string(b))
		}}, nil)
		c.post(1, "/", "expect", "100-continue")
		c.flush()
		if e := c.await(http2.FrameHeaders); e.field(":status") != "100" {
			t.Errorf("got %+v", e)
		}
		_ = c.framer.WriteData(1, true, []byte("x"))
		c.flush()
		if got := c.collect(1)[1]; string(got.body) != "x" {
			t.Errorf("got %q", got.body)
		}
	})
}

// What an exchange sends does not pile up: it waits for its client.
func TestExchangeWaitsForItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := bytes.Repeat([]byte("0123456789"), 50_000)
		var written atomic.Int64
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			_ = w.Head(200, nil, int64(len(want)))
			for rest := want; len(rest) > 0; {
				n, err := w.Write(rest[:min(len(rest), 7000)])
				if err != nil {
					t.Errorf("write: %v", err)
					return
				}
				written.Add(int64(n))
				rest = rest[n:]
			}
		}}, nil)
		c.get(1, "/")
		c.flush()
		synctest.Wait()
		if n := written.Load(); n > defaultWindow+sendBuffer+7000 {
			t.Errorf("%d bytes were taken from the exchange", n)
		}
		_ = c.framer.WriteWindowUpdate(0, 1<<20)
		_ = c.framer.WriteWindowUpdate(1, 1<<20)
		c.flush()
		if got := c.collect(1)[1]; !bytes.Equal(got.body, want) {
			t.Errorf("%d bytes came, or others", len(got.body))
		}
	})
}

// Content that is more or less than was promised is seen to be wrong.
func TestPromisedLength(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func(w exchange.Writer)
		code  http2.ErrCode
	}{
		"too little": {func(w exchange.Writer) { _ = w.Head(200, nil, 5); _, _ = io.WriteString(w, "abc") }, http2.ErrCodeInternal},
		"too much":   {func(w exchange.Writer) { _ = w.Head(200, nil, 2); _, _ = io.WriteString(w, "abc") }, http2.ErrCodeInternal},
		"no head":    {func(exchange.Writer) {}, http2.ErrCodeInternal},
		"aborted":    {func(w exchange.Writer) { _ = w.Head(200, nil, -1); _ = w.Flush(); w.Abort() }, http2.ErrCodeInternal},
		"panic":      {func(exchange.Writer) { panic("BUG: of the test") }, http2.ErrCodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) { tc.serve(w) }}, nil)
				c.get(1, "/")
				c.flush()
				if got := c.collect(1)[1]; got.reset == nil || got.reset.code != tc.code {
					t.Errorf("got %+v", got)
				}
				c.get(3, "/") // the connection goes on
				c.flush()
				c.collect(3)
			})
		})
	}
}

// A head larger than a frame goes out in several.
func TestLargeHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value := strings.Repeat("~", 60_000)
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			_ = w.Head(200, exchange.Header{{Name: "x", Value: value}}, 0)
		}}, nil)
		c.get(1, "/")
		c.flush()
		if got := c.collect(1)[1]; got.head.field("x") != value || !got.head.end {
			t.Error("the field did not come whole")
		}
	})
}

// A client whose decoder has a smaller table hears that ours is empty.
func TestSmallerTable(t *testing.T) {
	for name, path := range map[string]string{"hit": "/a", "exchange": "/b"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &stub{stored: map[string]*exchange.Stored{"/a": object(1)}}
				c := open(t, h, nil, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
				c.get(1, path)
				c.flush()
				first := c.collect(1)[1].head.block
				c.get(3, path)
				c.flush()
				second := c.collect(3)[3].head.block
				if first[0] != tableSize || second[0] == tableSize {
					t.Errorf("the blocks begin with %x and %x", first[0], second[0])
				}
			})
		})
	}
}

// Nothing of a hit is left in what the next request uses.
func TestExchangeAfterHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{stored: map[string]*exchange.Stored{"/a": object(1000)}}
		c := open(t, h, nil)
		c.get(1, "/a", "x-secret", "1")
		c.post(3, "/echo")
		_ = c.framer.WriteData(3, true, []byte("x"))
		c.get(5, "/other")
		c.flush()
		got := c.collect(1, 3, 5)
		if len(got[1].body) != 1000 || string(got[3].body) != "served /echo\n" || string(got[5].body) != "served /other\n" {
			t.Errorf("got %q, %q and %q", got[1].body, got[3].body, got[5].body)
		}
	})
}
