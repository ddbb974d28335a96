package http2

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// frameSeeds are inputs behind the preface that go deep.
func frameSeeds() (seeds [][]byte) {
	var block, out bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fr := http2.NewFramer(&out, nil)
	fr.AllowIllegalWrites = true
	head := func(id uint32, end bool, fields ...string) {
		block.Reset()
		for i := 0; i < len(fields); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: end, EndHeaders: true})
	}
	add := func(write func()) {
		out.Reset()
		enc = hpack.NewEncoder(&block)
		_ = fr.WriteSettings()
		write()
		seeds = append(seeds, bytes.Clone(out.Bytes()))
	}
	add(func() { head(1, true, target("GET", "/hit")...); head(3, true, target("HEAD", "/large")...) })
	add(func() {
		head(1, true, target("GET", "/large", "priority", "u=1, i")...)
		_ = fr.WriteWindowUpdate(1, 1<<20)
		_ = fr.WriteRSTStream(1, http2.ErrCodeCancel)
	})
	add(func() {
		head(1, false, target("POST", "/", "content-length", "4")...)
		_ = fr.WriteDataPadded(1, false, []byte("ab"), make([]byte, 3))
		_ = fr.WriteData(1, true, []byte("cd"))
		head(3, false, target("POST", "/")...)
		head(3, true, "digest", "x")
	})
	add(func() {
		_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}, http2.Setting{ID: http2.SettingHeaderTableSize})
		head(1, false, target("CONNECT", "/", ":protocol", "websocket")...)
		_ = fr.WriteData(1, true, []byte("x"))
		_ = fr.WritePing(false, [8]byte{1})
		_ = fr.WriteRawFrame(framePriorityUpdate, 0, 0, []byte("\x00\x00\x00\x01u=0"))
		_ = fr.WriteGoAway(0, 0, nil)
	})
	add(func() {
		_ = fr.WriteRawFrame(frameHeaders, flagEndStream, 1, []byte("\x82\x86\x84"))
		_ = fr.WriteRawFrame(frameContinuation, 0, 1, []byte("\x41\x01a"))
		_ = fr.WriteRawFrame(frameContinuation, flagEndHeaders, 1, nil)
		_ = fr.WriteRawFrame(framePriority, 0, 1, []byte("\x00\x00\x00\x01\x00"))
		_ = fr.WriteRawFrame(frameWindowUpdate, 0, 1, []byte("\x7f\xff\xff\xff"))
	})
	return seeds
}

// FuzzFrames: whatever a client sends behind its preface, nothing panics, no
// stream has two responses, every hit is given up once, every exchange ends,
// and what is held is bounded.
func FuzzFrames(f *testing.F) {
	for _, s := range frameSeeds() {
		f.Add(s, uint8(0))
		f.Add(s, uint8(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint8) {
		synctest.Test(t, func(t *testing.T) { fuzzFrames(t, in, int(cut)) })
	})
}

func fuzzFrames(t *testing.T, in []byte, cut int) {
	large, released := object(200_000), &atomic.Int64{}
	large.Content = &content{b: large.Content.From(0), run: 1000, released: released}
	h := &stub{
		stored: map[string]*exchange.Stored{"/hit": object(100), "/large": large},
		serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
			if r.Upgrade != "" {
				if tun, err := w.Tunnel(nil); err == nil {
					_, _ = io.Copy(tun, tun)
					_ = tun.Close()
				}
				return
			}
			if r.Body != nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			ok(w, strings.Repeat("x", 100_000))
		},
	}
	c := dial(t, h, func(l *limits.Limits) { l.Streams = 8 })
	go c.read()
	in = append([]byte(preface), in...)
	for len(in) > 0 {
		n := len(in)
		if cut > 0 {
			n = min(n, cut*cut)
		}
		if _, err := c.nc.Write(in[:n]); err != nil {
			break
		}
		in = in[n:]
	}
	synctest.Wait()
	c.conn.mu.Lock()
	held := 0
	for _, s := range c.conn.streams {
		held += s.content.len()
		if s.x != nil {
			held += s.x.in.len()
		}
	}
	if n := c.conn.slots(); n > 8 || held > n*(sendBuffer+defaultWindow+1) || len(c.conn.control) > maxControl+64 {
		t.Errorf("%d streams hold %d bytes; %d of control", n, held, len(c.conn.control))
	}
	c.conn.mu.Unlock()
	_ = c.nc.Close()
	<-c.done
	checkEvents(t, c)
	if h.hits.Load() != h.sentWhole.Load()+h.sentCut.Load() || c.server.conf.InFlight.Load() != 0 {
		t.Errorf("%d hits, %d and %d given up; %d in flight", h.hits.Load(), h.sentWhole.Load(), h.sentCut.Load(), c.server.conf.InFlight.Load())
	}
}

// checkEvents holds what the server sent against the states of streams.
func checkEvents(t *testing.T, c *client) {
	type state struct {
		head, end, reset bool
		length           string
		n                int
	}
	streams := map[uint32]*state{}
	for e := range c.events {
		if e.stream == 0 || e.kind == http2.FrameWindowUpdate {
			continue
		}
		s := streams[e.stream]
		if s == nil {
			s = &state{}
			streams[e.stream] = s
		}
		final := e.kind == http2.FrameHeaders && len(e.field(":status")) == 3 && e.field(":status")[0] != '1'
		switch {
		case s.reset && e.kind != http2.FrameRSTStream:
			t.Errorf("stream %d: %v after its reset", e.stream, e.kind)
		case s.end && e.kind != http2.FrameRSTStream:
			t.Errorf("stream %d: %v after its end", e.stream, e.kind)
		case final && s.head:
			t.Errorf("stream %d has two responses", e.stream)
		case e.kind == http2.FrameData && !s.head:
			t.Errorf("stream %d has content before its head", e.stream)
		}
		if final {
			s.head, s.length = true, e.field("content-length")
		}
		if e.kind == http2.FrameData {
			s.n += len(e.data)
		}
		if e.end && s.n > 0 && s.length != "" && s.length != itoa(s.n) {
			t.Errorf("stream %d: %d bytes of %s", e.stream, s.n, s.length)
		}
		s.end = s.end || e.end
		s.reset = s.reset || e.kind == http2.FrameRSTStream
	}
}

// FuzzFieldBlock: a request that is accepted is accepted by a second strict
// reader, which finds the same in it; and so it does in what we make of it.
func FuzzFieldBlock(f *testing.F) {
	const fieldSep, valueSep = "\x1e", "\x1f"
	for _, fields := range [][]string{
		target("GET", "/a?b"),
		target("POST", "/", "content-length", "0", "cookie", "a=1", "cookie", "b=2", "te", "trailers"),
		target("CONNECT", "/", ":protocol", "websocket"),
		target("GET", "/", "x", "a\r\nb"),
		{":method", "GET", ":scheme", "http", ":path", "*", "host", "[::1]:80"},
		{":method", "CONNECT", ":authority", "a:443"},
	} {
		var parts []string
		for i := 0; i < len(fields); i += 2 {
			parts = append(parts, fields[i]+valueSep+fields[i+1])
		}
		f.Add(strings.Join(parts, fieldSep))
	}
	f.Fuzz(func(t *testing.T, in string) {
		var fields []hpack.HeaderField
		for part := range strings.SplitSeq(in, fieldSep) {
			name, value, _ := strings.Cut(part, valueSep)
			fields = append(fields, hpack.HeaderField{Name: name, Value: value})
		}
		r, ok := ours(t, fields)
		if !ok || r.Refused != exchange.Admitted {
			return
		}
		want, ok := theirs(t, fields)
		if !ok {
			t.Fatalf("accepted what the other reader refuses: %q", fields)
		}
		again, ok := theirs(t, refield(r))
		if !ok {
			t.Fatalf("%+v cannot be written again", r)
		}
		if got := again; got != want {
			t.Errorf("read %q, wrote %q", want, got)
		}
	})
}

// ours reads a field section as the server does.
func ours(t *testing.T, fields []hpack.HeaderField) (*exchange.Request, bool) {
	s, _ := testServer(t, &stub{}, nil)
	c := newConn(s, nil, exchange.Request{})
	r := &exchange.Request{}
	c.parser.section.Begin(r, &s.conf.Limits)
	if c.decode(block(fields), intoRequest) != nil {
		return nil, false
	}
	return r, c.parser.section.End()
}

func block(fields []hpack.HeaderField) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range fields {
		_ = enc.WriteField(f)
	}
	return b.Bytes()
}

// refield writes a request as fields again.
func refield(r *exchange.Request) []hpack.HeaderField {
	authority := r.Host
	if r.Port != "" {
		authority += ":" + r.Port
	}
	method := r.Method
	if r.Upgrade != "" {
		method = "CONNECT"
	}
	out := []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":authority", Value: authority}}
	if r.Path != "" {
		out = append(out, hpack.HeaderField{Name: ":path", Value: r.Path + r.Query}, hpack.HeaderField{Name: ":scheme", Value: "https"})
	}
	if r.Upgrade != "" {
		out = append(out, hpack.HeaderField{Name: ":protocol", Value: r.Upgrade})
	}
	for _, f := range r.Header {
		out = append(out, hpack.HeaderField{Name: f.Name, Value: f.Value})
	}
	if r.Length >= 0 {
		out = append(out, hpack.HeaderField{Name: "content-length", Value: itoa(int(r.Length))})
	}
	return out
}

// theirs reads a field section by golang.org/x/net's strict reader, into a
// text of what matters.
func theirs(t *testing.T, fields []hpack.HeaderField) (string, bool) {
	var frames bytes.Buffer
	fr := http2.NewFramer(&frames, &frames)
	b := block(fields)
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:min(len(b), maxFrame)], EndStream: true, EndHeaders: len(b) <= maxFrame})
	for b = b[min(len(b), maxFrame):]; len(b) > 0; b = b[min(len(b), maxFrame):] {
		_ = fr.WriteContinuation(1, len(b) <= maxFrame, b[:min(len(b), maxFrame)])
	}
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.MaxHeaderListSize = 1 << 20
	f, err := fr.ReadFrame()
	if err != nil {
		return "", false
	}
	m := f.(*http2.MetaHeadersFrame)
	authority := m.PseudoValue("authority")
	var text strings.Builder
	length := ""
	for _, f := range m.RegularFields() {
		switch f.Name {
		case "host":
			if authority == "" {
				authority = f.Value
			}
		case "content-length":
			length = strings.TrimLeft(f.Value, "0")
		case "te":
		default:
			text.WriteString(f.Name + ": " + f.Value + "\n")
		}
	}
	return strings.Join([]string{
		m.PseudoValue("method"), authority, m.PseudoValue("path"), m.PseudoValue("protocol"), length, text.String(),
	}, "\n"), true
}
