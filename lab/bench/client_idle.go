package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// dialers is how many connections are opened at once.
const dialers = 32

// hold opens all connections with one request on each, says how many it
// holds, and keeps them until in ends.
func (l *loader) hold(in io.Reader, out io.Writer) error {
	var (
		mu     sync.Mutex
		held   []net.Conn
		failed error
		all    sync.WaitGroup
	)
	left := make(chan struct{}, l.conns)
	for range l.conns {
		left <- struct{}{}
	}
	close(left)
	for range dialers {
		all.Go(func() {
			for range left {
				c, err := l.idle()
				mu.Lock()
				if err == nil {
					held = append(held, c)
				} else if failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if failed != nil {
		return fmt.Errorf("%d of %d connections failed, the first: %w", l.conns-len(held), l.conns, failed)
	}
	if _, err := fmt.Fprintln(out, holding, len(held)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	for _, c := range held {
		_ = c.Close()
	}
	return err
}

// holding starts the line that says that all connections are open.
const holding = "holding"

// idle opens a connection that has made one request.
func (l *loader) idle() (net.Conn, error) {
	proto, get := "http/1.1", (*conn).get
	if l.mode == "idle-h2" {
		proto, get = "h2", (*conn).getH2
	}
	c, err := l.dial(l.tlsConfig(proto))
	if err != nil {
		return nil, err
	}
	if err := get(c, l.path); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.in = nil // held by the thousand
	return c, nil
}

// getH2 makes the only request of an HTTP/2 connection.
func (c *conn) getH2(path string) error {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range requestFields(host, path) {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // to memory
	}
	out := bufio.NewWriter(c)
	_, _ = out.WriteString(http2.ClientPreface) // errors show when it is flushed
	framer := http2.NewFramer(out, c.in)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err := errors.Join(
		framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}),
		out.Flush())
	for err == nil {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err != nil {
			break
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = errors.Join(framer.WriteSettingsAck(), out.Flush())
			}
		case *http2.MetaHeadersFrame:
			if s := f.PseudoValue("status"); s != "200" {
				err = errors.New("status " + s)
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				return nil
			}
		}
	}
	return err
}

// requestFields are those of a request in HTTP/2 and HTTP/3.
func requestFields(authority, path string) [][2]string {
	return [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", authority}, {":path", path}, {"user-agent", "bench"}}
}
