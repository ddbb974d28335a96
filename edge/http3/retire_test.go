package http3

import (
	"io"
	"testing"
)

// TestRetire: GOAWAY comes at once to who was served, with the first
// request to who was not.
func TestRetire(t *testing.T) {
	for name, served := range map[string]bool{"served": true, "new": false} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, testLimits(), &handler{serve: echo})
			qc := e.dial()
			ids := goAways(t, qc)
			if served {
				bidiGET(t, qc)
			}
			c := e.only()
			c.Retire()
			c.Retire()
			if !served {
				c.drain.mu.Lock()
				wanted := c.drain.wanted
				c.drain.mu.Unlock()
				if wanted {
					t.Error("a connection that was asked nothing drains")
				}
				bidiGET(t, qc)
			}
			if id := <-ids; id != lastStream {
				t.Errorf("first GOAWAY %d", id)
			}
			if id := <-ids; id != streamStep {
				t.Errorf("second GOAWAY %d, want %d", id, streamStep)
			}
			if got := closedWith(t, e, qc); got != codeNoError {
				t.Errorf("closed with %v", got)
			}
		})
	}
}

// TestTunnelsAreCounted while they last.
func TestTunnelsAreCounted(t *testing.T) {
	counted := make(chan int64, 1)
	var e *edge
	ready := make(chan struct{})
	e = tunnelled(t, func(rw io.ReadWriteCloser) {
		<-ready
		counted <- e.server.conf.Tunnels.Load()
		_, _ = io.Copy(io.Discard, rw)
	})
	close(ready)
	s := bidi(t, e.dial(), connect)
	if n := <-counted; n != 1 {
		t.Errorf("%d tunnels", n)
	}
	_ = s.Close()
	e.eventually("end of the tunnel", func() bool { return e.server.conf.Tunnels.Load() == 0 })
}
