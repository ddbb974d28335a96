package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// elsewhere is a filler that asks another node.
type elsewhere struct{ *origin }

func (elsewhere) Here() bool { return false }

// TestThrough: the first request for a key goes through; one that comes
// while it is on its way, or soon after, is one of a fill; and three make
// the key hot.
func TestThrough(t *testing.T) {
	bubble(t, func(t rig) {
		own := elsewhere{sequence(owner(kept(5*time.Second, time.Hour), 200, "x", "cache-control: max-age=60", "etag: \"a\""))}
		for i, want := range []exchange.Outcome{exchange.Miss, exchange.Miss, exchange.Miss, exchange.Hit} {
			a := t.serve(get("/", "if-none-match: \"b\""), plain, own)
			a.want(t, want, 200, "x")
			if a.report.Stored != (i == 2) || a.header.Get("age") != "5" || !a.report.HasTTL || i < 3 && !a.report.Relayed {
				t.Errorf("request %d: %+v, %v", i, a.report, a.header)
			}
		}
		if !t.store.Known(get("/"), plain) {
			t.Error("an answer for all is not known as one")
		}
		time.Sleep(3 * time.Hour)
		t.serve(get("/other"), plain, own)
		if t.store.flying != 0 || len(t.store.flights) != 0 {
			t.Errorf("%d fills are left", t.store.flying)
		}
	})
}

// TestThroughIsOneRequests: whoever comes meanwhile does not wait for it,
// and the client that leaves ends it.
func TestThroughIsOneRequests(t *testing.T) {
	bubble(t, func(t rig) {
		gone := make(chan struct{})
		own := elsewhere{&origin{answer: func(ctx context.Context, n int, _ *exchange.Request) (*exchange.Response, error) {
			if n == 1 {
				<-ctx.Done()
				close(gone)
				return nil, &exchange.Error{Cause: exchange.ClientAborted, Err: ctx.Err()}
			}
			c := kept(0, time.Minute)
			r := reply(200, "y", "cache-control: max-age=60")
			r.Copy = &c
			return r, nil
		}}}
		ctx, leave := context.WithCancel(context.Background())
		first := make(chan error, 1)
		go func() { _, err := t.store.Serve(ctx, get("/"), plain, own); first <- err }()
		synctest.Wait()
		second := t.serve(get("/"), plain, own)
		second.want(t, exchange.Miss, 200, "y")
		leave()
		<-gone
		if err := <-first; causeOf(err) != exchange.ClientAborted {
			t.Errorf("the first ended with %v", err)
		}
	})
}

func causeOf(err error) exchange.Cause {
	if e, ok := errors.AsType[*exchange.Error](err); ok {
		return e.Cause
	}
	return exchange.NoCause
}
