package attack

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Flags of HTTP/2 frames (RFC 9113, 6).
const (
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// h2client sends frames as it is told, legal or not, and keeps what comes
// back.
type h2client struct {
	c     net.Conn
	texts *strings.Replacer

	in      *http2.Framer // what the node sends
	writing sync.Mutex
	fr      *http2.Framer // what we send
	// Guarded by mu.
	mu      sync.Mutex
	changed *sync.Cond
	// still keeps the client from giving the node flow-control credit, and
	// from acknowledging its settings.
	still   bool
	replies map[uint64]*reply // of streams whose answer is awaited
	interim []int
	flaw    string
	ended   bool
	goaway  bool
	code    uint64
	frames  int            // the largest frame that the node takes; 0 until it says
	initial int            // a new stream's window, as the node says
	windows map[uint32]int // what may be sent, of streams that upload uses

	reader sync.WaitGroup
}

// dialH2 connects and sends preface and settings.
func dialH2(n *node, host string, settings ...http2.Setting) (*h2client, error) {
	h, err := connectH2(n, host)
	if err != nil {
		return nil, err
	}
	h.preface(settings...)
	return h, nil
}

// connectH2 connects and sends nothing yet.
func connectH2(n *node, host string) (*h2client, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", n.https,
		&tls.Config{RootCAs: n.roots, ServerName: host, NextProtos: []string{"h2"}})
	if err != nil {
		return nil, err
	}
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		return nil, errors.Join(fmt.Errorf("negotiated %q", p), c.Close())
	}
	h := &h2client{c: c, texts: texts(host), in: http2.NewFramer(nil, c), replies: map[uint64]*reply{}, windows: map[uint32]int{0: 65535}, initial: 65535}
	h.frameTo(c)
	h.changed = sync.NewCond(&h.mu)
	return h, nil
}

// preface sends the first bytes and reads from then on: what reading makes
// the client send must not come before them.
func (h *h2client) preface(settings ...http2.Setting) {
	h.raw([]byte(http2.ClientPreface))
	h.write(func() error { return h.fr.WriteSettings(settings...) })
	h.reader.Go(h.read)
}

// frameTo makes frames go to a writer.
func (h *h2client) frameTo(w io.Writer) {
	h.fr = http2.NewFramer(w, nil)
	h.fr.AllowIllegalWrites = true
}

// drip sends byte by byte from here on.
func (h *h2client) drip() {
	h.writing.Lock()
	defer h.writing.Unlock()
	h.frameTo(dripping{h.c})
}

// write runs a write of frames; an error shows as an ended connection.
func (h *h2client) write(f func() error) {
	h.writing.Lock()
	defer h.writing.Unlock()
	_ = h.c.SetWriteDeadline(time.Now().Add(patience)) // of an open connection
	_ = f()
}

// frame sends any frame.
func (h *h2client) frame(kind http2.FrameType, flags http2.Flags, stream uint32, payload []byte) {
	h.write(func() error { return h.fr.WriteRawFrame(kind, flags, stream, payload) })
}

// raw sends bytes.
func (h *h2client) raw(b []byte) {
	h.write(func() error { _, err := h.c.Write(b); return err })
}

// block encodes fields, in pairs, without the dynamic table.
func (h *h2client) block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: h.texts.Replace(fields[i]), Value: h.texts.Replace(fields[i+1]), Sensitive: true}) // to memory
	}
	return b.Bytes()
}

// headers opens a stream, or sends its trailers, and awaits its answer. A
// block too large for one frame goes on in CONTINUATION.
func (h *h2client) headers(stream uint32, end bool, fields ...string) {
	h.await(uint64(stream))
	block, flags := h.block(fields...), http2.Flags(0)
	if end {
		flags = flagEndStream
	}
	h.write(func() error {
		kind := http2.FrameHeaders
		for {
			part := block[:min(len(block), 16384)]
			block = block[len(part):]
			if len(block) == 0 {
				flags |= flagEndHeaders
			}
			if err := h.fr.WriteRawFrame(kind, flags, stream, part); err != nil || len(block) == 0 {
				return err
			}
			kind, flags = http2.FrameContinuation, 0
		}
	})
}

// data sends content.
func (h *h2client) data(stream uint32, end bool, text string) {
	h.write(func() error { return h.fr.WriteData(stream, end, []byte(h.texts.Replace(text))) })
}

// upload sends n bytes of content as fast as the node's windows allow, and
// reports whether they did.
func (h *h2client) upload(stream uint32, n int) bool {
	h.awaitUntil(patience, func() bool { return h.frames > 0 })
	h.mu.Lock()
	h.windows[stream] += h.initial
	h.mu.Unlock()
	for n > 0 {
		part := 0
		if !h.awaitUntil(patience, func() bool {
			part = min(n, 16384, h.windows[0], h.windows[stream])
			return part > 0
		}) {
			return false
		}
		h.mu.Lock()
		h.windows[0] -= part
		h.windows[stream] -= part
		h.mu.Unlock()
		n -= part
		h.data(stream, n == 0, strings.Repeat("u", part))
	}
	return true
}

// reset resets a stream, whose answer is awaited no longer.
func (h *h2client) reset(stream uint32, code http2.ErrCode) {
	h.forget(uint64(stream))
	h.write(func() error { return h.fr.WriteRSTStream(stream, code) })
}

// hush makes the client say nothing of itself.
func (h *h2client) hush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.still = true
}

func (h *h2client) await(stream uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.replies[stream] == nil {
		h.replies[stream] = &reply{stream: stream}
	}
}

func (h *h2client) forget(stream uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.replies, stream)
}

// read takes what the node sends until the connection ends.
func (h *h2client) read() {
	dec := hpack.NewDecoder(4096, nil)
	var block []byte
	for {
		f, err := h.in.ReadFrame()
		h.mu.Lock()
		if err != nil {
			h.ended = true
			h.changed.Broadcast()
			h.mu.Unlock()
			return
		}
		respond := h.take(f, dec, &block)
		if h.still {
			respond = nil
		}
		h.changed.Broadcast()
		h.mu.Unlock()
		if respond != nil {
			h.write(respond)
		}
	}
}

// take handles a frame, under mu, and returns what to write because of it.
func (h *h2client) take(f http2.Frame, dec *hpack.Decoder, block *[]byte) (respond func() error) {
	id := f.Header().StreamID
	r := h.replies[uint64(id)]
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			h.frames = 16384
			if n, ok := f.Value(http2.SettingMaxFrameSize); ok {
				h.frames = int(n)
			}
			if n, ok := f.Value(http2.SettingInitialWindowSize); ok {
				h.initial = int(n)
			}
			return func() error { return h.fr.WriteSettingsAck() }
		}
	case *http2.GoAwayFrame:
		h.goaway = true
		if f.ErrCode != http2.ErrCodeNo {
			h.code = uint64(f.ErrCode)
		}
	case *http2.WindowUpdateFrame:
		h.windows[id] += int(f.Increment)
	case *http2.RSTStreamFrame:
		if r != nil {
			r.reset, r.code = true, uint64(f.ErrCode)
		}
	case *http2.HeadersFrame:
		*block = append((*block)[:0], f.HeaderBlockFragment()...)
		if f.HeadersEnded() {
			h.section(r, dec, *block, f.StreamEnded())
		}
	case *http2.ContinuationFrame:
		*block = append(*block, f.HeaderBlockFragment()...)
		if f.HeadersEnded() {
			h.section(r, dec, *block, false)
		}
	case *http2.DataFrame:
		n := f.Header().Length
		if r != nil {
			r.take(f.Data(), f.StreamEnded())
		}
		if n > 0 {
			return func() error {
				return errors.Join(h.fr.WriteWindowUpdate(0, n), h.fr.WriteWindowUpdate(id, n))
			}
		}
	default: // priority, extensions
	}
	return nil
}

// section takes the head or trailers of a response.
func (h *h2client) section(r *reply, dec *hpack.Decoder, block []byte, end bool) {
	fields, err := dec.DecodeFull(block)
	if err != nil {
		h.flaw = "a block that does not decode: " + err.Error()
		return
	}
	if r == nil {
		return
	}
	list := make([]field, len(fields))
	for i, f := range fields {
		list[i] = field{f.Name, f.Value}
	}
	if interim, flaw := r.section(list, end); flaw != "" {
		h.flaw = flaw
	} else if interim != 0 {
		h.interim = append(h.interim, interim)
	}
}

// awaitReply waits until a condition on the answers holds, or the
// connection ended.
func (h *h2client) awaitUntil(limit time.Duration, ok func() bool) bool {
	end := time.Now().Add(limit) // before the timer fires
	timer := time.AfterFunc(limit, func() { h.mu.Lock(); h.changed.Broadcast(); h.mu.Unlock() })
	defer timer.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for !ok() {
		if h.ended || !time.Now().Before(end) {
			return false
		}
		h.changed.Wait()
	}
	return true
}

// awaitEnd waits for the end of the connection, for no longer than
// patience.
func (h *h2client) awaitEnd() { h.awaitUntil(patience, func() bool { return h.ended }) }

// finish waits for the answers of all streams, and hangs up.
func (h *h2client) finish() *seen {
	h.awaitUntil(patience, func() bool {
		for _, r := range h.replies {
			if !r.whole && !r.reset {
				return false
			}
		}
		return true
	})
	h.awaitUntil(quiet, func() bool { return false })
	h.mu.Lock()
	s := &seen{ended: h.ended || h.code != 0, code: h.code, flaw: h.flaw, interim: h.interim}
	h.mu.Unlock()
	_ = h.c.Close()
	h.reader.Wait()
	for _, id := range slices.Sorted(maps.Keys(h.replies)) {
		s.replies = append(s.replies, h.replies[id])
	}
	return s
}

// section takes a field section of a response in HTTP/2 or HTTP/3. It
// returns the code of an interim response.
func (r *reply) section(list []field, end bool) (interim int, flaw string) {
	if r.whole {
		return 0, "fields behind the end of a response"
	}
	for i, f := range list {
		if f.name != strings.ToLower(f.name) || strings.ContainsAny(f.value, "\r\n\x00") || strings.HasPrefix(f.name, ":") && i > 0 {
			return 0, fmt.Sprintf("field %q in a response", f)
		}
		switch f.name {
		case "connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection":
			return 0, fmt.Sprintf("field %q in a response", f)
		}
	}
	r.whole = end
	if r.status != 0 {
		r.trailer = list
		return 0, ""
	}
	if len(list) == 0 || list[0].name != ":status" {
		return 0, fmt.Sprintf("no status in %v", list)
	}
	status := 0
	if _, err := fmt.Sscanf(list[0].value, "%3d", &status); err != nil || status < 100 {
		return 0, fmt.Sprintf("status %q", list[0].value)
	}
	if status < 200 {
		return status, ""
	}
	r.status, r.fields = status, list[1:]
	return 0, ""
}

// take takes content.
func (r *reply) take(data []byte, end bool) {
	r.body = append(r.body, data...)
	r.whole = r.whole || end
}
