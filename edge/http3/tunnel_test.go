package http3

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

var connect = head("CONNECT", field(":protocol", "websocket"), field("sec-websocket-version", "13"))

// tunnelled serves with a tunnel, which fn works on.
func tunnelled(t *testing.T, fn func(rw io.ReadWriteCloser)) *edge {
	return serve(t, testLimits(), &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		if r.Upgrade != "websocket" || r.Method != "GET" || r.Body != nil {
			t.Errorf("upgrade %q, method %s, body %v", r.Upgrade, r.Method, r.Body)
		}
		rw, err := w.Tunnel(exchange.Header{field("sec-websocket-protocol", "x")})
		if err != nil {
			t.Error(err)
			return
		}
		fn(rw)
	}})
}

// TestTunnel: an extended CONNECT carries bytes both ways, and each way ends
// by itself.
func TestTunnel(t *testing.T) {
	e := tunnelled(t, func(rw io.ReadWriteCloser) {
		b, err := io.ReadAll(rw)
		if err != nil {
			t.Error(err)
		}
		if _, err := rw.Write(append([]byte("you said "), b...)); err != nil {
			t.Error(err)
		}
		if _, err := rw.Write(make([]byte, 3*tunnelFrame)); err != nil {
			t.Error(err)
		}
		if err := rw.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		if _, err := rw.Write([]byte("x")); err == nil {
			t.Error("written after the end")
		}
		_ = rw.Close()
	})
	s := bidi(t, e.dial(), join(connect, frame(frameData, []byte("hel")...)))
	for _, part := range [][]byte{frame(0x21, 1, 2), frame(frameData), frame(frameData, []byte("lo")...)} {
		if _, err := s.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	a := read(t, s)
	if len(a.heads) != 1 || a.heads[0].Get(":status") != "200" || a.heads[0].Has("content-length") || a.heads[0].Get("sec-websocket-protocol") != "x" {
		t.Errorf("heads %v", a.heads)
	}
	if want := "you said hello"; string(a.body[:len(want)]) != want || len(a.body) != len(want)+3*tunnelFrame {
		t.Errorf("%d bytes that begin with %q", len(a.body), a.body[:min(len(a.body), 20)])
	}
}

// TestTunnelBothWays: an echo while both directions are open.
func TestTunnelBothWays(t *testing.T) {
	e := tunnelled(t, func(rw io.ReadWriteCloser) {
		_, _ = io.Copy(rw, rw)
		_ = rw.Close()
	})
	s := bidi(t, e.dial(), connect)
	in := &input{src: s}
	for _, said := range []string{"", "one", "two"} {
		if said != "" {
			if _, err := s.Write(frame(frameData, []byte(said)...)); err != nil {
				t.Fatal(err)
			}
		}
		typ, length, err := in.header()
		if err != nil {
			t.Fatal(err)
		}
		b, err := in.gather(int(length))
		if err != nil || said != "" && (typ != frameData || string(b) != said) {
			t.Fatalf("type %d, %q, %v; want %q", typ, b, err, said)
		}
	}
	_ = s.Close()
	if _, _, err := in.header(); err != io.EOF {
		t.Errorf("the echo ends with %v", err)
	}
}

// TestTunnelEnds: how a tunnel ends when one side does not want it any more.
func TestTunnelEnds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		serves func(io.ReadWriteCloser)
		client func(t *testing.T, e *edge, qc *quic.Conn, s *quic.Stream)
	}{
		{
			"closed while a write is stuck",
			func(rw io.ReadWriteCloser) {
				stuck := make(chan struct{})
				go func() {
					defer close(stuck)
					_, _ = rw.Write(make([]byte, 64<<20))
				}()
				_, _ = rw.Read(make([]byte, 1))
				_ = rw.Close()
				<-stuck
			},
			func(t *testing.T, _ *edge, _ *quic.Conn, s *quic.Stream) {
				if _, err := io.ReadFull(s, make([]byte, tunnelFrame)); err != nil { // the write has begun
					t.Fatal(err)
				}
				if _, err := s.Write(frame(frameData, 1)); err != nil {
					t.Fatal(err)
				}
				if got := resetWith(t, s); got != codeRequestCancelled {
					t.Errorf("reset with %v", got)
				}
			},
		},
		{
			"reset by the client",
			func(rw io.ReadWriteCloser) {
				if _, err := io.ReadAll(rw); !wasReset(err) {
					t.Errorf("read %v", err)
				}
				_ = rw.Close()
			},
			func(t *testing.T, _ *edge, _ *quic.Conn, s *quic.Stream) {
				s.CancelWrite(quicCode(codeRequestCancelled))
				_, err := io.ReadAll(s)
				var reset *quic.StreamError
				if !errors.As(err, &reset) {
					t.Errorf("ended with %v", err)
				}
			},
		},
		{
			"trailers",
			func(rw io.ReadWriteCloser) { _, _ = io.ReadAll(rw) },
			func(t *testing.T, e *edge, qc *quic.Conn, s *quic.Stream) {
				_, _ = s.Write(frame(frameHeaders, fields()...))
				if got := closedWith(t, e, qc); got != codeFrameUnexpected {
					t.Errorf("closed with %v", got)
				}
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := tunnelled(t, tc.serves)
			qc := e.dial()
			s := bidi(t, qc, connect)
			head := make([]byte, 10) // the answer is there
			if _, err := io.ReadFull(s, head); err != nil {
				t.Fatal(err)
			}
			tc.client(t, e, qc, s)
		})
	}
}

// TestNoTunnel: a request that asks for none gets none.
func TestNoTunnel(t *testing.T) {
	e := serve(t, testLimits(), &handler{serve: func(_ context.Context, w exchange.Writer, _ *exchange.Request) {
		if _, err := w.Tunnel(nil); err == nil {
			t.Error("a GET became a tunnel")
		}
		_ = w.Head(200, nil, 0)
	}})
	bidiGET(t, e.dial())
}
