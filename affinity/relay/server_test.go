package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// TestDrain: a node that leaves says so, ends what is in flight, and is asked
// no more meanwhile.
func TestDrain(t *testing.T) {
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
		asker := p.rawAsker().hello() // one that asks though it was told
		asker.wants(frameHello, 0)
		ended := make(chan error, 1)
		go func() { ended <- p.endServe() }()
		p.reached(false) // nobody listens any more
		_, err = p.ask(get("/"))
		unreached(t, err, NotConnected)
		asker.wants(frameGoAway, 0)
		asker.head(1, "/", "GET")
		if why := asker.wants(frameRefused, 1); refusal(why[0]).why() != Leaving {
			t.Errorf("refused as %v", why)
		}
		after(500 * time.Millisecond)
		close(goOn)
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != "late" {
			t.Errorf("%q and %v", b, err)
		}
		start := time.Now()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		// The raw asker does not close; it is given a moment.
		if took := time.Since(start); took > 2*p.conf.Limits.RelayDead {
			t.Errorf("ended %v after the last answer", took)
		}
	})
}

// TestDrainIsBounded: what does not end is cut.
func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{serve: func(ctx context.Context, w exchange.PeerWriter, _ *exchange.Request) {
			_ = w.Head(200, nil, 4)
			_ = w.Flush()
			<-ctx.Done()
		}}
		p := newPair(t, h, options{inTime: true, drain: 10 * time.Second})
		resp, err := p.ask(get("/"))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := p.endServe(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("ended after %v", took)
		}
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, ErrLost) {
			t.Errorf("the content ended by %v", err)
		}
	})
}

// TestRefusedThere: an asker that does not count is refused, and nothing is
// begun.
func TestRefusedThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{serve: func(ctx context.Context, _ exchange.PeerWriter, _ *exchange.Request) { <-ctx.Done() }}
		p := newPair(t, h, options{inTime: true, limits: func(l *limits.Limits) { l.RelayStreams = 2 }})
		r := p.rawAsker().hello()
		r.wants(frameHello, 0)
		for id := range uint32(2) {
			r.head(id+1, "/", "GET")
			r.wants(frameAccept, id+1)
		}
		r.head(3, "/", "GET")
		if why := r.wants(frameRefused, 3); refusal(why[0]).why() != Busy {
			t.Errorf("refused as %v", why)
		}
		if n := p.counters.Hits(limits.RelayStreams); n != 1 || counted(p.server.met.served[servedRefused]) != 1 {
			t.Errorf("%d hits of the limit", n)
		}
		r.send(frameCancel, 1, nil)
		synctest.Wait()
		r.head(4, "/", "GET")
		r.wants(frameAccept, 4)
	})
}

// TestMalformed: whoever sends what is not to be sent loses its connection,
// and the reason is counted.
func TestMalformed(t *testing.T) {
	text := func(s string) []byte { return appendText(nil, s) }
	for _, tc := range []struct {
		name string
		send func(r *raw)
	}{
		{"no HELLO", func(r *raw) { r.head(1, "/", "GET") }},
		{"another version", func(r *raw) { r.send(frameHello, 0, []byte{9, 1, 1, 1}) }},
		{"a short HELLO", func(r *raw) { r.send(frameHello, 0, []byte{1, 1}) }},
		{"HELLO twice", func(r *raw) { r.hello().hello() }},
		{"an unknown frame", func(r *raw) { r.hello().send(endKinds, 1, nil) }},
		{"a frame of the other side", func(r *raw) { r.hello().send(frameAccept, 1, nil) }},
		{"a frame too large", func(r *raw) { r.hello().write([]byte{byte(frameHead), 0xff, 0xff, 0xff, 0, 0, 0, 1}) }},
		{"no stream", func(r *raw) { r.hello().send(frameHead, 0, nil) }},
		{"a stream where none is", func(r *raw) { r.hello().send(framePing, 1, nil) }},
		{"an empty HEAD", func(r *raw) { r.hello().send(frameHead, 1, nil) }},
		{"HEAD asks for nothing", func(r *raw) {
			req := get("/")
			req.Asked = exchange.AskNothing
			r.hello().send(frameHead, 1, appendRequest(nil, flagsOf(req), req))
		}},
		{"too many fields", func(r *raw) {
			req := get("/")
			req.Header = make(exchange.Header, limits.Default().RequestFields+fieldsRoom+1)
			for i := range req.Header {
				req.Header[i].Name = "x"
			}
			r.hello().send(frameHead, 1, appendRequest(nil, flagsOf(req), req))
		}},
		{"a stream in use", func(r *raw) { r.hello().head(1, "/", "GET"); r.head(1, "/", "GET") }},
		{"GO at the wrong time", func(r *raw) { r.hello().head(1, "/", "GET"); r.send(frameGo, 1, nil) }},
		{"content nobody asked for", func(r *raw) { r.hello().head(1, "/", "GET"); r.send(frameData, 1, []byte("x")) }},
		{"an end nobody waits for", func(r *raw) { r.hello().head(1, "/", "GET"); r.send(frameEnd, 1, nil) }},
		{"a window of nothing", func(r *raw) { r.hello().head(1, "/", "GET"); r.send(frameWindow, 1, []byte{0}) }},
		{"a window too large", func(r *raw) {
			r.hello().head(1, "/", "GET")
			r.send(frameWindow, 1, bytes.Repeat([]byte{0xff}, 9))
		}},
		{"a call without a name", func(r *raw) { r.hello().send(frameCall, 1, append(text(""), 0)) }},
		{"a call too large", func(r *raw) { r.hello().send(frameCall, 1, appendCall(nil, "do", MaxPayload+1)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &stub{serve: func(ctx context.Context, _ exchange.PeerWriter, _ *exchange.Request) { <-ctx.Done() }}
				p := newPair(t, h, options{inTime: true})
				r := p.rawAsker()
				start := time.Now()
				tc.send(r)
				r.ends()
				synctest.Wait()
				if n := counted(p.server.met.link.ended[endMalformed]); n != 1 || time.Since(start) != 0 {
					t.Errorf("%v connections ended as malformed, after %v", n, time.Since(start))
				}
			})
		})
	}
}

// TestIdentity: only nodes are served, and only the node that was dialled is
// asked.
func TestIdentity(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	h := &stub{serve: okay}
	lim := limits.Default()
	lim.RelayDead = time.Minute
	s, err := Listen(ServerConfig{
		Addr: netip.MustParseAddrPort("127.0.0.1:0"), TLS: ca.server(t, 1), PeerID: peerID, Handler: h,
		Limits: lim, Drain: time.Second, Log: nop,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	end := running(t, s.Run)
	defer func() { _ = end() }()
	for _, tc := range []struct {
		name   string
		client func(affinity.NodeID) *tls.Config
		to     affinity.NodeID
		ok     bool
	}{
		{"a node", ca.client(t, 2), 1, true},
		{"a stranger's certificate", func(id affinity.NodeID) *tls.Config {
			c := stranger.client(t, 2)(id)
			c.RootCAs = ca.pool
			return c
		}, 1, false},
		{"no certificate", func(id affinity.NodeID) *tls.Config {
			c := ca.client(t, 2)(id)
			c.Certificates = nil
			return c
		}, 1, false},
		{"another node listens there", ca.client(t, 2), 5, false},
		{"the server is a stranger", stranger.client(t, 2), 1, false},
		{"node 0", ca.client(t, 0), 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			changes := make(chan bool, 100)
			p := New(Config{
				Self: 2, Client: tc.client, Limits: lim, Log: nop,
				Reached: func(_ affinity.NodeID, ok bool) { changes <- ok },
			})
			end := running(t, p.Run)
			defer func() { _ = end() }()
			p.Follow(map[affinity.NodeID]netip.AddrPort{tc.to: s.Addr()})
			if ok := <-changes; ok != tc.ok {
				t.Errorf("reached: %v", ok)
			}
		})
	}
	t.Run("another protocol", func(t *testing.T) {
		c := ca.client(t, 2)(1)
		c.NextProtos = []string{"h2"}
		if tc, err := tls.Dial("tcp", s.Addr().String(), c); err == nil {
			_ = tc.Close()
			t.Error("it speaks HTTP/2")
		}
	})
	t.Run("no TLS", func(t *testing.T) {
		nc, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, strings.Repeat("GET / HTTP/1.1\r\n\r\n", 10))
		if b, err := io.ReadAll(nc); err == nil && bytes.Contains(b, []byte("200")) {
			t.Errorf("answered %q", b)
		}
	})
	if n := counted(s.met.turnedAway[badHandshake]) + counted(s.met.turnedAway[badIdentity]); n < 4 || h.exchanges.Load() != 0 {
		t.Errorf("%v connections were turned away, %d requests served", n, h.exchanges.Load())
	}
}

// TestConnectionsOfOneNode: one node has only so many.
func TestConnectionsOfOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, &stub{serve: okay}, options{inTime: true})
		for range maxConns {
			p.rawAsker().hello().wants(frameHello, 0)
		}
		p.rawAsker().ends()
		if n := counted(p.server.met.turnedAway[tooManyConns]); n != 1 {
			t.Errorf("%v connections were turned away", n)
		}
		p.must(get("/")) // another node's connection is not concerned
	})
}

// TestAskerThatTakesNothing: a node that asks, and is there, but takes none of
// what it is given, loses its connection.
func TestAskerThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{stored: map[string]*exchange.Stored{"/a": object(maxData)}}
		p := newPair(t, h, options{inTime: true})
		r := p.rawAsker().hello()
		r.wants(frameHello, 0)
		for id := range uint32(100) {
			r.head(id+1, "/a", "GET")
		}
		start := time.Now()
		for counted(p.server.met.link.ended[endSilent]) == 0 && time.Since(start) < time.Minute {
			r.send(framePing, 0, nil)
			after(p.conf.Limits.RelayDead / pulses)
		}
		if took := time.Since(start); took > (stuckAfter+1)*p.conf.Limits.RelayDead {
			t.Errorf("it took %v", took)
		}
		if h.sentWhole.Load()+h.sentCut.Load() != h.hits.Load() {
			t.Errorf("%d hits, of which %d were sent, %d cut", h.hits.Load(), h.sentWhole.Load(), h.sentCut.Load())
		}
	})
}

// TestMalformedAnswers: an asker does not take everything either.
func TestMalformedAnswers(t *testing.T) {
	ok := appendResponse(appendMarks(nil, 0, nil), 200, 1, nil)
	for _, tc := range []struct {
		name string
		send func(r *raw)
	}{
		{"an empty RESPONSE", func(r *raw) { r.send(frameResponse, 1, nil) }},
		{"content before the head", func(r *raw) { r.send(frameData, 1, []byte("x")) }},
		{"two heads", func(r *raw) { r.send(frameResponse, 1, ok); r.send(frameResponse, 1, ok) }},
		{"more than announced", func(r *raw) { r.send(frameResponse, 1, ok); r.send(frameData, 1, []byte("xx")) }},
		{"content beyond the window", func(r *raw) {
			r.send(frameResponse, 1, appendResponse(appendMarks(nil, 0, nil), 200, -1, nil))
			for range firstWindow/maxData + 1 {
				r.send(frameData, 1, make([]byte, maxData))
			}
		}},
		{"an empty DATA", func(r *raw) { r.send(frameResponse, 1, ok); r.send(frameData, 1, nil) }},
		{"a tunnel", func(r *raw) {
			r.send(frameResponse, 1, appendResponse(appendMarks(nil, isTunnel, nil), 101, -1, nil))
		}},
		{"an interim response", func(r *raw) { r.send(frameInterim, 1, appendInterim(nil, 103, nil)) }},
		{"a refusal without a reason", func(r *raw) { r.send(frameRefused, 1, nil) }},
		{"a head from the wrong side", func(r *raw) { r.send(frameHead, 2, nil) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var counters limits.Counters
				p := rawAnswerer(t, &counters, func(r *raw) {
					r.wants(frameHello, 0)
					r.wants(frameHead, 1)
					r.send(frameAccept, 1, nil)
					tc.send(r)
					r.ends()
				})
				resp, err := p.Ask(t.Context(), 1, get("/"))
				synctest.Wait() // what is not read makes no room
				if err == nil {
					_, err = io.ReadAll(resp.Body)
				}
				if n := counted(p.met.link.ended[endMalformed]); !errors.Is(err, ErrLost) || n != 1 {
					t.Errorf("%v; %v connections ended as malformed", err, n)
				}
				if window := tc.name == "content beyond the window"; window != (counters.Hits(limits.RelayWindow) == 1) {
					t.Errorf("%d hits of the window", counters.Hits(limits.RelayWindow))
				}
			})
		})
	}
}
