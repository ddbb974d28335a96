package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// TestSlowReaders: content that nobody reads is bounded for each response,
// and holds nobody up: neither stored nor live, neither up nor down.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		written := 0
		h := &stub{
			stored: map[string]*exchange.Stored{"/stored": object(64 << 20), "/small": object(1024)},
			serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
				if r.Body != nil {
					_, _ = r.Body.Read(make([]byte, 1)) // and no more
				}
				_ = w.Head(200, nil, -1)
				for b := letters(10_000); ; {
					n, err := w.Write(b)
					mu.Lock()
					written += n
					mu.Unlock()
					if err != nil {
						return
					}
				}
			},
		}
		p := newPair(t, h, options{})
		const slow = 50
		var bodies []io.Closer
		up, feed := io.Pipe()
		uploaded := make(chan int, 1)
		go func() {
			n, _ := feed.Write(letters(64 << 20))
			uploaded <- n
		}()
		for i := range slow {
			r := get("/stored")
			switch {
			case i == 0:
				r = post("/live", "")
				r.Body, r.Length = up, -1
			case i%2 == 0:
				r.Path = "/live"
			}
			resp, err := p.ask(r)
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, resp.Body)
		}
		synctest.Wait()
		mu.Lock()
		most := slow / 2 * (firstWindow + 10_000) // what a Write waits with is not counted
		if written > most {
			t.Errorf("%d bytes were written that nobody reads, want at most %d", written, most)
		}
		mu.Unlock()
		for range 100 {
			if _, body := p.must(get("/small")); len(body) != 1024 {
				t.Errorf("%d bytes", len(body))
			}
		}
		for _, b := range bodies {
			_ = b.Close()
		}
		_ = up.Close()
		if n := <-uploaded; n > firstWindow+2*maxData {
			t.Errorf("%d bytes of an upload were read that nobody wants", n)
		}
		synctest.Wait()
		c := p.peers.client(1)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.streams) != 0 || c.budget != budget {
			t.Errorf("%d streams are left, and %d of %d of the budget", len(c.streams), c.budget, budget)
		}
	})
}

// TestWindowsGrow: what is read fast gets room up to limits.RelayWindow, from
// a budget that all share and that comes back.
func TestWindowsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{stored: map[string]*exchange.Stored{"/a": object(8 << 20)}}
		p := newPair(t, h, options{limits: func(l *limits.Limits) { l.RelayWindow = 100_000 }})
		resp, err := p.ask(get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, 4<<20); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c := p.peers.client(1)
		c.mu.Lock()
		a := c.streams[c.lastID].asked
		if a.window != 100_000 || int64(a.in.len())+a.allowed+a.unreturned != a.window || c.budget != budget-(a.window-firstWindow) {
			t.Errorf("window %d: %d here, %d may come, %d read; budget %d", a.window, a.in.len(), a.allowed, a.unreturned, c.budget)
		}
		c.mu.Unlock()
		_ = resp.Body.Close()
		c.mu.Lock()
		if c.budget != budget {
			t.Errorf("%d of the budget have not come back", budget-c.budget)
		}
		c.mu.Unlock()
	})
}

// TestManyAtOnce: a thousand requests at once, of every kind, on one
// connection, each with its own content.
func TestManyAtOnce(t *testing.T) {
	h := &stub{
		stored: map[string]*exchange.Stored{"/stored": object(40_000)},
		serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
			_ = w.Head(200, nil, -1)
			if r.Body == nil {
				_, _ = io.WriteString(w, r.Query)
				return
			}
			_, _ = io.Copy(w, r.Body)
		},
	}
	p := newPair(t, h, options{loopback: true})
	stored := string(letters(40_000))
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			r, want := get("/stored"), stored
			switch i % 3 {
			case 1:
				want = fmt.Sprint("?", i)
				r.Path, r.Query = "/live", want
			case 2:
				want = strings.Repeat(fmt.Sprint(i, " "), 10_000)
				r = post("/upload", want)
			}
			resp, err := p.ask(r)
			if err != nil {
				t.Error(err)
				return
			}
			b, err := io.ReadAll(resp.Body)
			if err != nil || string(b) != want {
				t.Errorf("request %d: %d bytes and %v, want %d", i, len(b), err, len(want))
			}
			_ = resp.Body.Close()
		})
	}
	all.Wait()
	if n := p.dials.Load(); n > 1 || p.counters.Hits(limits.RelayWindow) != 0 {
		t.Errorf("%d connections", n)
	}
}

// TestCalls: a call has an answer, an error as its text, or was not made.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		ended := make(chan error, 1)
		p := newPair(t, &stub{serve: okay}, options{calls: map[string]CallFunc{
			"echo": func(_ context.Context, from affinity.NodeID, b []byte) ([]byte, error) {
				if from != 2 {
					t.Errorf("called by %d", from)
				}
				return b, nil
			},
			"fail": func(context.Context, affinity.NodeID, []byte) ([]byte, error) { return nil, errors.New("out of order") },
			"much": func(context.Context, affinity.NodeID, []byte) ([]byte, error) { return make([]byte, MaxPayload+1), nil },
			"wait": func(context.Context, affinity.NodeID, []byte) ([]byte, error) { <-goOn; return nil, nil },
			"hang": func(ctx context.Context, _ affinity.NodeID, _ []byte) ([]byte, error) {
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return nil, nil
			},
		}})
		for _, n := range []int{0, 1, maxData, MaxPayload} {
			b, err := p.peers.Call(t.Context(), 1, "echo", letters(n))
			if err != nil || string(b) != string(letters(n)) {
				t.Errorf("%d bytes and %v, want %d", len(b), err, n)
			}
		}
		for name, says := range map[string]string{"fail": "node 1: out of order", "much": "larger than", "none": "no such call"} {
			_, err := p.peers.Call(t.Context(), 1, name, []byte("x"))
			if e, ok := errors.AsType[*CallError](err); !ok || e.Node != 1 || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := p.peers.Call(t.Context(), 1, "echo", make([]byte, MaxPayload+1)); err == nil {
			t.Error("too large a payload was taken")
		}
		_, err := p.peers.Call(t.Context(), 9, "echo", nil)
		if u, ok := errors.AsType[*Unreached](err); !ok || u.Node != 9 {
			t.Errorf("calling nobody: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		if _, err := p.peers.Call(ctx, 1, "hang", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("a call that was given up: %v", err)
		}
		if err := <-ended; err != errCanceled {
			t.Errorf("it ended by %v", err)
		}
		synctest.Wait()
		var calls sync.WaitGroup
		for range maxCalls {
			calls.Go(func() {
				if _, err := p.peers.Call(t.Context(), 1, "wait", nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		_, err = p.peers.Call(t.Context(), 1, "echo", nil)
		unreached(t, err, Busy)
		p.must(get("/")) // requests are not concerned
		close(goOn)
		calls.Wait()
	})
}

// TestInterims: more interim responses than limits.ResponseInterim are one
// failed request.
func TestInterims(t *testing.T) {
	h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
		for r.Path == "/many" && w.Interim(102, nil) == nil {
			continue
		}
		_ = w.Head(200, nil, 0)
	}}
	p := newPair(t, h, options{})
	r := get("/many")
	r.Interim = func(int, exchange.Header) {}
	if _, err := p.ask(r); causeOf(t, err) != exchange.HTTPProtocolError {
		t.Errorf("asking: %v", err)
	}
	if n := p.counters.Hits(limits.ResponseInterim); n != 1 {
		t.Errorf("%d hits of the limit", n)
	}
	p.must(get("/"))
}

// TestHeadTooLarge: a head that the other node does not take is not sent.
func TestHeadTooLarge(t *testing.T) {
	p := newPair(t, &stub{serve: okay}, options{})
	r := get("/")
	r.Header.Add("x", strings.Repeat("x", 200<<10))
	_, err := p.ask(r)
	unreached(t, err, TooLarge)
	r.Header.Set("x", strings.Repeat("x", 60<<10)) // larger than a frame of content
	if resp, _ := p.must(r); resp.Status != 200 {
		t.Errorf("%+v", resp)
	}
}

// TestEndsWithRun: when Run ends, whatever is in flight fails, and nothing can
// be asked.
func TestEndsWithRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{serve: func(ctx context.Context, _ exchange.PeerWriter, _ *exchange.Request) { <-ctx.Done() }}
		p := newPair(t, h, options{})
		failed := make(chan error, 1)
		go func() {
			_, err := p.ask(get("/"))
			failed <- err
		}()
		synctest.Wait()
		p.endAsk()
		if err := <-failed; !errors.Is(err, ErrLost) {
			t.Errorf("asking: %v", err)
		}
		_, err := p.ask(get("/"))
		unreached(t, err, NotConnected)
		p.peers.Follow(map[affinity.NodeID]netip.AddrPort{1: {}})
		if p.peers.Reachable(1) {
			t.Error("a node is reachable")
		}
	})
}
