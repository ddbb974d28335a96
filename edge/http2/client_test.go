package http2

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// event is a frame that the server sent.
type event struct {
	kind   http2.FrameType
	stream uint32
	end    bool
	data   []byte
	fields []hpack.HeaderField
	block  []byte // what fields were decoded from
	code   http2.ErrCode
	last   uint32
	ack    bool
	n      uint32
}

func (e event) field(name string) string {
	for _, f := range e.fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// client speaks to a Conn over memory, frame by frame.
type client struct {
	t      testing.TB
	nc     net.Conn
	framer *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
	out    bytes.Buffer // gathered until flush
	events chan event

	conn     *Conn
	server   *Server
	counters *limits.Counters
	writes   *atomic.Int64
	done     chan struct{} // Serve has returned
	cut      context.CancelFunc
}

// counted counts writes.
type counted struct {
	net.Conn
	writes atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// dial starts a server's connection, in a bubble of synctest or not.
func dial(t testing.TB, h exchange.Handler, adapt func(*limits.Limits)) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	watched := &counted{Conn: theirs}
	c := dialOn(t, ours, watched, h, adapt)
	c.writes = &watched.writes
	return c
}

// dialOn is dial on a connection that is there, whose writes nobody counts.
func dialOn(t testing.TB, ours, theirs net.Conn, h exchange.Handler, adapt func(*limits.Limits)) *client {
	t.Helper()
	s, counters := testServer(t, h, adapt)
	lim := s.conf.Limits
	p := &wire.Plain{Conn: wire.NewConn(theirs, false, wire.Pace{Stall: lim.BodyStall, Rate: lim.MinRate})}
	ctx, cut := context.WithCancel(context.Background())
	c := &client{
		t: t, nc: ours, events: make(chan event, 1<<16), conn: s.Conn(p, exchange.Request{Scheme: "https", Conn: &exchange.Conn{}}),
		server: s, counters: counters, done: make(chan struct{}), cut: cut,
	}
	c.enc = hpack.NewEncoder(&c.block)
	c.framer = http2.NewFramer(&c.out, ours)
	c.framer.AllowIllegalWrites, c.framer.AllowIllegalReads = true, true
	go func() { defer close(c.done); c.conn.Serve(ctx) }()
	t.Cleanup(func() { _ = ours.Close(); cut(); <-c.done })
	return c
}

// open is dial with the preface, and with somebody who reads.
func open(t testing.TB, h exchange.Handler, adapt func(*limits.Limits), settings ...http2.Setting) *client {
	t.Helper()
	c := dial(t, h, adapt)
	go c.read()
	c.out.WriteString(preface)
	_ = c.framer.WriteSettings(settings...)
	c.flush()
	if e := c.next(); e.kind != http2.FrameSettings || e.ack {
		t.Fatalf("the first frame is %+v", e)
	}
	_ = c.framer.WriteSettingsAck()
	c.flush()
	for e := range c.events {
		if e.kind == http2.FrameSettings && e.ack {
			break
		}
	}
	return c
}

// flush sends what was written to the framer, in one piece.
func (c *client) flush() bool {
	_, err := c.nc.Write(c.out.Bytes())
	c.out.Reset()
	return err == nil
}

// pause waits. It is false when the connection has ended meanwhile.
func (c *client) pause(d time.Duration) bool {
	select {
	case <-c.done:
		return false
	case <-time.After(d):
		return true
	}
}

// read turns what comes into events, until the end.
func (c *client) read() {
	defer close(c.events)
	dec := hpack.NewDecoder(4096, nil)
	var block []byte
	var head event
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		e := event{kind: f.Header().Type, stream: f.Header().StreamID}
		switch f := f.(type) {
		case *http2.DataFrame:
			e.data, e.end = bytes.Clone(f.Data()), f.StreamEnded()
		case *http2.HeadersFrame:
			e.end = f.StreamEnded()
			head, block = e, append(block[:0], f.HeaderBlockFragment()...)
			if !f.HeadersEnded() {
				continue
			}
			e.block = bytes.Clone(block)
			e.fields, err = dec.DecodeFull(block)
		case *http2.ContinuationFrame:
			block = append(block, f.HeaderBlockFragment()...)
			if !f.HeadersEnded() {
				continue
			}
			e = head
			e.block = bytes.Clone(block)
			e.fields, err = dec.DecodeFull(block)
		case *http2.RSTStreamFrame:
			e.code = f.ErrCode
		case *http2.GoAwayFrame:
			e.code, e.last, e.data = f.ErrCode, f.LastStreamID, bytes.Clone(f.DebugData())
		case *http2.SettingsFrame:
			e.ack = f.IsAck()
		case *http2.PingFrame:
			e.ack, e.data = f.IsAck(), bytes.Clone(f.Data[:])
		case *http2.WindowUpdateFrame:
			e.n = f.Increment
		}
		if err != nil {
			c.t.Errorf("the server's header block cannot be decoded: %v", err)
			return
		}
		c.events <- e
	}
}

// next returns the next frame; a zero event at the end of the connection.
func (c *client) next() event {
	c.t.Helper()
	select {
	case e := <-c.events:
		return e
	case <-time.After(10 * time.Minute):
		c.t.Fatal("nothing comes")
	}
	return event{}
}

// await returns the next frame of a type, skipping others.
func (c *client) await(kind http2.FrameType) event {
	c.t.Helper()
	for {
		e := c.next()
		if e.kind == kind && (e.stream != 0 || kind == http2.FrameGoAway || kind == http2.FramePing || kind == http2.FrameSettings || kind == http2.FrameWindowUpdate) {
			return e
		}
		if e.kind == 0 && e.stream == 0 {
			c.t.Fatalf("the connection ended before a %v", kind)
		}
	}
}

// response is what a stream brought.
type response struct {
	interim []event
	head    event
	body    []byte
	trailer event
	reset   *event
	frames  int // of DATA
}

// collect reads until each of the streams has ended.
func (c *client) collect(ids ...uint32) map[uint32]*response {
	c.t.Helper()
	out, left := map[uint32]*response{}, map[uint32]bool{}
	for _, id := range ids {
		out[id], left[id] = &response{}, true
	}
	for len(left) > 0 {
		e := c.next()
		r := out[e.stream]
		if r == nil {
			if e.kind == 0 || e.kind == http2.FrameGoAway && e.code != 0 {
				c.t.Fatalf("the connection ended: %+v %s", e, e.data)
			}
			continue
		}
		switch e.kind {
		case http2.FrameHeaders:
			switch {
			case strings.HasPrefix(e.field(":status"), "1"):
				r.interim = append(r.interim, e)
			case r.head.fields == nil:
				r.head = e
			default:
				r.trailer = e
			}
		case http2.FrameData:
			r.body = append(r.body, e.data...)
			r.frames++
		case http2.FrameRSTStream:
			if left[e.stream] {
				r.reset = &e
			}
			e.end = true
		default: // not about what is collected
		}
		if e.end {
			delete(left, e.stream)
		}
	}
	return out
}

// headers writes a HEADERS frame for a list of names and values.
func (c *client) headers(id uint32, end bool, fields ...string) {
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: c.encode(fields...), EndStream: end, EndHeaders: true,
	})
}

func (c *client) encode(fields ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return c.block.Bytes()
}

// target are the pseudo-header fields of a request.
func target(method, path string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "https", ":authority", "a.example", ":path", path}, more...)
}

// get writes a GET.
func (c *client) get(id uint32, path string, more ...string) {
	c.headers(id, true, target("GET", path, more...)...)
}

// post writes the head of a request whose content follows.
func (c *client) post(id uint32, path string, more ...string) {
	c.headers(id, false, target("POST", path, more...)...)
}

// over reports whether Serve has returned.
func (c *client) over() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// ok answers with a text.
func ok(w exchange.Writer, text string) {
	_ = w.Head(200, nil, int64(len(text)))
	_, _ = io.WriteString(w, text)
}

func itoa(n int) string { return strconv.Itoa(n) }

// orderPseudo puts pseudo-header fields first.
func orderPseudo(fields []string) []string {
	var first, rest []string
	for i := 0; i < len(fields); i += 2 {
		if strings.HasPrefix(fields[i], ":") {
			first = append(first, fields[i:i+2]...)
		} else {
			rest = append(rest, fields[i:i+2]...)
		}
	}
	return append(first, rest...)
}
