package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// again has what r says encoded: the flags decide what there is to say.
func (in *incoming) again() []byte {
	r := in.request
	if in.flags.has(hasBody) {
		r.Body = io.NopCloser(bytes.NewReader(nil))
	}
	if in.flags.has(hasTrailer) {
		r.Trailer = func() exchange.Header { return nil }
	}
	if in.flags.has(wantsInterim) {
		r.Interim = func(int, exchange.Header) {}
	}
	return appendRequest(nil, flagsOf(&r), &r)
}

// FuzzRequest: what is taken for a request says the same, byte for byte, when
// it is said again; kept, it is the same request.
func FuzzRequest(f *testing.F) {
	for seed := range uint64(20) {
		r := newDice(seed).request()
		f.Add(appendRequest(nil, flagsOf(r), r))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var in incoming
		if !in.parse(p, 100) {
			return
		}
		if got := in.again(); !bytes.Equal(got, p) {
			t.Errorf("% x\nwas said again as % x", p, got)
		}
		if kept := in.kept(); !sameRequest(kept, &in.request) {
			t.Errorf("%+v\nwas kept as %+v", in.request, kept)
		}
		if n := cap(in.request.Header); n > 4*len(p)+8 {
			t.Errorf("room for %d fields, of %d bytes", n, len(p))
		}
	})
}

func FuzzResponse(f *testing.F) {
	for seed := range uint64(20) {
		d := newDice(seed)
		f.Add(appendResponse(appendMarks(nil, 0, &exchange.Copy{Kept: d.yes(), Age: time.Second}), 200, -1, d.header()))
		f.Add(appendResponse(appendMarks(nil, isTunnel, nil), 101, -1, d.header()))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var a answer
		if !a.parse(p) {
			return
		}
		var c *exchange.Copy
		if a.marks.has(hasCopy) {
			c = &a.copied
		}
		m := a.marks &^ (hasCopy | isKept)
		if got := appendResponse(appendMarks(nil, m, c), a.status, a.length, a.header); !bytes.Equal(got, p) {
			t.Errorf("% x\nwas said again as % x", p, got)
		}
	})
}

// FuzzSmall is every other payload.
func FuzzSmall(f *testing.F) {
	f.Add(hello{1 << 15, 1024, 1 << 16}.frame()[frameHeader:])
	f.Add(appendInterim(nil, 103, exchange.Header{{Name: "a", Value: "b"}}))
	f.Add(appendFields(nil, exchange.Header{{Name: "a", Value: "b"}, {Name: "c"}}))
	f.Add(appendFailure(nil, errHead))
	f.Add(appendCall(nil, "do", 12))
	f.Fuzz(func(t *testing.T, p []byte) {
		same := func(what string, got []byte) {
			if !bytes.Equal(got, p) {
				t.Errorf("%s: % x\nwas said again as % x", what, p, got)
			}
		}
		if h, err := parseHello(p); err == nil {
			same("HELLO", h.frame()[frameHeader:])
		}
		if i := (interim{}); i.parse(p) {
			same("INTERIM", appendInterim(nil, i.status, i.header))
		}
		if h, ok := parseTrailer(p); ok {
			same("END", appendFields(nil, h))
		}
		if x := (failure{}); x.parse(p) {
			same("FAIL", appendText(appendText(appendText(nil, x.cause), x.endpoint), x.text))
		}
		if name, n, ok := parseCall(p); ok {
			same("CALL", appendCall(nil, name, n))
		}
		if len(p) >= frameHeader {
			if f, err := parseFrame(p, both, 1<<20); err == nil {
				if got := f.appendTo(nil); !bytes.Equal(got, p[:frameHeader]) {
					t.Errorf("% x\nwas said again as % x", p[:frameHeader], got)
				}
			}
		}
	})
}

// frames is input for an end: HELLO, and these.
func frames(all ...[]byte) []byte {
	b := hello{firstWindow, 10, 1 << 16}.frame()
	for _, f := range all {
		b = append(b, f...)
	}
	return b
}

func framed(k kind, stream uint32, p []byte) []byte {
	return append(frame{k, len(p), stream}.appendTo(nil), p...)
}

// feed gives an end its input, piece by piece.
func (l *link) feed(in []byte, piece int) error {
	for len(in) > 0 {
		n := copy(l.buf[l.w:], in[:min(len(in), piece)])
		in = in[n:]
		l.w += n
		if err := l.consume(); err != nil {
			return err
		}
	}
	return nil
}

// FuzzServed: whatever an asker sends, the end that answers neither breaks nor
// keeps more than it may; and however it is cut into pieces, it is read alike.
func FuzzServed(f *testing.F) {
	r, u := get("/a"), get("/x")
	u.Upgrade, u.Method = "websocket", "POST"
	f.Add(frames(framed(frameHead, 1, appendRequest(nil, flagsOf(r), r)), framed(frameCancel, 1, nil)), uint16(3))
	f.Add(frames(framed(frameHead, 1, appendRequest(nil, hasBody, u)), framed(frameGo, 1, nil), framed(frameData, 1, []byte("x")), framed(frameEnd, 1, nil)), uint16(100))
	f.Add(frames(framed(frameCall, 1, appendCall(nil, "do", 1)), framed(frameGo, 1, nil), framed(frameWindow, 1, []byte{9}), framed(framePing, 0, nil)), uint16(7))
	f.Fuzz(func(t *testing.T, in []byte, piece uint16) {
		h := &stub{
			stored: map[string]*exchange.Stored{"/a": object(100_000)},
			serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
				if r.Upgrade != "" {
					if tun, err := w.Tunnel(nil); err == nil {
						_, _ = tun.Write([]byte("x"))
					}
					return
				}
				_ = w.Head(200, nil, 1)
				_, _ = w.Write([]byte("x"))
			},
		}
		lim := limits.Default()
		lim.RelayStreams = 5
		s := newServer(ServerConfig{TLS: &tls.Config{}, Handler: h, Limits: lim, Log: nop}, nil, nil)
		c := newServerConn(context.Background(), s, 2, nil, newPipe(&wireEnd{in: newWire(), out: newWire()}))
		err := c.feed(in, int(piece)+1)
		if err == nil {
			err = io.EOF
		}
		c.mu.Lock()
		if n := c.slots(); n > lim.RelayStreams {
			t.Errorf("%d requests at once, at most %d", n, lim.RelayStreams)
		}
		c.mu.Unlock()
		c.fail(err)
		c.tasks.Wait()
		if c.slots() != 0 || h.hits.Load() != h.sentWhole.Load()+h.sentCut.Load() {
			t.Errorf("%d slots are taken at the end; %d hits, %d sent, %d cut", c.slots(), h.hits.Load(), h.sentWhole.Load(), h.sentCut.Load())
		}
	})
}

// FuzzAsked: the same for the end that asks, with requests of each kind in
// flight.
func FuzzAsked(f *testing.F) {
	ok := appendResponse(appendMarks(nil, 0, nil), 200, 3, nil)
	f.Add(frames(framed(frameAccept, 1, nil), framed(frameResponse, 1, ok), framed(frameLast, 1, []byte("abc"))), uint16(5))
	f.Add(frames(framed(frameInterim, 1, appendInterim(nil, 103, nil)), framed(frameFail, 1, appendFailure(nil, errHead))), uint16(50))
	f.Add(frames(framed(frameDecline, 2, []byte{7}), framed(frameRefused, 3, []byte{0}), framed(frameGoAway, 0, nil)), uint16(1000))
	f.Add(frames(framed(frameAccept, 2, nil), framed(frameWindow, 2, []byte{100}), framed(frameCancel, 2, nil)), uint16(1000))
	f.Add(frames(framed(frameResponse, 3, appendResponse(appendMarks(nil, isTunnel, nil), 101, -1, nil)), framed(frameEnd, 3, nil)), uint16(1000))
	f.Fuzz(func(t *testing.T, in []byte, piece uint16) {
		p := New(Config{Limits: limits.Default(), Log: nop})
		c := newClient(p, 1, nil, newPipe(&wireEnd{in: newWire(), out: newWire()}))
		c.peer = hello{firstWindow, 10, 1 << 16}
		var reads atomic.Int64
		for i := range 3 {
			r := get("/")
			a := &asked{stream: stream{news: make(chan struct{}, 1), room: make(chan struct{}, 1)}, kind: frameHead, tunnel: i == 2}
			r.Interim = func(int, exchange.Header) {}
			a.flags = flagsOf(r)
			if i == 1 {
				a.body = upload{src: counter{&reads}, length: 10}
			}
			if err := c.begin(a, func(b []byte) []byte { return appendRequest(b, a.flags, r) }); err != nil {
				t.Fatal(err)
			}
		}
		all := []*stream{c.streams[1], c.streams[2], c.streams[3]}
		err := c.feed(in, int(piece)+1)
		if err == nil {
			err = io.EOF
		}
		c.fail(err)
		p.work.Wait()
		for _, s := range all {
			if s.open || s.asked.stage != closed || s.asked.stage < answered && s.asked.err == nil {
				t.Errorf("a request has not ended: %+v", s)
			}
			if s.in.len() > firstWindow {
				t.Errorf("%d bytes are kept of content", s.in.len())
			}
		}
	})
}

// counter is a body of zeros.
type counter struct{ n *atomic.Int64 }

func (c counter) Read(p []byte) (int, error) { c.n.Add(1); return min(len(p), 1), nil }
