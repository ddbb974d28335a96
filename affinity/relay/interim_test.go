package relay

import (
	"context"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestInterimResponsesAreOffered: what serves a request is given the way
// back for 1xx responses when, and only when, the client's node wants them.
func TestInterimResponsesAreOffered(t *testing.T) {
	offered := false
	p := newPair(t, &stub{serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
		if offered = r.Interim != nil; offered {
			r.Interim(103, exchange.Header{{Name: "link", Value: "</a.css>"}})
		}
		_ = w.Head(200, nil, 0)
	}}, options{})
	p.must(get("/unwanted"))
	if offered {
		t.Error("nobody wants them, and they are offered")
	}
	r, got := get("/wanted"), 0
	r.Interim = func(int, exchange.Header) { got++ }
	p.must(r)
	if !offered || got != 1 {
		t.Errorf("offered %v, %d of 1 came", offered, got)
	}
}
