package http1

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// TestRetire: the next answer is the last one; who was never answered is
// waited for, who was, for a moment.
func TestRetire(t *testing.T) {
	slow := func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		time.Sleep(time.Second)
		reply(w, r, 200, "")
	}
	const twice = get + get // the second is not answered
	idle := limits.Default().IdleTime
	for _, tc := range []struct {
		name, before string
		settled      bool          // what was asked before is answered
		pause        time.Duration // until the client asks
		ask          string
		want         []int
		closes       bool
		within       time.Duration
	}{
		{"new, asks at once", "", true, 0, twice, []int{200}, true, 2 * time.Second},
		{"new, asks late", "", true, retireTime + time.Second, twice, []int{200}, true, retireTime + 3*time.Second},
		{"new, never asks", "", true, 2 * idle, "", nil, false, idle},
		{"in a head", get[:10], true, 0, twice[10:], []int{200}, true, 3 * time.Second},
		{"answering", get, false, 0, get, []int{200}, true, 3 * time.Second},
		{"served, asks at once", get, true, 0, twice, []int{200, 200}, true, 3 * time.Second},
		{"served, never asks", get, true, 2 * idle, "", []int{200}, false, retireTime},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, &handler{serve: slow}, nil)
				s.say(t, tc.before)
				if synctest.Wait(); tc.settled {
					time.Sleep(time.Second)
					synctest.Wait()
				}
				start := time.Now()
				s.Retire()
				s.Retire()
				ended := make(chan time.Duration)
				go func() { <-s.done; ended <- time.Since(start) }()
				go func() {
					select {
					case <-time.After(tc.pause):
						_, _ = io.WriteString(s.client, tc.ask)
					case <-s.done:
					}
				}()
				codes, closes := statuses(t, s.rest())
				if !slices.Equal(codes, tc.want) || closes != tc.closes {
					t.Errorf("%v, closes %v; want %v, %v", codes, closes, tc.want, tc.closes)
				}
				_ = s.client.Close()
				if d := <-ended; d > tc.within {
					t.Errorf("it took %v, want at most %v", d, tc.within)
				}
			})
		})
	}
}

// TestDrainOfRetired: what was retired drains at once when the time has
// come, served or not.
func TestDrainOfRetired(t *testing.T) {
	for _, before := range []string{"", get} {
		synctest.Test(t, func(t *testing.T) {
			s := open(t, &handler{}, nil)
			s.say(t, before)
			synctest.Wait()
			start := time.Now()
			s.Retire()
			s.Drain()
			_ = s.rest()
			<-s.done
			if d := time.Since(start); d > 0 || s.why != endDrained {
				t.Errorf("ended as %v after %v", s.why, d)
			}
		})
	}
}

// TestTunnelsAreCounted while they last.
func TestTunnelsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &handler{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			c, err := w.Tunnel(nil)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, c)
		}}, nil)
		s.say(t, upgrade)
		synctest.Wait()
		if n := s.s.conf.Tunnels.Load(); n != 1 {
			t.Errorf("%d tunnels", n)
		}
		_ = s.client.Close()
		<-s.done
		if n := s.s.conf.Tunnels.Load(); n != 0 {
			t.Errorf("%d tunnels after the end", n)
		}
	})
}
