package http3

import (
	"context"
	"io"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// FuzzStream: whatever a request stream holds, it is at most one request
// with no more content than was sent, and it ends: with an answer, a
// reset, or the end of the connection.
func FuzzStream(f *testing.F) {
	for _, seed := range [][]byte{
		nil, head("GET"), head("POST"), connect,
		join(head("POST"), frame(frameData, 1, 2, 3), frame(frameHeaders, fields(field("etag", "x"))...)),
		join(frame(0x21, 1), head("PUT", field("content-length", "2")), frame(frameData, 1), frame(0x21), frame(frameData, 2)),
		join(head("GET"), frame(frameSettings)), frame(frameHeaders, 0, 0, 0x80), head("GET")[:9],
	} {
		f.Add(seed)
	}
	lim := limits.Default()
	lim.ControlFrames = 50
	f.Fuzz(func(t *testing.T, in []byte) {
		requests, content := 0, int64(0)
		c, session, _ := fakeConn(lim, &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			requests++
			if r.Upgrade != "" {
				rw, err := w.Tunnel(nil)
				if err != nil {
					t.Fatal(err)
				}
				content, _ = io.Copy(io.Discard, rw)
				_ = rw.Close()
				return
			}
			if r.Body != nil {
				n, err := io.Copy(io.Discard, r.Body)
				if content = n; err == nil && r.Length >= 0 && n != r.Length {
					t.Fatalf("%d bytes of %d and no error", n, r.Length)
				}
				_ = r.Trailer()
			}
			_ = w.Head(200, nil, 0)
		}})
		s := newFake(in, true)
		c.serve(s)
		if requests > 1 || content > int64(len(in)) {
			t.Fatalf("%d requests, %d bytes of content of %d", requests, content, len(in))
		}
		if _, closed, _, write := s.state(); !closed && write == 0 && session.closed() == 0 {
			t.Fatal("the stream has no end")
		}
	})
}

// uniStream is a unidirectional stream that holds what the fuzzer made.
type uniStream struct{ *fakeStream }

// FuzzControl: whatever a unidirectional stream holds, reading it ends.
func FuzzControl(f *testing.F) {
	for _, seed := range [][]byte{
		nil, settingsOK,
		{streamEncoder, 0x20, 0x3f, 0x80},
		{streamDecoder, 0x44, 0x7f, 0x80, 1},
		{streamPush},
		{0x21, 1},
		join(settingsOK, frame(frameGoAway, 4), frame(framePriorityRequest, 0, 'u'), frame(0x21, 1, 2), frame(frameMaxPushID, 1)),
	} {
		f.Add(seed)
	}
	lim := limits.Default()
	lim.ControlFrames = 50
	f.Fuzz(func(t *testing.T, in []byte) {
		c, session, _ := fakeConn(lim, &handler{})
		c.follow(uniStream{newFake(in, true)})
		if len(in) > 0 && in[0] <= streamDecoder && session.closed() == 0 {
			t.Fatal("a critical stream ended, and the connection did not")
		}
	})
}
