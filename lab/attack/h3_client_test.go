package attack

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// Frames and streams of HTTP/3 (RFC 9114, 6.2 and 7.2; RFC 9204, 4.2).
const (
	h3Data        = 0x0
	h3Headers     = 0x1
	h3CancelPush  = 0x3
	h3Settings    = 0x4
	h3PushPromise = 0x5
	h3GoAway      = 0x7
	h3MaxPushID   = 0xd
	h3Reserved    = 0x21

	h3ControlStream = 0x0
	h3PushStream    = 0x1
	h3EncoderStream = 0x2
	h3DecoderStream = 0x3
)

// h3client writes streams as it is told, legal or not.
type h3client struct {
	qc     *quic.Conn
	texts  *strings.Replacer
	ctx    context.Context
	cancel context.CancelFunc

	late []func() // readers that finish starts

	// Guarded by mu.
	mu      sync.Mutex
	replies map[uint64]*reply
	interim []int
	flaw    string

	readers sync.WaitGroup
}

// dialH3 connects, and opens the control stream with empty settings.
func dialH3(n *node, host string) (*h3client, error) {
	h, err := connectH3(n, host, 0)
	if err == nil {
		h.settings()
	}
	return h, err
}

// settings opens the control stream.
func (h *h3client) settings() { h.uni(h3ControlStream, h3frame(h3Settings, "")) }

// connectH3 connects and sends nothing yet. window is each stream's
// receive window; 0 is quic-go's own.
func connectH3(n *node, host string, window uint64) (*h3client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	qc, err := quic.DialAddr(ctx, n.https, &tls.Config{RootCAs: n.roots, ServerName: host, NextProtos: []string{"h3"}},
		&quic.Config{HandshakeIdleTimeout: patience, MaxIncomingUniStreams: 16, InitialStreamReceiveWindow: window, MaxStreamReceiveWindow: window})
	if err != nil {
		cancel()
		return nil, err
	}
	h := &h3client{qc: qc, texts: texts(host), ctx: ctx, cancel: cancel, replies: map[uint64]*reply{}}
	h.readers.Go(h.acceptUni)
	return h, nil
}

// acceptUni reads the node's own streams, whose content does not matter.
func (h *h3client) acceptUni() {
	for {
		str, err := h.qc.AcceptUniStream(h.ctx)
		if err != nil {
			return
		}
		h.readers.Go(func() { _, _ = io.Copy(io.Discard, str) }) // to its end
	}
}

// h3frame is a frame of a type with content.
func h3frame(kind uint64, payload string) string {
	return varint(kind) + varint(uint64(len(payload))) + payload
}

func varint(n uint64) string { return string(quicvarint.Append(nil, n)) }

// section encodes fields, in pairs, as literals (RFC 9204, 4.5.6).
func (h *h3client) section(fields ...string) string {
	b := []byte{0, 0}
	for i := 0; i+1 < len(fields); i += 2 {
		b = prefixed(b, 0x20, 3, h.texts.Replace(fields[i]))
		b = prefixed(b, 0, 7, h.texts.Replace(fields[i+1]))
	}
	return string(b)
}

// prefixed appends a string with its length in a prefix of so many bits
// (RFC 7541, 5.1 and 5.2), without Huffman coding.
func prefixed(b []byte, pattern byte, bits int, text string) []byte {
	return append(prefixedInt(b, pattern, bits, uint64(len(text))), text...)
}

func prefixedInt(b []byte, pattern byte, bits int, n uint64) []byte {
	most := uint64(1)<<bits - 1
	if n < most {
		return append(b, pattern|byte(n))
	}
	b = append(b, pattern|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// uni opens a stream of one direction, sends, and leaves it open.
func (h *h3client) uni(kind uint64, content string) *quic.SendStream {
	return h.rawUni(varint(kind) + content)
}

// rawUni is uni with the type among the bytes.
func (h *h3client) rawUni(content string) *quic.SendStream {
	str, err := h.qc.OpenUniStreamSync(h.ctx)
	if err != nil {
		return nil // an ended connection
	}
	_, _ = io.WriteString(str, content) // shows as an ended connection
	return str
}

// stream opens a request stream, sends, and awaits its answer. end closes
// our side.
func (h *h3client) stream(content string, end bool) *quic.Stream {
	str, r := h.open()
	if str == nil {
		return nil
	}
	h.readers.Go(func() { h.read(str, r) })
	h.more(str, content, end)
	return str
}

// unread is stream without a reader until finish: the window fills up.
func (h *h3client) unread(content string) {
	str, r := h.open()
	if str == nil {
		return
	}
	h.more(str, content, true)
	h.late = append(h.late, func() { h.readers.Go(func() { h.read(str, r) }) })
}

// open opens a request stream; it is nil when the connection has ended.
func (h *h3client) open() (*quic.Stream, *reply) {
	str, err := h.qc.OpenStreamSync(h.ctx)
	if err != nil {
		return nil, nil
	}
	r := &reply{stream: uint64(str.StreamID())}
	h.mu.Lock()
	h.replies[r.stream] = r
	h.mu.Unlock()
	return str, r
}

// pause lets some time pass, unless the connection ends.
func (h *h3client) pause() {
	select {
	case <-h.qc.Context().Done():
	case <-time.After(quiet):
	}
}

// more sends more of a stream.
func (h *h3client) more(str *quic.Stream, content string, end bool) {
	if str == nil {
		return
	}
	_ = str.SetWriteDeadline(time.Now().Add(patience)) // of an open stream
	_, _ = io.WriteString(str, content)                // shows in the answer
	if end {
		_ = str.Close()
	}
}

// request sends a whole request.
func (h *h3client) request(fields ...string) {
	h.stream(h3frame(h3Headers, h.section(fields...)), true)
}

// forget takes a stream out of those whose answers are judged.
func (h *h3client) forget(str *quic.Stream) {
	if str == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.replies, uint64(str.StreamID()))
}

// read takes an answer to its end.
func (h *h3client) read(str *quic.Stream, r *reply) {
	br := bufio.NewReader(str)
	for {
		kind, payload, err := readH3Frame(br)
		h.mu.Lock()
		var reset *quic.StreamError
		switch {
		case err == io.EOF:
			r.whole = r.status != 0
		case errors.As(err, &reset):
			r.reset, r.code = true, uint64(reset.ErrorCode)
		case err == nil && kind == h3Headers:
			h.fields(r, payload)
		case err == nil && kind == h3Data:
			r.take(payload, false)
		default: // the end of the connection, or an extension
		}
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (h *h3client) fields(r *reply, section []byte) {
	decode := qpack.NewDecoder().Decode(section)
	var list []field
	for {
		f, err := decode()
		if err == io.EOF {
			break
		}
		if err != nil {
			h.flaw = "a section that does not decode: " + err.Error()
			return
		}
		list = append(list, field{f.Name, f.Value})
	}
	if interim, flaw := r.section(list, false); flaw != "" {
		h.flaw = flaw
	} else if interim != 0 {
		h.interim = append(h.interim, interim)
	}
}

func readH3Frame(r *bufio.Reader) (kind uint64, payload []byte, err error) {
	if kind, err = quicvarint.Read(r); err != nil {
		return 0, nil, err
	}
	n, err := quicvarint.Read(r)
	if err != nil {
		return 0, nil, fmt.Errorf("a frame's length: %w", err)
	}
	payload, err = io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && uint64(len(payload)) < n {
		err = io.ErrUnexpectedEOF
	}
	return kind, payload, err
}

// settled waits for the answers of all streams or the end of the
// connection.
func (h *h3client) settled() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		h.mu.Lock()
		open := false
		for _, r := range h.replies {
			open = open || !r.whole && !r.reset
		}
		h.mu.Unlock()
		if !open {
			return
		}
		select {
		case <-h.qc.Context().Done():
			return
		case <-deadline:
			return
		case <-tick.C:
		}
	}
}

// awaitEnd waits for the end of the connection.
func (h *h3client) awaitEnd() {
	select {
	case <-h.qc.Context().Done():
	case <-time.After(patience):
	}
}

// finish waits for all answers, looks whether the connection ends, and
// hangs up.
func (h *h3client) finish() *seen {
	for _, read := range h.late {
		read()
	}
	h.settled()
	s := &seen{}
	select {
	case <-h.qc.Context().Done():
		s.ended = true
		var app *quic.ApplicationError
		if errors.As(context.Cause(h.qc.Context()), &app) {
			s.code = uint64(app.ErrorCode)
		}
	case <-time.After(quiet):
	}
	_ = h.qc.CloseWithError(0x100, "") // H3_NO_ERROR
	h.cancel()
	h.readers.Wait()
	s.flaw, s.interim = h.flaw, h.interim
	for _, id := range slices.Sorted(maps.Keys(h.replies)) {
		s.replies = append(s.replies, h.replies[id])
	}
	return s
}
