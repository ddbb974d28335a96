package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// Stream types, frame types and error codes of HTTP/3 (RFC 9114, 6.2, 7.2
// and 8.1).
const (
	h3ControlStream = 0x0
	h3Data          = 0x0
	h3Headers       = 0x1
	h3Settings      = 0x4
	h3NoError       = 0x100
)

// streamsOfConn loads one HTTP/3 connection. It sends the same prepared
// request on bare streams, because a whole client would cost more than the
// servers that it is to load; only the first answer is read in full.
func (l *loader) streamsOfConn(ctx context.Context) {
	c, err := quic.DialAddr(ctx, l.addr, l.tlsConfig("h3"), &quic.Config{
		InitialStreamReceiveWindow: 4 << 20, MaxStreamReceiveWindow: 16 << 20,
		InitialConnectionReceiveWindow: 32 << 20, MaxConnectionReceiveWindow: 64 << 20,
		MaxIdleTimeout: 30 * time.Second,
	})
	if err != nil {
		l.count(ctx, err)
		return
	}
	defer func() { _ = c.CloseWithError(h3NoError, "") }()
	reading, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	readers.Go(func() { ignoreUniStreams(reading, c) })
	defer func() { cancel(); readers.Wait() }()
	request := h3Request(l.path)
	size, err := h3First(ctx, c, request)
	if !l.count(ctx, err) {
		return
	}
	var streams sync.WaitGroup
	for range l.streams {
		streams.Go(func() {
			buf := make([]byte, 64<<10)
			for ctx.Err() == nil {
				l.count(ctx, h3Next(ctx, c, request, buf, size))
			}
		})
	}
	streams.Wait()
}

// ignoreUniStreams reads the server's control and QPACK streams: unread
// they would use up the connection's window.
func ignoreUniStreams(ctx context.Context, c *quic.Conn) {
	var readers sync.WaitGroup
	defer readers.Wait()
	for {
		s, err := c.AcceptUniStream(ctx)
		if err != nil {
			return
		}
		context.AfterFunc(ctx, func() { s.CancelRead(h3NoError) })
		readers.Go(func() { _, _ = io.Copy(io.Discard, s) })
	}
}

// h3Request is a HEADERS frame.
func h3Request(path string) []byte {
	var block bytes.Buffer
	e := qpack.NewEncoder(&block)
	for _, f := range requestFields(host, path) {
		_ = e.WriteField(qpack.HeaderField{Name: f[0], Value: f[1]}) // to memory
	}
	frame := quicvarint.Append([]byte{h3Headers}, uint64(block.Len()))
	return append(frame, block.Bytes()...)
}

// h3Ask sends a request and returns its stream.
func h3Ask(ctx context.Context, c *quic.Conn, request []byte) (*quic.Stream, error) {
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.Write(request); err != nil {
		return nil, err
	}
	return s, s.Close()
}

// h3First opens the control stream and makes the first request; it checks
// the status and returns the size of the content.
func h3First(ctx context.Context, c *quic.Conn, request []byte) (size int, err error) {
	control, err := c.OpenUniStream()
	if err != nil {
		return 0, err
	}
	if _, err := control.Write([]byte{h3ControlStream, h3Settings, 0}); err != nil {
		return 0, err
	}
	s, err := h3Ask(ctx, c, request)
	if err != nil {
		return 0, err
	}
	answer, err := io.ReadAll(s)
	if err != nil {
		return 0, err
	}
	return h3Answer(answer)
}

// h3Answer checks the status of an answer and returns the size of its
// content.
func h3Answer(answer []byte) (size int, err error) {
	status := ""
	for r := bytes.NewReader(answer); r.Len() > 0; {
		kind, err := quicvarint.Read(r)
		if err != nil {
			return 0, err
		}
		length, err := quicvarint.Read(r)
		if err != nil {
			return 0, err
		}
		if length > uint64(r.Len()) {
			return 0, io.ErrUnexpectedEOF
		}
		payload := make([]byte, length)
		_, _ = io.ReadFull(r, payload) // it is there
		switch {
		case kind == h3Data:
			size += len(payload)
		case kind == h3Headers && status == "":
			first, err := qpack.NewDecoder().Decode(payload)()
			if err != nil {
				return 0, err
			}
			status = first.Value
		}
	}
	if status != "200" {
		return 0, fmt.Errorf("status %q", status)
	}
	return size, nil
}

var errShort = errors.New("the answer is shorter than the first one's content")

// h3Next makes one more request and counts the bytes of the answer only.
func h3Next(ctx context.Context, c *quic.Conn, request, buf []byte, least int) error {
	s, err := h3Ask(ctx, c, request)
	if err != nil {
		return err
	}
	for n := 0; ; {
		k, err := s.Read(buf)
		n += k
		switch {
		case err == io.EOF && n < least:
			return errShort
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
