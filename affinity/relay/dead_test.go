package relay

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// touched fails the test when it is read.
type touched struct{ t *testing.T }

func (b touched) Read([]byte) (int, error) {
	b.t.Error("the body was read")
	return 0, io.EOF
}
func (touched) Close() error { return nil }

// after waits in virtual time.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func okay(_ context.Context, w exchange.PeerWriter, _ *exchange.Request) { _ = w.Head(200, nil, 0) }

// TestSilence: a node that does not accept is passed by after
// limits.RelaySilence; those who come next do not wait at all, until
// something comes from it.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, &stub{serve: okay}, options{inTime: true})
		synctest.Wait()
		node := p.net.last()
		node.freeze()
		start := time.Now()
		r := post("/", "")
		r.Body, r.Length = touched{t}, 5
		_, err := p.ask(r)
		unreached(t, err, Silent)
		if took := time.Since(start); took != p.conf.Limits.RelaySilence {
			t.Errorf("passed by after %v, want %v", took, p.conf.Limits.RelaySilence)
		}
		start = time.Now()
		_, err = p.ask(get("/"))
		unreached(t, err, Silent)
		if took := time.Since(start); took != 0 {
			t.Errorf("the next one waited %v", took)
		}
		if n := p.counters.Hits(limits.RelaySilence); n != 1 {
			t.Errorf("%d hits of the limit", n)
		}
		node.thaw()
		after(p.conf.Limits.RelayDead / pulses)
		if resp, _ := p.must(get("/")); resp.Status != 200 {
			t.Errorf("%+v", resp)
		}
	})
}

// TestNothingIsDoneTwice: a node that was stopped, and goes on with what it
// finds in its socket, does nothing that was done elsewhere meanwhile.
func TestNothingIsDoneTwice(t *testing.T) {
	for _, stop := range []struct {
		name           string
		freeze, resume func(*wireEnd)
	}{
		{"before it reads", (*wireEnd).freeze, (*wireEnd).thaw},
		{"before its acceptance arrives", (*wireEnd).mute, (*wireEnd).unmute},
	} {
		for _, what := range []string{"POST", "POST with content", "call", "call with a payload"} {
			t.Run(stop.name+"/"+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &stub{serve: okay}
					done := 0
					p := newPair(t, h, options{inTime: true, calls: map[string]CallFunc{
						"do": func(context.Context, affinity.NodeID, []byte) ([]byte, error) { done++; return nil, nil },
					}})
					synctest.Wait()
					stop.freeze(p.net.last())
					var err error
					switch what {
					case "POST":
						_, err = p.ask(post("/", ""))
					case "POST with content":
						r := post("/", "")
						r.Body, r.Length = touched{t}, 5
						_, err = p.ask(r)
					case "call":
						_, err = p.peers.Call(t.Context(), 1, "do", nil)
					default:
						_, err = p.peers.Call(t.Context(), 1, "do", []byte("payload"))
					}
					unreached(t, err, Silent)
					after(p.conf.Limits.RelaySilence)
					stop.resume(p.net.last())
					after(time.Minute)
					if n := h.exchanges.Load(); n != 0 || done != 0 {
						t.Errorf("%d requests and %d calls were served that were passed by", n, done)
					}
					// The connection has lived, and is as good as before.
					if n := p.dials.Load(); n != 1 || len(p.changes) != 0 {
						t.Errorf("%d connections, %d changes", n, len(p.changes))
					}
				})
			})
		}
	}
}

// TestDeadNode: a node from which nothing comes any more counts as
// unreachable after limits.RelayDead. What it had accepted fails with
// ErrLost; it notices by itself that nobody waits for its answers; and when
// it is back it is found.
func TestDeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := make(chan error, 1)
		h := &stub{serve: func(ctx context.Context, w exchange.PeerWriter, r *exchange.Request) {
			if r.Path == "/slow" {
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return
			}
			_ = w.Head(200, nil, 0)
		}}
		p := newPair(t, h, options{inTime: true})
		failed := make(chan error, 1)
		go func() {
			_, err := p.ask(get("/slow"))
			failed <- err
		}()
		synctest.Wait()
		stopped := time.Now()
		p.net.last().freeze()
		p.net.last().mute()
		p.net.setDown(true)
		err := <-failed
		dead := p.conf.Limits.RelayDead
		if took := time.Since(stopped); took > dead+dead/pulses {
			t.Errorf("noticed after %v", took)
		}
		var e *exchange.Error
		if !errors.Is(err, ErrLost) || !errors.As(err, &e) || e.Cause != exchange.ConnectionTerminated {
			t.Errorf("error %v", err)
		}
		p.reached(false)
		if p.peers.Reachable(1) {
			t.Error("it counts as reachable")
		}
		_, err = p.ask(get("/"))
		unreached(t, err, NotConnected)
		after(10 * time.Second)
		if got := <-cause; got != errGone {
			t.Errorf("the exchange ended by %v", got)
		}
		if p.counters.Hits(limits.RelayDead) == 0 {
			t.Error("the limit was not counted")
		}
		p.net.setDown(false)
		back := time.Now()
		p.reached(true)
		if took := time.Since(back); took > 2*lastPause {
			t.Errorf("found after %v", took)
		}
		p.must(get("/"))
		if len(p.changes) != 0 {
			t.Error("reachability was told without a change")
		}
	})
}

// TestLostConnection: what was not accepted yet may be done elsewhere; what
// was has failed, and says by what.
func TestLostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{serve: func(ctx context.Context, w exchange.PeerWriter, r *exchange.Request) {
			if r.Path == "/body" {
				_ = w.Head(200, nil, 100)
				_, _ = io.WriteString(w, "some")
				_ = w.Flush()
			}
			<-ctx.Done()
		}}
		p := newPair(t, h, options{inTime: true})
		resp, err := p.ask(get("/body"))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, err := resp.Body.Read(b); n != 4 || err != nil {
			t.Errorf("%d bytes and %v", n, err)
		}
		p.net.last().freeze() // what follows is not accepted
		failed := make(chan error, 1)
		go func() {
			_, err := p.ask(get("/"))
			failed <- err
		}()
		synctest.Wait()
		_ = p.net.last().Close()
		unreached(t, <-failed, Lost)
		if _, err := resp.Body.Read(b); !errors.Is(err, ErrLost) {
			t.Errorf("the content ended by %v", err)
		}
		_ = resp.Body.Close()
	})
}

// TestStoppedNode: a node that takes connections and says nothing is no node
// that can be reached.
func TestStoppedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		defer net.Close()
		changes := make(chan bool, 10)
		ca := newAuthority(t)
		p := New(Config{
			Client: ca.client(t, 2), Limits: limits.Default(), Log: nop,
			Reached: func(_ affinity.NodeID, ok bool) { changes <- ok },
		})
		p.dial = net.dial
		end := running(t, p.Run)
		defer func() { _ = end() }()
		start := time.Now()
		p.Follow(map[affinity.NodeID]netip.AddrPort{1: netip.MustParseAddrPort("10.0.0.1:1")})
		if ok := <-changes; ok || time.Since(start) != limits.Default().RelayDead {
			t.Errorf("reached: %v after %v", ok, time.Since(start))
		}
	})
}

// TestFollow: nodes that are followed no more are asked no more, and what is
// in flight there goes on.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, _ *exchange.Request) {
			_ = w.Head(200, nil, 4)
			_ = w.Flush()
			<-goOn
			_, _ = io.WriteString(w, "late")
		}}
		p := newPair(t, h, options{inTime: true})
		resp, err := p.ask(get("/"))
		if err != nil {
			t.Fatal(err)
		}
		p.peers.Follow(nil)
		synctest.Wait()
		_, err = p.ask(get("/"))
		unreached(t, err, NotConnected)
		after(time.Minute)
		close(goOn)
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != "late" {
			t.Errorf("%q and %v", b, err)
		}
		synctest.Wait()
		if n := counted(p.server.met.link.open); n != 0 {
			t.Errorf("%v connections are open", n)
		}
		if len(p.changes) != 0 {
			t.Error("a node that is not followed has changed")
		}
		if _, err := p.peers.Ask(t.Context(), 2, get("/")); !strings.Contains(err.Error(), "node 2 was not reached") {
			t.Errorf("asking itself: %v", err)
		}
	})
}

// TestBusy: over limits.RelayStreams requests are passed by, at once.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, _ *exchange.Request) {
			<-goOn
			_ = w.Head(200, nil, 0)
		}}
		p := newPair(t, h, options{inTime: true, limits: func(l *limits.Limits) { l.RelayStreams = 2 }})
		answers := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := p.ask(get("/"))
				answers <- err
			}()
		}
		synctest.Wait()
		_, err := p.ask(get("/"))
		unreached(t, err, Busy)
		if n := p.counters.Hits(limits.RelayStreams); n != 1 {
			t.Errorf("%d hits of the limit", n)
		}
		close(goOn)
		for range 2 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		p.must(get("/"))
	})
}
