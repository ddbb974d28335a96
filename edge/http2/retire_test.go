package http2

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// TestRetire: GOAWAY comes at once to who was served, with the first
// request to who was not, and what is in flight is answered.
func TestRetire(t *testing.T) {
	for name, served := range map[string]bool{"served": true, "new": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, &stub{stored: map[string]*exchange.Stored{"/hit": object(10)}}, nil)
				next := uint32(1)
				if served {
					c.get(1, "/hit")
					c.flush()
					c.collect(1)
					next = 3
				}
				synctest.Wait()
				c.conn.Retire()
				c.conn.Retire()
				if !served {
					if !c.pause(limits.Default().IdleTime / 2) {
						t.Fatal("a connection that was asked nothing has ended")
					}
					c.get(next, "/hit")
					c.get(next+2, "/")
					c.flush()
				}
				bodies, goAways := map[uint32]int{}, []uint32(nil)
				for e := range c.events {
					switch e.kind {
					case http2.FrameData:
						bodies[e.stream] += len(e.data)
					case http2.FrameGoAway:
						goAways = append(goAways, e.last)
					case http2.FramePing:
						if served {
							c.get(next, "/hit") // on its way
							c.get(next+2, "/")
						}
						_ = c.framer.WritePing(true, [8]byte(e.data))
						c.flush()
					default: // not about this
					}
				}
				if bodies[next] == 0 || bodies[next+2] == 0 || !slices.Equal(goAways, []uint32{maxStreamID, next + 2}) {
					t.Errorf("content %v, GOAWAY %v", bodies, goAways)
				}
				<-c.done
			})
		})
	}
}

// TestDrainOfRetired: what was retired drains at once when the time has
// come, also when it was asked nothing.
func TestDrainOfRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{}, nil)
		synctest.Wait()
		c.conn.Retire()
		start := time.Now()
		c.conn.Drain()
		if e := c.await(http2.FrameGoAway); e.last != maxStreamID || time.Since(start) > 0 {
			t.Errorf("got %+v after %v", e, time.Since(start))
		}
		<-c.done
	})
}

// TestTunnelsAreCounted while they last.
func TestTunnelsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, &stub{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
			tun, err := w.Tunnel(nil)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, tun)
		}}, nil)
		c.headers(1, false, target("CONNECT", "/chat", ":protocol", "websocket")...)
		c.flush()
		c.await(http2.FrameHeaders)
		if n := c.server.conf.Tunnels.Load(); n != 1 {
			t.Errorf("%d tunnels", n)
		}
		_ = c.framer.WriteData(1, true, nil)
		c.flush()
		synctest.Wait()
		if n := c.server.conf.Tunnels.Load(); n != 0 {
			t.Errorf("%d tunnels after the end", n)
		}
	})
}
