//go:build !race

package http3

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// readyStream is a stream whose request is there, and that takes anything.
type readyStream struct {
	head []byte
	left []byte
	n    int
}

func (s *readyStream) Read(p []byte) (int, error) {
	n := copy(p, s.left)
	if s.left = s.left[n:]; len(s.left) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (s *readyStream) Write(p []byte) (int, error)      { s.n += len(p); return len(p), nil }
func (s *readyStream) Close() error                     { return nil }
func (s *readyStream) CancelRead(quic.StreamErrorCode)  {}
func (s *readyStream) CancelWrite(quic.StreamErrorCode) {}
func (s *readyStream) SetReadDeadline(time.Time) error  { return nil }
func (s *readyStream) SetWriteDeadline(time.Time) error { return nil }
func (s *readyStream) Context() context.Context         { return context.Background() }

// browser is the head of a browser's GET, as browsers encode it.
func browser() []byte {
	b := appendSectionPrefix(nil)
	for _, f := range []exchange.Field{
		{Name: ":method", Value: "GET"},
		{Name: ":authority", Value: "www.a.test"},
		{Name: ":scheme", Value: "https"},
		{Name: ":path", Value: "/static/js/main.8f1c2.js"},
		{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"},
		{Name: "accept", Value: "*/*"},
		{Name: "accept-language", Value: "en-US,en;q=0.5"},
		{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
		{Name: "referer", Value: "https://www.a.test/"},
		{Name: "sec-fetch-dest", Value: "script"},
		{Name: "sec-fetch-mode", Value: "no-cors"},
		{Name: "sec-fetch-site", Value: "same-origin"},
		{Name: "priority", Value: "u=2"},
		{Name: "te", Value: "trailers"},
	} {
		b = appendField(b, f.Name, f.Value)
	}
	return frame(frameHeaders, b...)
}

func hitting(size int, fields ...exchange.Field) *handler {
	return &handler{hit: stored(&content{data: bytes.Repeat([]byte("x"), size)}, fields...)}
}

// TestHitAllocatesNothing: our part of a hit makes no garbage.
func TestHitAllocatesNothing(t *testing.T) {
	for name, size := range map[string]int{"1 KiB": 1 << 10, "1 MiB": 1 << 20} {
		c, _, _ := fakeConn(limits.Default(), hitting(size, field("content-type", "text/plain")))
		s := &readyStream{head: browser()}
		if n := testing.AllocsPerRun(1000, func() {
			s.left = s.head
			c.serve(s)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if s.n < 1000*size {
			t.Errorf("%s: %d bytes written", name, s.n)
		}
	}
}

// TestIdleHoldsNothing: between requests a worker holds no request and no
// buffer.
func TestIdleHoldsNothing(t *testing.T) {
	q := requests.Get().(*request)
	c, _, _ := fakeConn(limits.Default(), hitting(10))
	q.c, q.s = c, &readyStream{left: browser()}
	if err := q.serve(); err != nil {
		t.Fatal(err)
	}
	q.release()
	if q.c != nil || q.s != nil || q.msg.in.buf != nil || q.dec.block != nil || q.req.Host != "" || q.stored.Head != nil {
		t.Errorf("a request that was given back holds %+v", q)
	}
	for _, f := range q.req.Header[:cap(q.req.Header)] {
		if f.Name != "" || f.Value != "" {
			t.Errorf("and the field %+v", f)
		}
	}
}

// BenchmarkHit is our part of a hit: from the bytes of a browser's request
// to those of the response.
func BenchmarkHit(b *testing.B) {
	for name, size := range map[string]int{"1k": 1 << 10, "16k": 16 << 10} {
		b.Run(name, func(b *testing.B) {
			c, _, _ := fakeConn(limits.Default(), hitting(size, field("content-type", "text/plain"), field("date", "x")))
			s := &readyStream{head: browser()}
			b.ReportAllocs()
			for b.Loop() {
				s.left = s.head
				c.serve(s)
			}
		})
	}
}
