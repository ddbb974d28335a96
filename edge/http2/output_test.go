package http2

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// hooked is a TCP connection that calls before ahead of each write.
type hooked struct {
	*net.TCPConn
	before func()
}

func (h *hooked) SyscallConn() (syscall.RawConn, error) {
	raw, err := h.TCPConn.SyscallConn()
	return hookedRaw{raw, h.before}, err
}

type hookedRaw struct {
	syscall.RawConn
	before func()
}

func (r hookedRaw) Write(f func(fd uintptr) bool) error {
	r.before()
	return r.RawConn.Write(f)
}

// tcpPair is a connection over loopback.
func tcpPair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// The connection's window holds when a hit has to write first, and an exchange
// uses the window meanwhile.
func TestWindowIsUsedWhileAHitMakesRoom(t *testing.T) {
	const fit, window = 7, 7*maxFrame + 20_000
	full, wrote := make(chan struct{}), make(chan struct{})
	h := &stub{
		stored: map[string]*exchange.Stored{"/hit": object(maxFrame)},
		serve: func(ctx context.Context, w exchange.Writer, _ *exchange.Request) {
			_ = w.Head(200, nil, 60_000)
			_ = w.Flush()
			select {
			case <-full:
			case <-ctx.Done():
			}
			_, _ = w.Write(make([]byte, 60_000))
			_ = w.Flush()
			close(wrote)
		},
	}
	var once sync.Once
	ours, theirs := tcpPair(t)
	c := dialOn(t, ours, &hooked{theirs, func() {
		if h.hits.Load() > fit {
			once.Do(func() { close(full); <-wrote })
		}
	}}, h, nil)
	go c.read()
	c.out.WriteString(preface)
	_ = c.framer.WriteSettings()
	_ = c.framer.WriteWindowUpdate(0, window-defaultWindow)
	c.get(1, "/x")
	c.flush()
	c.await(http2.FrameHeaders)
	for i := range uint32(fit + 1) {
		c.get(3+2*i, "/hit")
	}
	_ = c.framer.WritePing(false, [8]byte{})
	c.flush()
	total := 0
	for e := c.next(); e.kind != http2.FramePing; e = c.next() {
		total += len(e.data)
	}
	if total != window {
		t.Errorf("%d bytes of content in a window of %d", total, window)
	}
}

// However many header blocks a stream has, and however slowly its client takes
// them, the connection's other goroutines are not held up.
func TestManyLargeHeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 16
		release := make(chan struct{})
		c := dial(t, &stub{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			for range n {
				_ = w.Interim(103, exchange.Header{{Name: "link", Value: strings.Repeat("\x01", 60<<10)}})
			}
			<-release
			ok(w, "done")
		}}, nil)
		c.out.WriteString(preface)
		_ = c.framer.WriteSettings()
		c.get(1, "/")
		c.flush() // and nobody reads
		synctest.Wait()
		// SETTINGS, their acknowledgement, and the beginning of the first head.
		head, err := io.ReadAll(io.LimitReader(c.nc, 1000))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !c.conn.mu.TryLock() {
			t.Fatal("the connection is locked while its client takes nothing")
		}
		c.conn.mu.Unlock()
		c.framer = http2.NewFramer(&c.out, io.MultiReader(bytes.NewReader(head), c.nc))
		go c.read()
		close(release)
		if r := c.collect(1)[1]; len(r.interim) != n || string(r.body) != "done" {
			t.Errorf("%d interim responses, then %q", len(r.interim), r.body)
		}
	})
}

// A stream that has ended is nobody's to look at: another connection may have
// it by then. It takes the race detector to see that.
func TestEndedStreamIsLeftAlone(t *testing.T) {
	h := &stub{stored: map[string]*exchange.Stored{"/": object(10)}, serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
		_ = w.Head(200, nil, 1<<20)
		_, _ = w.Write(make([]byte, 1<<20))
	}}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 4 {
				c := open(t, h, nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
				c.get(1, "/x") // waits for a window, so that what follows is queued
				c.flush()
				var ids []uint32
				for id := uint32(3); id < 120; id += 2 {
					c.headers(id, true, target("HEAD", "/")...)
					ids = append(ids, id)
				}
				c.flush()
				c.collect(ids...)
				_ = c.nc.Close()
				<-c.done
			}
		})
	}
	group.Wait()
}

// The client of a connection where nothing has happened for long gets its time
// to answer, too.
func TestDrainAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{}, nil)
		if !c.pause(c.server.conf.Limits.IdleTime / 2) {
			t.Fatal("the connection is over")
		}
		start := time.Now()
		c.conn.Drain()
		if e := c.await(http2.FrameGoAway); e.last != maxStreamID {
			t.Errorf("first %+v", e)
		}
		c.await(http2.FrameGoAway) // the PING is not answered
		if d := time.Since(start); d != grace {
			t.Errorf("the last GOAWAY comes after %v", d)
		}
	})
}

// What TLS has written on its own leaves before the reader waits.
func TestAnswerOfTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{}, nil)
		synctest.Wait()
		answer := appendPing(nil, flagAck, [8]byte{'k', 'e', 'y'}) // any frame does
		if _, err := c.conn.p.Conn.Write(answer); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		c.conn.beforeWait()
		if e := c.await(http2.FramePing); string(e.data[:3]) != "key" || time.Since(start) > 0 {
			t.Errorf("got %+v after %v", e, time.Since(start))
		}
	})
}
