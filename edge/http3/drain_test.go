package http3

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// goAways reads our control stream and returns the IDs of its GOAWAY frames.
func goAways(t *testing.T, qc *quic.Conn) <-chan uint64 {
	t.Helper()
	s, err := qc.AcceptUniStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ids := make(chan uint64, 4)
	go func() {
		defer close(ids)
		in := &input{src: s}
		if typ, err := in.varint(); err != nil || typ != streamControl {
			return
		}
		for {
			typ, length, err := in.header()
			if err != nil {
				return
			}
			b, err := in.gather(int(length))
			if err != nil {
				return
			}
			if typ == frameGoAway {
				id, _, _ := quicvarint.Parse(b)
				ids <- id
			}
		}
	}()
	return ids
}

// TestDrain: requests in flight finish, later ones are refused in a way
// that tells the client to ask elsewhere, and then the connection ends.
func TestDrain(t *testing.T) {
	serving, release := make(chan struct{}, 1), make(chan struct{})
	e := serve(t, testLimits(), &handler{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
		if r.Header.Has("x-wait") {
			serving <- struct{}{}
			<-release
		}
		echo(ctx, w, r)
	}})
	qc := e.dial()
	ids := goAways(t, qc)
	slow := bidi(t, qc, head("GET", field("x-wait", "1")))
	_ = slow.Close()
	<-serving
	c := e.only()
	c.Drain()
	c.Drain()
	if id := <-ids; id != lastStream {
		t.Errorf("first GOAWAY %d", id)
	}
	bidiGET(t, qc) // on its way while GOAWAY came
	if id := <-ids; id != 8 {
		t.Errorf("second GOAWAY %d, want 8", id)
	}
	late := bidi(t, qc, head("GET"))
	if got := resetWith(t, late); got != codeRequestRejected {
		t.Errorf("a late request is reset with %v", got)
	}
	close(release)
	if a := read(t, slow); len(a.heads) != 1 || a.heads[0].Get(":status") != "200" {
		t.Errorf("in flight: answered %+v", a)
	}
	if got := closedWith(t, e, qc); got != codeNoError {
		t.Errorf("closed with %v", got)
	}
}

// TestDrainIdle: an idle connection drains at once, also when it was told to
// before it was served.
func TestDrainIdle(t *testing.T) {
	for _, before := range []bool{false, true} {
		served := make(chan *Conn, 1)
		e := serveWith(t, testLimits(), &handler{serve: echo}, func(c *Conn) {
			if before {
				c.Drain()
			}
			served <- c
		})
		qc := e.dial()
		if c := <-served; !before {
			c.Drain()
		}
		if got := closedWith(t, e, qc); got != codeNoError {
			t.Errorf("told before it is served %v: closed with %v", before, got)
		}
	}
}

// TestCut: when the parent context ends, exchanges and the connection do.
func TestCut(t *testing.T) {
	serving := make(chan struct{})
	e := serve(t, testLimits(), &handler{serve: func(ctx context.Context, _ exchange.Writer, _ *exchange.Request) {
		close(serving)
		<-ctx.Done()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	e.parent.Store(&ctx)
	qc := e.dial()
	st := bidi(t, qc, head("GET"))
	_ = st.Close()
	<-serving
	cancel()
	if got := closedWith(t, e, qc); got != codeNoError {
		t.Errorf("closed with %v", got)
	}
	if _, err := io.ReadAll(st); err == nil {
		t.Error("the cut response looks whole")
	}
}

// TestSilence: a connection on which nothing comes any more ends, and is
// counted.
func TestSilence(t *testing.T) {
	t.Parallel() // it waits
	lim := testLimits()
	lim.IdleTime = 3 * time.Second // longer than a machine may stand still in a request
	e := serve(t, lim, &handler{serve: echo})
	bidiGET(t, e.dial())
	e.eventually("the end of a silent connection", func() bool { return e.counters.Hits(limits.IdleTime) == 1 })
}

// TestTooManyStreams: requests are bounded even when their streams are not:
// a reset stream makes room in QUIC before its request has ended.
func TestTooManyStreams(t *testing.T) {
	lim := testLimits()
	lim.Streams = 2
	serving, release := make(chan struct{}, 8), make(chan struct{})
	e := serve(t, lim, &handler{serve: func(ctx context.Context, w exchange.Writer, _ *exchange.Request) {
		_ = w.Head(200, nil, -1)
		serving <- struct{}{}
		<-ctx.Done()
		_ = w.Flush() // fails: QUIC forgets the stream
		<-release
	}})
	defer close(release)
	qc := e.dial()
	for range lim.Streams {
		s := bidi(t, qc, head("GET"))
		_ = s.Close()
		<-serving
		s.CancelRead(quicCode(codeRequestCancelled))
	}
	s, err := qc.OpenStreamSync(e.ctx())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write(head("GET"))
	_ = s.Close()
	_, err = io.ReadAll(s)
	var reset *quic.StreamError
	if !errors.As(err, &reset) || code(reset.ErrorCode) != codeRequestRejected {
		t.Errorf("one too many ended with %v", err)
	}
}

// TestRefusedIsNotActive: a request that is refused holds up no drain.
func TestRefusedIsNotActive(t *testing.T) {
	c, _, _ := fakeConn(testLimits(), &handler{})
	c.refused.Store(8)
	s := newFake(nil, true)
	if c.accept(s, 8) {
		t.Fatal("accepted")
	}
	if _, _, _, got := s.state(); got != codeRequestRejected {
		t.Errorf("reset with %v", got)
	}
	if c.workers.active.Load() != 0 || len(c.drain.idleC) != 1 {
		t.Error("whoever waits for the last request was not told")
	}
}
