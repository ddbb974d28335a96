package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The windows of an HTTP/2 connection under load: an object fits into a
// stream's, and the connection's is opened again long before it is used up.
const (
	h2StreamWindow = 1 << 30
	h2ConnWindow   = 1 << 30
	h2Refill       = h2ConnWindow / 4
)

// h2Load is one HTTP/2 connection under load.
type h2Load struct {
	l         *loader
	authority string
	out       *bufio.Writer
	framer    *http2.Framer
	fields    *hpack.Encoder
	block     bytes.Buffer // what fields writes to
	stream    uint32       // the next one's number
	used      int          // bytes of the connection's window
}

// streamsOfH2 loads one HTTP/2 connection, from one goroutine: whatever has
// been answered when nothing more is there to read is asked anew at once.
func (l *loader) streamsOfH2(ctx context.Context) {
	c, err := l.dial(l.tlsConfig("h2"))
	if err != nil {
		l.count(ctx, err)
		return
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	c.in = bufio.NewReaderSize(c, 64<<10)
	_, port, _ := net.SplitHostPort(l.addr)
	// With the port, as others ask: URLs with another are other URLs.
	h := &h2Load{l: l, authority: net.JoinHostPort(host, port), out: bufio.NewWriterSize(c, 64<<10), stream: 1}
	h.fields = hpack.NewEncoder(&h.block)
	h.framer = http2.NewFramer(h.out, c.in)
	h.framer.SetReuseFrames()
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := h.begin(); err != nil {
		l.count(ctx, err)
		return
	}
	for {
		if c.in.Buffered() == 0 {
			err = h.out.Flush()
		}
		if err == nil {
			err = h.frame(ctx)
		}
		if err != nil {
			l.count(ctx, err)
			return
		}
	}
}

// begin opens the connection and the first streams.
func (h *h2Load) begin() error {
	_, err := h.out.WriteString(http2.ClientPreface)
	err = errors.Join(err,
		h.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: h2StreamWindow}),
		h.framer.WriteWindowUpdate(0, h2ConnWindow))
	for range h.l.streams {
		err = errors.Join(err, h.ask())
	}
	return err
}

// ask asks for the next path.
func (h *h2Load) ask() error {
	h.block.Reset()
	for _, f := range requestFields(h.authority, h.l.nextPath()) {
		// Paths must not push the other fields out of the table.
		_ = h.fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: f[0] == ":path"}) // to memory
	}
	err := h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: h.stream, BlockFragment: h.block.Bytes(), EndStream: true, EndHeaders: true})
	h.stream += 2
	return err
}

// nextPath is the path that is next.
func (l *loader) nextPath() string {
	return l.paths[(l.next.Add(1)-1)%int64(len(l.paths))]
}

// frame reads a frame, and asks anew when it ends an answer.
func (h *h2Load) frame(ctx context.Context) error {
	frame, err := h.framer.ReadFrame()
	if err != nil {
		return err
	}
	ended := false
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return h.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return h.framer.WritePing(true, f.Data)
		}
	case *http2.MetaHeadersFrame:
		if s := f.PseudoValue("status"); s != "200" {
			return errors.New("status " + s)
		}
		ended = f.StreamEnded()
	case *http2.DataFrame:
		ended = f.StreamEnded()
		if h.used += int(f.Length); h.used > h2Refill {
			err = h.framer.WriteWindowUpdate(0, uint32(h.used))
			h.used = 0
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("a stream was reset: %v", f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Errorf("the connection was given up: %v", f.ErrCode)
	}
	if ended {
		h.l.count(ctx, nil)
		err = errors.Join(err, h.ask())
	}
	return err
}
