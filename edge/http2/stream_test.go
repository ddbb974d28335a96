package http2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// What is not read of some requests does not hold up another.
func TestUnreadContentHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
			if r.Path == "/held" {
				<-ctx.Done()
				return
			}
			n, err := io.Copy(io.Discard, r.Body)
			ok(w, fmt.Sprint(n, err))
		}}, nil)
		window := 1 << 20
		data := func(id uint32, end bool, n int) {
			for ; n > 0; n -= 16_000 {
				m := min(n, 16_000)
				_ = c.framer.WriteData(id, end && m == n, make([]byte, m))
				c.flush()
				for window -= m; window < 16_000; {
					if e := c.await(http2.FrameWindowUpdate); e.stream == 0 {
						window += int(e.n)
					}
				}
			}
		}
		for i := range uint32(60) {
			c.post(2*i+1, "/held")
			data(2*i+1, false, 60_000)
		}
		c.post(1001, "/")
		data(1001, true, 60_000)
		if got := c.collect(1001)[1001]; string(got.body) != "60000 <nil>" {
			t.Errorf("got %+v", got)
		}
	})
}

// What is read of a long request lets more come.
func TestLongRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1_000_000
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			ok(w, fmt.Sprint(n, err))
		}}, nil)
		c.post(1, "/", "content-length", fmt.Sprint(size))
		windows := map[uint32]int{0: 1 << 20, 1: 64 << 10}
		for left := size; left > 0; {
			n := min(left, 10_000, windows[0], windows[1])
			left -= n
			windows[0] -= n
			windows[1] -= n
			if n > 0 {
				_ = c.framer.WriteData(1, left == 0, make([]byte, n))
				c.flush()
				continue
			}
			e := c.next()
			if e.kind != http2.FrameWindowUpdate {
				t.Fatalf("got %+v", e)
			}
			windows[e.stream] += int(e.n)
		}
		if got := c.collect(1)[1]; string(got.body) != fmt.Sprint(size, " <nil>") {
			t.Errorf("got %+v", got)
		}
	})
}

// An answer before the end of the request ends both; what still comes is
// dropped.
func TestUnwantedContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan error, 1)
		var late io.ReadCloser
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			ok(w, "enough")
			late = r.Body
		}}, nil)
		for _, id := range []uint32{1, 3} {
			c.post(id, "/")
			_ = c.framer.WriteData(id, false, make([]byte, 1000))
			c.flush()
			if got := c.collect(id)[id]; string(got.body) != "enough" || got.reset != nil {
				t.Errorf("got %+v", got)
			}
			if e := c.await(http2.FrameRSTStream); e.code != http2.ErrCodeNo || e.stream != id {
				t.Errorf("got %+v", e)
			}
			_ = c.framer.WriteData(id, false, make([]byte, 1000))
			_ = c.framer.WriteData(id, true, nil)
			c.flush()
		}
		go func() { _, err := late.Read(make([]byte, 1)); left <- err }()
		if err := <-left; err == nil || err == io.EOF {
			t.Errorf("a reader that was left behind got %v", err)
		}
		if c.counters.Hits(limits.StreamResets) != 0 || c.conn.budget.resets != 0 {
			t.Error("a good end was counted as a reset")
		}
	})
}

// A request's context ends with its stream, and with the connection, which
// waits for the exchange.
func TestClientLeaves(t *testing.T) {
	for name, leave := range map[string]func(c *client){
		"reset":      func(c *client) { _ = c.framer.WriteRSTStream(1, http2.ErrCodeCancel); c.flush() },
		"connection": func(c *client) { _ = c.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 3)
				c := open(t, &stub{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
					_, err := io.ReadAll(r.Body)
					ended <- err
					<-ctx.Done()
					ended <- w.Head(200, nil, -1)
					ended <- w.Flush()
				}}, nil)
				c.post(1, "/")
				_ = c.framer.WriteData(1, false, []byte("x"))
				c.flush()
				synctest.Wait()
				leave(c)
				for range 3 {
					if err := <-ended; !errors.Is(err, errReset) && !errors.Is(err, errConnectionLost) {
						t.Errorf("the exchange got %v", err)
					}
				}
				synctest.Wait()
				if n := c.server.conf.InFlight.Load(); n != 0 {
					t.Errorf("%d in flight", n)
				}
			})
		})
	}
}

// The windows that SETTINGS take back may be less than nothing.
func TestNegativeWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{stored: map[string]*exchange.Stored{"/": object(100_000)}}, nil,
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: 50_000})
		c.get(1, "/")
		c.flush()
		got := 0
		read := func() {
			synctest.Wait()
			for len(c.events) > 0 {
				e := c.next()
				got += len(e.data) * b2i(e.kind == http2.FrameData)
			}
		}
		read()
		_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10_000})
		_ = c.framer.WriteWindowUpdate(1, 39_000)
		c.flush()
		if read(); got != 50_000 {
			t.Errorf("%d bytes within the first window", got)
		}
		_ = c.framer.WriteWindowUpdate(1, 1001)
		c.flush()
		if read(); got != 50_001 {
			t.Errorf("%d bytes with one more", got)
		}
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// order returns the streams of DATA frames as they come, until each is whole.
func (c *client) order(ids ...uint32) (order []uint32) {
	left := len(ids)
	for left > 0 {
		e := c.next()
		if e.kind == http2.FrameData {
			order = append(order, e.stream)
			left -= b2i(e.end)
		}
	}
	return order
}

func TestPriorities(t *testing.T) {
	for _, tc := range []struct {
		name  string
		paths []string // and the priority of each stream
		want  []uint32
	}{
		{"in turns without a word", []string{"/l", "", "/l", ""}, []uint32{1, 3, 1, 3}},
		{"in turns", []string{"/l", "i", "/l", "u=3, i"}, []uint32{1, 3, 1, 3}},
		{"one after the other", []string{"/l", "u=3", "/l", "u=3"}, []uint32{1, 3}},
		{"urgent first", []string{"/l", "u=5", "/l", "u=1"}, []uint32{3, 1}},
		{"small first", []string{"/l", "", "/s", ""}, []uint32{3, 1}},
		{"urgent before small", []string{"/l", "u=0", "/s", "u=4"}, []uint32{1, 3}},
		{"both ways", []string{"/l", "u=3", "/l", "i"}, []uint32{1, 3, 1, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &stub{stored: map[string]*exchange.Stored{"/l": object(4 * 12_000), "/s": object(100), "/first": object(60_000)}}
				c := open(t, h, nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
				_ = c.framer.WriteWindowUpdate(0, 1<<20)
				// With the connection's window used up all of them wait.
				c.conn.mu.Lock()
				c.conn.window = 0
				c.conn.mu.Unlock()
				var ids []uint32
				for i := 0; i < len(tc.paths); i += 2 {
					id := uint32(i + 1)
					ids = append(ids, id)
					c.get(id, tc.paths[i], "priority", tc.paths[i+1])
				}
				c.flush()
				if got := slices.Compact(c.order(ids...)); !slices.Equal(got, tc.want) {
					t.Errorf("order %v, want %v", got, tc.want)
				}
			})
		})
	}
}

func TestOrderOf(t *testing.T) {
	for in, want := range map[string]order{
		"":                        {3, false, false},
		"u=0":                     {0, false, true},
		"u=7, i":                  {7, true, true},
		"i=?1":                    {3, true, true},
		"i=?0":                    {3, false, true},
		"u=8":                     {3, false, false},
		"u=1.5, i":                {3, true, true},
		"u=2;x=y,i;a":             {2, true, true},
		"U=1":                     {3, false, false},
		"i=1":                     {3, false, false},
		"x=(a b), u=4":            {4, false, true},
		",,=,u":                   {3, false, false},
		"u=1, u=2":                {2, false, true},
		"\tu=6\t,\ti\t":           {6, true, true},
		"u=1,i,u=5,i=?0,zz=\",\"": {5, false, true},
	} {
		if got := orderOf(in); got != want {
			t.Errorf("%q: %+v, want %+v", in, got, want)
		}
	}
}

func TestPriorityUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{stored: map[string]*exchange.Stored{"/l": object(200_000)}}
		c := open(t, h, nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		c.get(1, "/l", "priority", "u=3")
		c.get(3, "/l", "priority", "u=3")
		c.raw(framePriorityUpdate, 0, 0, "\x00\x00\x00\x03u=1")
		_ = c.framer.WriteWindowUpdate(0, 1<<20)
		c.flush()
		got := slices.Compact(c.order(1, 3))
		// What was produced before it came stays.
		if len(got) == 0 || got[len(got)-1] != 1 || len(got) > 3 {
			t.Errorf("order %v", got)
		}
	})
}

func TestDrain(t *testing.T) {
	for name, tc := range map[string]struct{ answers, busy bool }{
		"idle":               {true, false},
		"in flight":          {true, true},
		"without an answer":  {false, false},
		"busy and no answer": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
					<-release
					ok(w, "done")
				}}, nil)
				if tc.busy {
					c.get(1, "/")
					c.flush()
				}
				synctest.Wait()
				start := time.Now()
				c.conn.Drain()
				c.conn.Drain()
				if e := c.await(http2.FrameGoAway); e.last != maxStreamID || e.code != http2.ErrCodeNo {
					t.Errorf("first %+v", e)
				}
				ping := c.await(http2.FramePing)
				// One more was on its way.
				c.get(3, "/")
				if tc.answers {
					_ = c.framer.WritePing(true, [8]byte(ping.data))
				}
				c.flush()
				if e := c.await(http2.FrameGoAway); e.last != 3 {
					t.Errorf("second %+v", e)
				}
				if d := time.Since(start); (d >= grace) == tc.answers {
					t.Errorf("after %v", d)
				}
				c.get(5, "/") // too late: it gets no answer
				c.flush()
				close(release)
				ids := []uint32{3}
				if tc.busy {
					ids = append(ids, 1)
				}
				for id, r := range c.collect(ids...) {
					if string(r.body) != "done" {
						t.Errorf("stream %d: %+v", id, r)
					}
				}
				<-c.done
			})
		})
	}
}

func TestDrainBeforeServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, &stub{}, nil)
		c.conn.Drain()
		go c.read()
		if e := c.await(http2.FrameGoAway); e.last != maxStreamID {
			t.Errorf("got %+v", e)
		}
		<-c.done
	})
}

func TestTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			if r.Upgrade != "websocket" || r.Method != "GET" || r.Body != nil {
				t.Errorf("request %+v", r)
			}
			tun, err := w.Tunnel(exchange.Header{{Name: "sec-websocket-protocol", Value: "chat"}, {Name: "upgrade", Value: "websocket"}})
			if err != nil {
				t.Error(err)
				return
			}
			_, err = io.Copy(tun, tun)
			_ = tun.(interface{ CloseWrite() error }).CloseWrite()
			ended <- errors.Join(err, tun.Close())
		}}, nil)
		c.headers(1, false, target("CONNECT", "/chat", ":protocol", "websocket")...)
		c.flush()
		e := c.await(http2.FrameHeaders)
		if e.field(":status") != "200" || e.field("sec-websocket-protocol") != "chat" || e.field("upgrade") != "" || e.field("content-length") != "" || e.end {
			t.Errorf("head %+v", e)
		}
		for _, text := range []string{"one", "two"} {
			_ = c.framer.WriteData(1, false, []byte(text))
			c.flush()
			if e := c.await(http2.FrameData); string(e.data) != text {
				t.Errorf("got %q", e.data)
			}
		}
		_ = c.framer.WriteData(1, true, nil)
		c.flush()
		if e := c.await(http2.FrameData); !e.end {
			t.Errorf("got %+v", e)
		}
		if err := <-ended; err != nil {
			t.Errorf("the tunnel ended by %v", err)
		}
		synctest.Wait()
		if c.server.conf.InFlight.Load() != 0 || c.conn.budget.resets != 0 {
			t.Error("the stream did not end well")
		}
	})
}

// Our end first, theirs later; and an end that is none.
func TestTunnelHalfClose(t *testing.T) {
	for name, tc := range map[string]struct {
		finish func(c *client)
		want   error
		reset  bool
	}{
		"theirs":  {func(c *client) { _ = c.framer.WriteData(1, true, []byte("bye")) }, nil, false},
		"a reset": {func(c *client) { _ = c.framer.WriteRSTStream(1, http2.ErrCodeCancel) }, errReset, false},
		"ours":    {nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := make(chan error, 1)
				var text []byte
				c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
					tun, err := w.Tunnel(nil)
					if err != nil {
						t.Error(err)
						return
					}
					_ = tun.(interface{ CloseWrite() error }).CloseWrite()
					if _, err := tun.Write([]byte("x")); err == nil {
						t.Error("written behind the end")
					}
					if tc.finish != nil {
						text, err = io.ReadAll(tun)
					}
					got <- err
					_ = tun.Close()
				}}, nil)
				c.headers(1, false, target("CONNECT", "/chat", ":protocol", "websocket")...)
				c.flush()
				r := c.collect(1)[1]
				if tc.finish != nil {
					tc.finish(c)
					c.flush()
				}
				if err := <-got; !errors.Is(err, tc.want) || tc.want == nil && tc.finish != nil && !bytes.Equal(text, []byte("bye")) {
					t.Errorf("read %q and %v", text, err)
				}
				if tc.reset && r.reset == nil {
					e := c.await(http2.FrameRSTStream)
					r.reset = &e
				}
				if tc.reset && r.reset.code != http2.ErrCodeCancel {
					t.Errorf("got %+v", r.reset)
				}
				synctest.Wait()
				if c.server.conf.InFlight.Load() != 0 {
					t.Error("still in flight")
				}
			})
		})
	}
}

// Trailer fields over the limit are dropped whole.
func TestOversizeTrailersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan exchange.Header, 1)
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			_, _ = io.ReadAll(r.Body)
			got <- r.Trailer()
			ok(w, "")
		}}, func(l *limits.Limits) { l.RequestTrailers = 30 })
		for i, tc := range []struct {
			value string
			kept  int
		}{{"small", 1}, {"more than thirty bytes with its name", 0}} {
			id := uint32(2*i + 1)
			c.post(id, "/")
			c.headers(id, true, "server-timing", tc.value)
			c.flush()
			if h := <-got; len(h) != tc.kept {
				t.Errorf("%q: %v", tc.value, h)
			}
			c.collect(id)
		}
		if c.counters.Hits(limits.RequestTrailers) != 1 {
			t.Error("the limit was not counted")
		}
	})
}
