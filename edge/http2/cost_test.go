package http2

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/testneed"
)

// sink is a connection that takes everything at once, as a socket with room
// does, and brings nothing.
type sink struct {
	net.Conn
	null *os.File
}

func (s *sink) SyscallConn() (syscall.RawConn, error) { return s.null.SyscallConn() }
func (s *sink) SetReadDeadline(time.Time) error       { return nil }
func (s *sink) SetWriteDeadline(time.Time) error      { return nil }
func (s *sink) Close() error                          { return nil }

// batch is a Conn and the input of one wake-up.
type batch struct {
	c     *Conn
	input []byte
	heads []int // where HEADERS begin in input
	next  uint32
}

// newBatch prepares n requests for path, whose fields are all in HPACK's
// tables.
func newBatch(t testing.TB, h exchange.Handler, path string, n int) *batch {
	t.Helper()
	testneed.Linux(t)
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	s, _ := testServer(t, h, nil)
	b := &batch{next: 1}
	b.c = s.Conn(&wire.Plain{Conn: wire.NewConn(&sink{null: null}, false, wire.Pace{})}, exchange.Request{Scheme: "https"})
	b.c.begin(context.Background())
	cl := &client{t: t}
	cl.enc = hpack.NewEncoder(&cl.block)
	cl.framer = http2.NewFramer(&cl.out, nil)
	cl.out.WriteString(preface)
	_ = cl.framer.WriteSettings()
	_ = cl.framer.WriteSettingsAck()
	cl.get(1, path, "accept", "*/*", "user-agent", "test")
	b.feed(t, cl.out.Bytes(), nil)
	cl.out.Reset()
	for range n {
		b.heads = append(b.heads, cl.out.Len())
		cl.get(1, path, "accept", "*/*", "user-agent", "test")
	}
	b.input = append(b.input, cl.out.Bytes()...)
	return b
}

func (b *batch) feed(t testing.TB, in []byte, heads []int) {
	b.c.in = inputs.Get().(*input)
	b.c.in.w = copy(b.c.in.data[:], in)
	for _, at := range heads {
		b.next += 2
		binary.BigEndian.PutUint32(b.c.in.data[at+5:], b.next)
	}
	if b.next > maxStreamID-1000 {
		b.next, b.c.lastID = 1, 1
	}
	b.c.mu.Lock()
	b.c.window = 1 << 30
	b.c.mu.Unlock()
	if !b.c.consume() {
		t.Fatalf("the connection ended: %s", b.c.control)
	}
}

// What an idle connection holds of the pools: nothing.
func TestIdleHoldsNothing(t *testing.T) {
	b := newBatch(t, &stub{stored: map[string]*exchange.Stored{"/a": object(1024)}}, "/a", 3)
	b.feed(t, b.input, b.heads)
	if c := b.c; c.in != nil || c.spare != nil || c.control != nil || c.queue != nil || c.parser.fragments != nil || c.p.Buffered() != 0 || c.writing {
		t.Errorf("an idle connection holds %+v", c)
	}
}

func BenchmarkHit(b *testing.B) {
	for name, tc := range map[string]struct{ size, batch int }{
		"1K alone": {1 << 10, 1}, "1K of 16": {1 << 10, 16}, "16K of 4": {16 << 10, 4}, "100K": {100_000, 1},
	} {
		b.Run(name, func(b *testing.B) {
			h := &stub{stored: map[string]*exchange.Stored{"/a": object(tc.size)}}
			in := newBatch(b, h, "/a", tc.batch)
			in.c.initialWindow = 1 << 30
			b.ReportAllocs()
			for b.Loop() {
				in.feed(b, in.input, in.heads)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tc.batch), "ns/hit")
		})
	}
}
