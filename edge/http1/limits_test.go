package http1

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// TestTimeLimits: how long a silent client is waited for. What it sends
// comes at once, but for a last byte.
func TestTimeLimits(t *testing.T) {
	lim := limits.Default()
	for _, tc := range []struct {
		name, sent string
		after      time.Duration
		limit      limits.Name
		want       []int
	}{
		{"nothing", "", lim.HeaderTime, limits.HeaderTime, nil},
		{"an empty line", "\r\n", lim.HeaderTime, limits.HeaderTime, nil},
		{"part of a head", "GET / HTTP/1.1\r\nHo", lim.HeaderTime, 0, []int{408}},
		{"a request", get, lim.IdleTime, limits.IdleTime, []int{200}},
		{"a request and an empty line", get + "\r\n", lim.IdleTime, limits.IdleTime, []int{200}},
		{"a request and part of another", get + "G", lim.HeaderTime, 0, []int{200, 408}},
		{"part of a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", lim.BodyStall, limits.MinRate, []int{400}},
		{"part of a chunk", chunkedPost + "5\r\nabc", lim.BodyStall, limits.MinRate, []int{400}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &handler{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
					if r.Body != nil {
						reading(ctx, w, r)
						return
					}
					reply(w, r, 200, "")
				}}
				s := open(t, h, nil)
				s.say(t, tc.sent)
				start := time.Now()
				codes, _ := statuses(t, s.rest())
				if d := time.Since(start); d < tc.after || d > tc.after+lim.HeaderTime/50 {
					t.Errorf("it took %v, want %v", d, tc.after)
				}
				if !slices.Equal(codes, tc.want) {
					t.Errorf("%v, want %v", codes, tc.want)
				}
				if tc.limit != 0 && s.counters.Hits(tc.limit) != 1 {
					t.Errorf("%v was counted %d times", tc.limit, s.counters.Hits(tc.limit))
				}
			})
		})
	}
}

// TestSlowHead: a head that trickles in has one time for all of it.
func TestSlowHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &handler{}, nil)
		start := time.Now()
		var client sync.WaitGroup
		defer client.Wait()
		client.Go(func() {
			for _, c := range strings.Repeat(get[:20], 5) {
				if _, err := io.WriteString(s.client, string(c)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		codes, _ := statuses(t, s.rest())
		if d := time.Since(start); !slices.Equal(codes, []int{408}) || d > 11*time.Second {
			t.Errorf("%v after %v", codes, d)
		}
	})
}

// TestIdleTimeIsWhole: requests now and then keep a connection open, and
// each grants the whole time anew.
func TestIdleTimeIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, newShelf(200, nil), nil)
		for _, pause := range []time.Duration{0, time.Second, 59 * time.Second, 3 * time.Second, 59500 * time.Millisecond} {
			time.Sleep(pause)
			s.say(t, "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n")
			synctest.Wait()
		}
		start := time.Now()
		codes, _ := statuses(t, s.rest())
		if d := time.Since(start); len(codes) != 5 || d < time.Minute || d > time.Minute+time.Second {
			t.Errorf("%d answers; closed after %v", len(codes), d)
		}
	})
}

// TestSlowBody: a body at 100 bytes a second is cut after the grace, one at
// 1000 is not; and the time that the reader takes is not the client's.
func TestSlowBody(t *testing.T) {
	for _, tc := range []struct {
		rate  int
		pause time.Duration // of the reader
		want  int
	}{{100, 0, 400}, {1000, 0, 200}, {1000, time.Minute, 200}} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, &handler{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
				time.Sleep(tc.pause)
				reading(ctx, w, r)
			}}, nil)
			s.say(t, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 30000\r\n\r\n")
			var client sync.WaitGroup
			defer client.Wait()
			client.Go(func() {
				for range 30000 / tc.rate {
					if _, err := io.WriteString(s.client, strings.Repeat("x", tc.rate)); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
			if codes, _ := statuses(t, s.rest()); !slices.Equal(codes, []int{tc.want}) {
				t.Errorf("%d bytes a second: %v, want %d", tc.rate, codes, tc.want)
			}
		})
	}
}

// TestSlowReader: an exchange ends when its client takes nothing.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		s := open(t, &handler{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			err := w.Head(200, nil, -1)
			for err == nil {
				_, err = w.Write(make([]byte, 1<<20))
			}
			failed <- err
			w.Abort()
		}}, nil)
		start := time.Now()
		s.say(t, get)
		if err, d := <-failed, time.Since(start); !errors.Is(err, wire.ErrTooSlow) || d > 21*time.Second {
			t.Errorf("%v after %v", err, d)
		}
		<-s.done
		if n := s.counters.Hits(limits.BodyStall); n != 1 {
			t.Errorf("limits.BodyStall was counted %d times", n)
		}
	})
}

// TestClientLeaves: the context of an exchange ends with its client, as soon
// as the request was read.
func TestClientLeaves(t *testing.T) {
	for _, text := range []string{
		get,
		get + get,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
		chunkedPost + "0\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			ended := false
			s := open(t, &handler{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
				if r.Body != nil {
					_, _ = io.ReadAll(r.Body)
				}
				select {
				case <-ctx.Done():
					ended = true
				case <-time.After(time.Hour):
				}
				w.Abort()
			}}, nil)
			s.say(t, text)
			time.Sleep(soon)
			_ = s.client.Close()
			time.Sleep(soon)
			<-s.done
			if !ended {
				t.Errorf("%.10q: nobody noticed", text)
			}
		})
	}
}

// TestClientLeavesInBody: a body that breaks off is no body.
func TestClientLeavesInBody(t *testing.T) {
	for _, text := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
		chunkedPost + "2\r\nab\r\n",
		chunkedPost + "2\r\nab\r\n0\r\n",
		chunkedPost + "3\r\nab",
	} {
		synctest.Test(t, func(t *testing.T) {
			var err error
			var xe *exchange.Error
			s := open(t, &handler{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
				_, err = io.ReadAll(r.Body)
				<-ctx.Done()
				w.Abort()
			}}, nil)
			s.say(t, text)
			_ = s.client.CloseWrite()
			<-s.done
			if !errors.As(err, &xe) || xe.Cause != exchange.ClientAborted {
				t.Errorf("%q: %v", text, err)
			}
		})
	}
}

// TestPipelinedMeanwhile: what arrives while an exchange goes on is the next
// request, also when it is more than is read ahead.
func TestPipelinedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			time.Sleep(time.Minute)
			reply(w, r, 200, "")
		}}
		s := open(t, h, nil)
		s.say(t, get)
		time.Sleep(time.Second)
		for range 3 {
			s.say(t, "GET /"+strings.Repeat("a", 15<<10)+" HTTP/1.1\r\nHost: a\r\n\r\n")
		}
		s.say(t, strings.Replace(get, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
		if codes, _ := statuses(t, s.rest()); len(codes) != 5 {
			t.Errorf("%v; asked %.40q", codes, h.lines())
		}
	})
}

// TestDrain: a connection that waits is closed; one that answers says so.
func TestDrain(t *testing.T) {
	slow := func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		if r.Body != nil {
			_, _ = io.ReadAll(r.Body)
		}
		time.Sleep(time.Second)
		reply(w, r, 200, "")
	}
	for _, tc := range []struct {
		name, before, after string
		want                []int
	}{
		{"new", "", "", nil},
		{"in a head", get[:10], get[10:], []int{200}},
		{"in a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na", "b", []int{200}},
		{"answering", get, "", []int{200}},
		{"answering, another waits", get + get, "", []int{200}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, &handler{serve: slow}, nil)
				s.say(t, tc.before)
				synctest.Wait()
				start := time.Now()
				s.Drain()
				s.Drain()
				synctest.Wait()
				_, _ = io.WriteString(s.client, tc.after)
				codes, closes := statuses(t, s.rest())
				if !slices.Equal(codes, tc.want) || len(codes) > 0 && !closes {
					t.Errorf("%v, closes %v", codes, closes)
				}
				if d := time.Since(start); d > 3*time.Second {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
	t.Run("between two requests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, &handler{}, nil)
			s.say(t, get)
			synctest.Wait()
			start := time.Now()
			s.Drain()
			if codes, _ := statuses(t, s.rest()); len(codes) != 1 || time.Since(start) > 0 {
				t.Errorf("%v after %v", codes, time.Since(start))
			}
		})
	})
}

// TestDrainBefore: a connection that is not served yet when its server stops
// is not waited for.
func TestDrainBefore(t *testing.T) {
	server, client := newMemory(1)
	c := over(&wire.Plain{Conn: wire.NewConn(server, false, pace)}, &handler{})
	c.Drain()
	c.Serve(t.Context())
	if _, err := client.Read(make([]byte, 1)); err != io.EOF || c.why != endDrained {
		t.Errorf("%v, ended as %v", err, c.why)
	}
}

// TestPartOfRecord: a part of a TLS record is a part of a head.
func TestPartOfRecord(t *testing.T) {
	cert := certificate(t)
	synctest.Test(t, func(t *testing.T) {
		server, client := newMemory(64 << 10)
		half := &halving{memConn: client}
		c, secured := secure(t, &handler{}, server, half, cert)
		half.on = true
		if _, err := io.WriteString(secured, get); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		c.Serve(t.Context())
		lim := limits.Default()
		if d := time.Since(start); d != lim.HeaderTime || c.why != endHeadSlow || c.s.conf.Counters.Hits(limits.HeaderTime) != 1 {
			t.Errorf("ended as %v after %v", c.why, d)
		}
	})
}

// halving loses the second half of all that is written, once it is on.
type halving struct {
	*memConn
	on bool
}

func (h *halving) Write(p []byte) (int, error) {
	if !h.on {
		return h.memConn.Write(p)
	}
	_, err := h.memConn.Write(p[:len(p)/2])
	return len(p), err
}

// TestCut: the end of all exchanges reaches one that waits for its client.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &handler{serve: reading}, nil)
		s.say(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab")
		synctest.Wait()
		start := time.Now()
		_ = s.p.Conn.Close()
		<-s.done
		if d := time.Since(start); d > 0 {
			t.Errorf("it took %v", d)
		}
	})
}

// TestIdleHoldsNothing: a connection that waits has given everything back.
func TestIdleHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &handler{}, nil)
		s.say(t, get+chunkedPost+"1\r\nx\r\n0\r\n\r\n")
		synctest.Wait()
		if s.in.buf != nil || s.desk != nil || s.p.Buffered() > 0 || s.inFlight.Load() != 0 {
			t.Errorf("%+v", s.Conn)
		}
	})
}
