package http2

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// held is a handler whose exchanges last until their client leaves.
func held() *stub {
	return &stub{serve: func(ctx context.Context, _ exchange.Writer, _ *exchange.Request) { <-ctx.Done() }}
}

// ends expects GOAWAY by a limit, and the end.
func (c *client) ends(code http2.ErrCode, limit limits.Name) {
	c.t.Helper()
	if e := c.await(http2.FrameGoAway); e.code != code {
		c.t.Errorf("GOAWAY says %v (%s), want %v", e.code, e.data, code)
	}
	<-c.done
	if n := c.counters.Hits(limit); n != 1 {
		c.t.Errorf("%v was counted %d times", limit, n)
	}
}

func TestControlFloods(t *testing.T) {
	for name, one := range map[string]func(c *client){
		"PING":            func(c *client) { _ = c.framer.WritePing(false, [8]byte{}) },
		"PING answers":    func(c *client) { _ = c.framer.WritePing(true, [8]byte{}) },
		"SETTINGS":        func(c *client) { _ = c.framer.WriteSettings() },
		"PRIORITY":        func(c *client) { c.raw(framePriority, 0, 7, "\x00\x00\x00\x00\x00") },
		"PRIORITY_UPDATE": func(c *client) { c.raw(framePriorityUpdate, 0, 0, "\x00\x00\x00\x01u=1") },
		"empty DATA":      func(c *client) { _ = c.framer.WriteData(1, false, nil) },
		"padding only":    func(c *client) { _ = c.framer.WriteDataPadded(1, false, nil, make([]byte, 8)) },
		"WINDOW_UPDATE":   func(c *client) { _ = c.framer.WriteWindowUpdate(1, 1) },
		"unknown":         func(c *client) { c.raw(0x55, 0, 1, "") },
		"GOAWAY":          func(c *client) { _ = c.framer.WriteGoAway(0, 0, nil) },
		"reset twice":     func(c *client) { _ = c.framer.WriteWindowUpdate(3, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, held(), func(l *limits.Limits) { l.ControlFrames = 100 })
				c.post(1, "/")
				c.get(3, "/")
				_ = c.framer.WriteRSTStream(3, http2.ErrCodeCancel)
				for range 90 {
					one(c)
				}
				c.flush()
				if c.over() {
					t.Fatal("cut within the limit")
				}
				for range 20 {
					one(c)
				}
				c.flush()
				c.ends(http2.ErrCodeEnhanceYourCalm, limits.ControlFrames)
			})
		})
	}
}

// What comes with content and requests is no flood, however long it lasts;
// nor is a PING now and then.
func TestControlFramesThatBelong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{stored: map[string]*exchange.Stored{"/": object(5000)}}, func(l *limits.Limits) { l.ControlFrames = 10 })
		for i := range uint32(200) {
			id := 2*i + 1
			c.get(id, "/")
			c.flush()
			c.collect(id)
			_ = c.framer.WriteWindowUpdate(0, 5000)
			_ = c.framer.WriteWindowUpdate(id, 5000)
			_ = c.framer.WritePing(false, [8]byte{})
			c.flush()
		}
		for range 100 {
			time.Sleep(2 * time.Second)
			_ = c.framer.WritePing(false, [8]byte{})
			c.flush()
			if c.over() {
				t.Fatal("cut")
			}
			c.await(http2.FramePing)
			c.conn.mu.Lock()
			c.conn.quiet = time.Now() // not the idle limit's turn
			c.conn.mu.Unlock()
		}
	})
}

// A client that makes us send content in crumbs is flooding.
func TestTinyWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{stored: map[string]*exchange.Stored{"/": object(100_000)}},
			func(l *limits.Limits) { l.ControlFrames = 100 }, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		c.get(1, "/")
		for range 120 {
			_ = c.framer.WriteWindowUpdate(1, 1)
			c.flush()
		}
		c.ends(http2.ErrCodeEnhanceYourCalm, limits.ControlFrames)
	})
}

func TestResets(t *testing.T) {
	for name, tc := range map[string]struct {
		path string
		one  func(c *client, id uint32)
	}{
		"rapid reset": {"/wait", func(c *client, id uint32) { _ = c.framer.WriteRSTStream(id, http2.ErrCodeCancel) }},
		"of hits":     {"/hit", func(c *client, id uint32) { _ = c.framer.WriteRSTStream(id, http2.ErrCodeCancel) }},
		"made us reset by a window": {"/wait", func(c *client, id uint32) {
			_ = c.framer.WriteWindowUpdate(id, 1<<31-1)
		}},
		"made us reset by nothing": {"/wait", func(c *client, id uint32) { c.raw(frameWindowUpdate, 0, id, "\x00\x00\x00\x00") }},
		"made us reset by DATA":    {"/wait", func(c *client, id uint32) { _ = c.framer.WriteData(id, true, []byte("x")) }},
		"made us reset by a head":  {"/wait", func(c *client, id uint32) { c.headers(id, true, "x", "y") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := held()
				h.stored = map[string]*exchange.Stored{"/hit": object(10)}
				c := open(t, h, func(l *limits.Limits) { l.StreamResets = 50; l.ControlFrames = 10000 })
				for i := range uint32(40) {
					c.get(2*i+1, tc.path)
					tc.one(c, 2*i+1)
					c.flush()
				}
				if c.over() {
					t.Fatal("cut within the limit")
				}
				for i := range uint32(60) {
					c.get(2*i+101, tc.path)
					tc.one(c, 2*i+101)
					c.flush()
				}
				c.ends(http2.ErrCodeEnhanceYourCalm, limits.StreamResets)
			})
		})
	}
}

// A stream that was reset keeps its place until its exchange has ended:
// resets do not buy more work at once.
func TestStreamsCountUntilTheirExchangeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := &stub{serve: func(context.Context, exchange.Writer, *exchange.Request) { <-release }}
		c := open(t, h, func(l *limits.Limits) { l.Streams = 10 })
		for i := range uint32(30) {
			c.get(2*i+1, "/")
			_ = c.framer.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
		}
		c.flush()
		synctest.Wait()
		if n := h.exchanges.Load(); n != 10 {
			t.Errorf("%d exchanges at once", n)
		}
		if n := c.counters.Hits(limits.Streams); n != 20 {
			t.Errorf("%d refused", n)
		}
		close(release)
		synctest.Wait()
		if n := c.server.conf.InFlight.Load(); n != 0 {
			t.Errorf("%d in flight", n)
		}
		c.get(99, "/")
		c.flush()
		synctest.Wait()
		if h.exchanges.Load() != 11 {
			t.Error("the places were not given back")
		}
	})
}

func TestTooManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, held(), func(l *limits.Limits) { l.Streams = 2 })
		for id := range uint32(3) {
			c.get(2*id+1, "/")
		}
		c.flush()
		if got := c.collect(5)[5]; got.reset == nil || got.reset.code != http2.ErrCodeRefusedStream {
			t.Errorf("got %+v", got)
		}
		if n := c.counters.Hits(limits.Streams); n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{stored: map[string]*exchange.Stored{"/": object(10)}}, nil)
		idle := c.server.conf.Limits.IdleTime
		time.Sleep(idle - time.Second)
		c.get(1, "/")
		c.flush()
		c.collect(1)
		start := time.Now()
		c.ends(http2.ErrCodeNo, limits.IdleTime)
		if d := time.Since(start); d < idle || d > idle+2*grace {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestStreamsAreNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, held(), nil)
		c.get(1, "/")
		c.flush()
		time.Sleep(time.Hour)
		if c.over() {
			t.Error("closed in the middle of an exchange")
		}
	})
}

func TestSlowHeads(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          "",
		"half a preface":   preface[:10],
		"no SETTINGS":      preface,
		"half a frame":     preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x20\x01",
		"no CONTINUATION":  preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82",
		"half a head more": preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82" + "\x00\x00\x10\x09",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := dial(t, &stub{}, nil)
				go c.read()
				start := time.Now()
				_, _ = io.WriteString(c.nc, text)
				c.ends(http2.ErrCodeEnhanceYourCalm, limits.HeaderTime)
				if d := time.Since(start); d < c.server.conf.Limits.HeaderTime || d > 2*c.server.conf.Limits.HeaderTime {
					t.Errorf("closed after %v", d)
				}
			})
		})
	}
}

// A client that grants no window, or hardly any, is cut: its stream only.
func TestStalledWindow(t *testing.T) {
	for name, tc := range map[string]struct {
		path  string
		crumb uint32
	}{
		"hit": {"/hit", 0}, "exchange": {"/x", 0}, "exchange that has ended": {"/short", 0},
		"crumbs": {"/hit", 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed := make(chan error, 1)
				h := &stub{
					stored: map[string]*exchange.Stored{"/hit": object(300_000), "/small": object(10)},
					serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
						_ = w.Head(200, nil, -1)
						n := 1 << 20
						if r.Path == "/short" {
							n = 40_000
						}
						_, err := w.Write(make([]byte, n))
						failed <- err
					},
				}
				c := open(t, h, nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 20_000})
				start := time.Now()
				c.get(1, tc.path)
				c.flush()
				if tc.crumb > 0 {
					go func() {
						for c.pause(2*time.Second) && c.flush() {
							_ = c.framer.WriteWindowUpdate(1, tc.crumb)
						}
					}()
				}
				got := c.collect(1)[1]
				if got.reset == nil || got.reset.code != http2.ErrCodeCancel {
					t.Fatalf("got %+v", got)
				}
				stall, rate := c.server.conf.Limits.BodyStall, c.server.conf.Limits.MinRate
				if d, most := time.Since(start), stall+time.Duration(len(got.body)/rate)*time.Second+stall; d < stall || d > most {
					t.Errorf("cut after %v, at most %v", d, most)
				}
				if c.counters.Hits(limits.BodyStall) != 1 {
					t.Error("the limit was not counted")
				}
				if tc.path == "/x" {
					if err := <-failed; !errors.Is(err, wire.ErrTooSlow) {
						t.Errorf("the exchange got %v", err)
					}
				}
			})
		})
	}
}

// A client that reads nothing from its connection is cut with it.
func TestStalledConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, &stub{stored: map[string]*exchange.Stored{"/": object(300_000)}}, nil)
		c.out.WriteString(preface)
		_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		c.get(1, "/")
		c.flush() // and nobody reads
		start := time.Now()
		<-c.done
		if d := time.Since(start); d > 2*c.server.conf.Limits.BodyStall {
			t.Errorf("cut after %v", d)
		}
		if c.counters.Hits(limits.BodyStall) != 1 {
			t.Error("the limit was not counted")
		}
	})
}

func TestSlowContent(t *testing.T) {
	for name, tc := range map[string]struct {
		every time.Duration
		size  int
		whole bool
	}{
		"nothing": {time.Hour, 1, false}, "crumbs": {time.Second, 1, false}, "slow and steady": {time.Second, 1000, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed := make(chan error, 1)
				c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
					_, err := io.Copy(io.Discard, r.Body)
					failed <- err
					w.Abort()
				}}, nil)
				c.post(1, "/")
				c.flush()
				go func() {
					for i := 0; i < 60 && c.pause(tc.every); i++ {
						_ = c.framer.WriteData(1, i == 59, make([]byte, tc.size))
						c.flush()
					}
				}()
				err := <-failed
				if (err == nil) != tc.whole {
					t.Errorf("got %v", err)
				}
				if n := c.counters.Hits(limits.MinRate); (n == 0) != tc.whole {
					t.Errorf("counted %d times", n)
				}
			})
		})
	}
}

// One frame of content may take its time, too, as long as its bytes come.
func TestSlowFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("got %v", err)
			}
			ok(w, itoa(len(b)))
		}}, nil)
		c.post(1, "/")
		_ = c.framer.WriteData(1, true, make([]byte, 16_000))
		go func() {
			rest := c.out.Bytes()
			for len(rest) > 0 && c.pause(time.Second) {
				n := min(500, len(rest))
				_, _ = c.nc.Write(rest[:n])
				rest = rest[n:]
			}
		}()
		if got := c.collect(1)[1]; string(got.body) != "16000" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestWindowsOfTheClient(t *testing.T) {
	for name, tc := range map[string]struct {
		stream, conn int
		code         http2.ErrCode
		limit        limits.Name
	}{
		"of a stream":     {100_000, 1 << 20, http2.ErrCodeFlowControl, limits.StreamWindow},
		"of a connection": {1 << 20, 100_000, http2.ErrCodeFlowControl, limits.ConnWindow},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, held(), func(l *limits.Limits) { l.StreamWindow, l.ConnWindow = tc.stream, tc.conn })
				c.post(1, "/")
				c.conn.mu.Lock()
				c.conn.unreturned = -1 << 30 // as if it were not given back on receipt
				c.conn.mu.Unlock()
				for range 7 {
					_ = c.framer.WriteData(1, false, []byte(strings.Repeat("x", 16_000)))
				}
				c.flush()
				if tc.limit == limits.ConnWindow {
					c.ends(tc.code, tc.limit)
					return
				}
				if got := c.collect(1)[1]; got.reset == nil || got.reset.code != tc.code {
					t.Errorf("got %+v", got)
				}
				if c.counters.Hits(tc.limit) != 1 {
					t.Error("the limit was not counted")
				}
			})
		})
	}
}

// A stream that has ended makes room for another, whatever its exchange still
// does; but such exchanges are bounded, too.
func TestEndedStreamsLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			_ = w.Head(204, nil, -1)
			_ = w.Flush()
			<-release
		}}, func(l *limits.Limits) { l.Streams = 1 })
		for i := range uint32(3) {
			id := 2*i + 1
			c.get(id, "/")
			c.flush()
			if refused := c.collect(id)[id].reset != nil; refused != (i == 2) {
				t.Errorf("stream %d: refused is %v", id, refused)
			}
		}
		c.conn.Drain()
		c.await(http2.FrameGoAway)
		c.await(http2.FrameGoAway)
		if c.over() {
			t.Error("the connection ended before its exchanges")
		}
		close(release)
		<-c.done
		if n := c.server.conf.InFlight.Load(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

// Content that comes when there is no window any more is late from then on.
func TestStuckFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		write := make(chan struct{})
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			_ = w.Head(200, nil, 10)
			_ = w.Flush()
			<-write
			_, _ = w.Write(make([]byte, 10))
		}}, nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.get(1, "/")
		c.flush()
		c.await(http2.FrameHeaders)
		synctest.Wait()
		start := time.Now()
		close(write)
		c.await(http2.FrameRSTStream)
		if d := time.Since(start); d != c.server.conf.Limits.BodyStall {
			t.Errorf("cut after %v", d)
		}
	})
}
