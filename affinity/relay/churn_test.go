package relay

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// TestChurn: whatever requests are given up when, at either end, nothing is
// left of them, and the others are answered.
func TestChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{
			stored: map[string]*exchange.Stored{"/stored": object(100_000), "/small": object(100)},
			serve:  churned,
		}
		p := newPair(t, h, options{inTime: true})
		var all sync.WaitGroup
		for seed := range uint64(150) {
			all.Go(func() { p.churn(newDice(seed)) })
		}
		all.Wait()
		after(time.Second)
		c := p.peers.client(1)
		if c == nil {
			t.Fatal("the connection was lost")
		}
		c.mu.Lock()
		if len(c.streams) != 0 || c.budget != budget || c.turns.len() != 0 {
			t.Errorf("asking: %d streams, %d in turns, budget %d of %d", len(c.streams), c.turns.len(), c.budget, budget)
		}
		c.mu.Unlock()
		p.server.mu.Lock()
		for s := range p.server.conns {
			s.mu.Lock()
			if s.slots() != 0 || s.budget != budget || s.calls != 0 {
				t.Errorf("answering: %d slots, %d calls, budget %d of %d", s.slots(), s.calls, s.budget, budget)
			}
			s.mu.Unlock()
		}
		p.server.mu.Unlock()
		if h.hits.Load() != h.sentWhole.Load()+h.sentCut.Load() {
			t.Errorf("%d hits, %d sent, %d cut", h.hits.Load(), h.sentWhole.Load(), h.sentCut.Load())
		}
		p.must(get("/small"))
	})
}

// churned is a handler that takes its time, reads some, writes some, and ends
// in some way.
func churned(ctx context.Context, w exchange.PeerWriter, r *exchange.Request) {
	d := dice{rand.New(rand.NewPCG(uint64(len(r.Query)), uint64(r.Length)))}
	d.nap(ctx)
	if r.Body != nil && d.yes() {
		_, _ = io.CopyN(io.Discard, r.Body, d.Int64N(200_000))
	}
	switch d.IntN(8) {
	case 0:
		w.Decline(3)
		return
	case 1:
		w.Fail(errNothing)
		return
	case 2:
		w.Abort()
		return
	}
	if w.Head(200, nil, -1) != nil {
		return
	}
	for range d.IntN(10) {
		_, _ = w.Write(letters(d.IntN(50_000)))
		d.nap(ctx)
	}
	if d.yes() {
		_ = w.Trailer(exchange.Header{{Name: "grpc-status", Value: "0"}})
	}
}

// nap waits for up to 20 ms, or until ctx is done.
func (d dice) nap(ctx context.Context) { pause(ctx, time.Duration(d.IntN(20))*time.Millisecond) }

// churn asks, and gives up sooner or later.
func (p *pair) churn(d dice) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range 10 {
		path := []string{"/stored", "/small", "/live", "/live"}[d.IntN(4)]
		r := get(path)
		if path == "/live" && d.yes() {
			r = post(path, string(letters(d.IntN(300_000))))
		}
		r.Query = "?" + string(letters(d.IntN(100)))
		one, giveUp := context.WithCancel(ctx)
		if d.IntN(3) == 0 {
			time.AfterFunc(time.Duration(d.IntN(50))*time.Millisecond, giveUp)
		}
		resp, err := p.peers.Ask(one, 1, r)
		if err == nil {
			if n, err := io.CopyN(io.Discard, resp.Body, d.Int64N(400_000)); err == io.EOF && path == "/stored" && n != 100_000 {
				p.t.Errorf("%d bytes look whole", n)
			}
			d.nap(one)
			_ = resp.Body.Close()
		}
		giveUp()
	}
}
