package edge

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// holdEvery is how often a session is noted as used while a response of its
// lasts; far below the shortest time that one is held for.
const holdEvery = 30 * time.Second

// lasting holds a session while content is being read. One goroutine reads.
type lasting struct {
	io.ReadCloser
	hold func()
	next time.Time
}

// Read implements io.Reader.
func (l *lasting) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if now := time.Now(); now.After(l.next) || err != nil {
		l.hold()
		l.next = now.Add(holdEvery)
	}
	return n, err
}

// lastingTunnel is the same of a connection after a switch of protocols.
type lastingTunnel struct {
	io.ReadWriteCloser
	lasting lasting
}

// Read implements io.Reader.
func (t *lastingTunnel) Read(p []byte) (int, error) { return t.lasting.Read(p) }

// CloseWrite ends one direction, where the connection can show that.
func (t *lastingTunnel) CloseWrite() error {
	if half, ok := t.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errNoHalf
}

var errNoHalf = errors.New("the connection cannot end in one direction")

// release has done called once the response has been read or given up.
func release(resp *exchange.Response, done func()) {
	var once sync.Once
	end := func() { once.Do(done) }
	if resp.Tunnel != nil {
		resp.Tunnel = &releasedTunnel{ReadWriteCloser: resp.Tunnel, end: end}
		return
	}
	resp.Body = &released{ReadCloser: resp.Body, end: end}
}

type released struct {
	io.ReadCloser
	end func()
}

// Close implements io.Closer.
func (r *released) Close() error {
	r.end()
	return r.ReadCloser.Close()
}

type releasedTunnel struct {
	io.ReadWriteCloser
	end func()
}

// Close implements io.Closer.
func (r *releasedTunnel) Close() error {
	r.end()
	return r.ReadWriteCloser.Close()
}

// CloseWrite ends one direction, where the connection can show that.
func (r *releasedTunnel) CloseWrite() error {
	if half, ok := r.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errNoHalf
}
