package wire

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

var pace = Pace{Stall: 10 * time.Second, Rate: 250}

// takes lets a client take n bytes every interval, and returns how the
// writing of total bytes to it ended.
func takes(t *testing.T, total, n int, interval time.Duration) (took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		c := NewConn(server, false, pace)
		if _, err := c.Write(make([]byte, total)); err != nil {
			t.Fatal(err)
		}
		ticks := time.NewTicker(interval)
		defer ticks.Stop()
		over := make(chan struct{})
		defer close(over)
		go func() {
			buf := make([]byte, n)
			for {
				select {
				case <-ticks.C:
				case <-over:
					return
				}
				if _, err := io.ReadFull(client, buf); err != nil {
					return
				}
			}
		}()
		start := time.Now()
		err = c.Flush()
		took = time.Since(start)
		if again := c.Flush(); !errors.Is(again, err) {
			t.Errorf("the next write returns %v after %v", again, err)
		}
		_ = c.Close()
		c.Release()
	})
	return took, err
}

// TestPace: a client that takes nothing is cut after the grace, one that is
// under the rate soon after, one that keeps it never.
func TestPace(t *testing.T) {
	for _, tc := range []struct {
		name     string
		n        int
		interval time.Duration
		cut      bool
		within   time.Duration
	}{
		{"nothing", 1, time.Hour, true, 10 * time.Second},
		{"too slow", 100, time.Second, true, 20 * time.Second},
		{"slow", 300, time.Second, false, time.Hour},
		{"in bursts", 3000, 9 * time.Second, false, time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			took, err := takes(t, 60_000, tc.n, tc.interval)
			if errors.Is(err, ErrTooSlow) != tc.cut || took > tc.within {
				t.Errorf("%v after %v", err, took)
			}
		})
	}
}

func TestReadPace(t *testing.T) {
	for _, tc := range []struct {
		read   int64
		waited time.Duration
		want   time.Duration
	}{
		{0, 0, 10 * time.Second},
		{0, 8 * time.Second, 2 * time.Second},
		{500, 10 * time.Second, 2 * time.Second},
		{1 << 40, time.Minute, 10 * time.Second},
		{0, time.Minute, time.Millisecond},
	} {
		if got := pace.Read(tc.read, tc.waited); got != tc.want {
			t.Errorf("%d bytes in %v of waiting: %v, want %v", tc.read, tc.waited, got, tc.want)
		}
	}
}

// TestAhead: reading ahead ends at an error, at a deadline, from which it
// can be resumed, and when there is no more room.
func TestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		c := NewConn(server, false, Pace{})
		ahead := make(chan error, 1)
		go func() { ahead <- c.Ahead() }()
		if _, err := client.Write([]byte("abc")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now())
		if err := <-ahead; err == nil {
			t.Fatal("a deadline did not end it")
		}
		c.Resume()
		_ = c.SetReadDeadline(time.Time{})
		buf := make([]byte, 2)
		if n, err := c.Read(buf); n != 2 || err != nil || string(buf) != "ab" {
			t.Fatalf("read %q, %v", buf[:n], err)
		}
		go func() { ahead <- c.Ahead() }()
		go func() { _, _ = client.Write(make([]byte, 2*readSize)) }()
		if err := <-ahead; err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
		if got, err := io.ReadAll(c); len(got) < readSize || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		_ = c.Close()
	})
}

func TestDate(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 0, 0, 999, time.FixedZone("", 3600))
	if got := Date(at); got != "Sun, 22 Nov 2026 07:00:00 GMT" {
		t.Error(got)
	}
	if got := Date(at.Add(time.Second)); got != "Sun, 22 Nov 2026 07:00:01 GMT" {
		t.Error(got)
	}
}
