package http3

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// gatedSocket is a client's socket that hears nothing until its gate opens:
// what the client sends meanwhile is early data.
type gatedSocket struct {
	net.PacketConn
	open chan struct{}
}

func (g *gatedSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	n, addr, err := g.PacketConn.ReadFrom(p)
	<-g.open
	return n, addr, err
}

// SetReadBuffer and SetWriteBuffer keep quic-go from warning of their lack.
func (g *gatedSocket) SetReadBuffer(int) error  { return nil }
func (g *gatedSocket) SetWriteBuffer(int) error { return nil }

// gated returns a transport over such a socket, and what opens its gate.
func gated(t *testing.T) (tr *quic.Transport, open func()) {
	t.Helper()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	g := &gatedSocket{PacketConn: socket, open: make(chan struct{})}
	tr = &quic.Transport{Conn: g}
	opened := false
	open = func() {
		if !opened {
			opened = true
			close(g.open)
		}
	}
	t.Cleanup(func() {
		open()
		_ = tr.Close()
		_ = socket.Close()
	})
	return tr, open
}

// TestEarlyData: what comes before the handshake is done may be a replay.
func TestEarlyData(t *testing.T) {
	type seen struct {
		method  string
		early   bool
		refused exchange.Refusal
	}
	served := make(chan seen, 10)
	e := serve(t, testLimits(), &handler{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
		served <- seen{r.Method, r.Early, r.Refused}
		echo(ctx, w, r)
	}})
	conf := e.clientTLS()
	conf.ClientSessionCache = &sessions{LRU: tls.NewLRUClientSessionCache(1), got: make(chan struct{}, 4)}
	first, err := quic.DialAddr(e.ctx(), e.ln.Addr().String(), conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-conf.ClientSessionCache.(*sessions).got
	_ = first.CloseWithError(quic.ApplicationErrorCode(codeNoError), "")

	tr, open := gated(t)
	qc, err := tr.DialEarly(e.ctx(), e.ln.Addr(), conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	var answers []*quic.Stream
	for _, tc := range []struct {
		sends []byte
		want  seen
	}{
		{head("GET"), seen{"GET", true, exchange.Admitted}},
		{head("POST", field("content-length", "0")), seen{"POST", true, exchange.TooEarly}},
		{join(head("GET"), frame(frameData, 1)), seen{"GET", true, exchange.TooEarly}},
		{head("CONNECT", field(":protocol", "websocket")), seen{"GET", true, exchange.TooEarly}},
	} {
		s := bidi(t, qc, tc.sends)
		_ = s.Close()
		if got := <-served; got != tc.want {
			t.Errorf("served %+v, want %+v", got, tc.want)
		}
		answers = append(answers, s)
	}
	open()
	for i, want := range []string{"200", "425", "425", "425"} {
		if a := read(t, answers[i]); len(a.heads) != 1 || a.heads[0].Get(":status") != want {
			t.Errorf("request %d: answered %+v, want %s", i, a, want)
		}
	}
	if !qc.ConnectionState().Used0RTT {
		t.Error("early data was not accepted")
	}
	s := bidi(t, qc, head("POST"))
	_ = s.Close()
	if got, want := <-served, (seen{"POST", false, exchange.Admitted}); got != want {
		t.Errorf("after the handshake: served %+v, want %+v", got, want)
	}
	read(t, s)
}

// sessions tells when a ticket has come.
type sessions struct {
	LRU tls.ClientSessionCache
	got chan struct{}
}

func (s *sessions) Get(key string) (*tls.ClientSessionState, bool) { return s.LRU.Get(key) }

func (s *sessions) Put(key string, state *tls.ClientSessionState) {
	s.LRU.Put(key, state)
	if state != nil {
		select {
		case s.got <- struct{}{}:
		default:
		}
	}
}

// TestSettingsInTickets: a ticket given under other settings allows no early
// data.
func TestSettingsInTickets(t *testing.T) {
	lim := limits.Default()
	other := lim
	other.RequestHead /= 2
	var kept *tls.SessionState
	conf := &tls.Config{
		WrapSession:   func(_ tls.ConnectionState, ss *tls.SessionState) ([]byte, error) { kept = ss; return nil, nil },
		UnwrapSession: func([]byte, tls.ConnectionState) (*tls.SessionState, error) { return kept, nil },
	}
	for _, tc := range []struct {
		name  string
		given limits.Limits
		early bool
	}{{"the same", lim, true}, {"others", other, false}} {
		t.Run(tc.name, func(t *testing.T) {
			ticket, err := serverTLS(conf, &tc.given).WrapSession(tls.ConnectionState{}, &tls.SessionState{EarlyData: true})
			if err != nil {
				t.Fatal(err)
			}
			now := serverTLS(conf, &lim)
			ss, err := now.UnwrapSession(ticket, tls.ConnectionState{})
			if err != nil || ss == nil || ss.EarlyData != tc.early {
				t.Errorf("unwrapped %+v, %v; want early data %v", ss, err, tc.early)
			}
		})
	}
}

// TestRetry: when too many handshakes are in progress, a client must show
// that its address is its own; it still gets in.
func TestRetry(t *testing.T) {
	t.Parallel() // it waits
	lim := testLimits()
	lim.HalfOpen = 2
	e := serve(t, lim, &handler{serve: echo})
	qc := e.dial()
	bidiGET(t, qc)
	if n := e.counters.Hits(limits.HalfOpen); n != 0 {
		t.Fatalf("%d Retries without load", n)
	}
	ctx, cancel := context.WithCancel(e.ctx())
	var dialled []chan struct{}
	for range lim.HalfOpen {
		tr, _ := gated(t)
		done := make(chan struct{})
		dialled = append(dialled, done)
		go func() {
			defer close(done)
			_, _ = tr.Dial(ctx, e.ln.Addr(), e.clientTLS(), nil) // never answered
		}()
	}
	e.eventually("half-open handshakes", func() bool { return e.ln.gate.inProgress.Load() == int64(lim.HalfOpen) })
	bidiGET(t, e.dial())
	if n := e.counters.Hits(limits.HalfOpen); n == 0 {
		t.Error("no Retry under load")
	}
	cancel()
	for _, done := range dialled {
		<-done
	}
	e.eventually("the end of handshakes", func() bool { return e.ln.gate.inProgress.Load() == 0 })
	if n := e.counters.Hits(limits.HandshakeTime); n != uint64(lim.HalfOpen) {
		t.Errorf("%d handshakes counted as too slow, want %d", n, lim.HalfOpen)
	}
}

// TestGateIsClosed: far over the limit, nobody gets in.
func TestGateIsClosed(t *testing.T) {
	counters := &limits.Counters{}
	g := &gate{limit: 2, counters: counters}
	var ends []context.CancelFunc
	for range refuseAt * g.limit {
		ctx, cancel := context.WithCancel(t.Context())
		ends = append(ends, cancel)
		if _, err := g.enter(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.enter(t.Context(), nil); err == nil || counters.Hits(limits.HalfOpen) != 1 {
		t.Errorf("one more: %v", err)
	}
	if !g.verify(nil) {
		t.Error("no Retry")
	}
	for _, end := range ends {
		end()
	}
}

func bidiGET(t *testing.T, qc *quic.Conn) {
	t.Helper()
	s := bidi(t, qc, head("GET"))
	_ = s.Close()
	if a := read(t, s); len(a.heads) != 1 || a.heads[0].Get(":status") != "200" {
		t.Errorf("answered %+v", a)
	}
}
