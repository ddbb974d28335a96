package http3

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// asked is what a handler saw of a request.
type asked struct{ method, host, path, field string }

func seen(r *exchange.Request) asked {
	return asked{strings.Clone(r.Method), strings.Clone(r.Host), strings.Clone(r.Path), strings.Clone(r.Header.Get("x-a"))}
}

// TestHeadStays: what is read behind a head, while it is not known yet
// whether content follows, changes nothing of the head.
func TestHeadStays(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []asked
				c, _, _ := fakeConn(testLimits(), &handler{
					hit: func(r *exchange.Request, _ *exchange.Stored) bool {
						got = append(got, seen(r))
						return false
					},
					serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
						got = append(got, seen(r))
						_ = w.Head(200, nil, 0)
					},
				})
				want := asked{method, "a.test", "/safe/aaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbb"}
				block := fields(field(":method", method), field(":scheme", "https"), field(":path", want.path),
					field(":authority", want.host), field("x-a", want.field))
				f := newFake(frame(frameHeaders, block...), false)
				c.tasks.Go(func() { c.serve(f) })
				synctest.Wait()
				// A frame of a reserved type (RFC 9114, 7.2.8), as long as the
				// head: it comes to lie where the head lay.
				f.send(frame(0x21, bytes.Repeat([]byte("x"), len(block))...), true)
				c.tasks.Wait()
				if len(got) == 0 {
					t.Error("the handler was not asked")
				}
				for _, g := range got {
					if g != want {
						t.Errorf("the handler sees %q, want %q", g, want)
					}
				}
			})
		})
	}
}
