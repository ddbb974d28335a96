package http1

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

var (
	errBodyClosed error = &exchange.Error{Cause: exchange.ClientAborted, Err: errors.New("request content was closed")}
	errBodySlow         = errors.New("request content comes too slowly")
)

// body is the content of a request. It must keep coming: after a grace its
// rate may not fall under the limit. One goroutine reads it; another may
// close it meanwhile.
type body struct {
	// Static.
	t *turn

	whole atomic.Bool // read to its end

	mu sync.Mutex // held by whoever reads
	// Guarded by mu.
	left    int64    // of Content-Length
	chunks  *chunked // nil when there is a Content-Length
	expects bool     // the client waits for 100 (Continue)
	read    int64
	waited  time.Duration // time spent waiting for the client
	until   time.Time     // of drain, which no pace holds for
	err     error

	gate sync.Mutex
	// Guarded by gate.
	closed bool
}

func newBody(t *turn) *body {
	b := &body{t: t, left: t.head.length, expects: t.head.expects}
	if t.head.chunked {
		b.chunks = &chunked{lim: &t.c.s.conf.Limits}
	}
	return b
}

// Read implements io.Reader. An error other than io.EOF is an
// *exchange.Error.
func (b *body) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.chunks != nil {
		n, b.err = b.nextChunked(p)
	} else {
		n, b.err = b.next(p)
	}
	b.read += int64(n)
	return n, b.err
}

// next reads content of a known length.
func (b *body) next(p []byte) (n int, err error) {
	p = p[:min(int64(len(p)), b.left)]
	for n == 0 {
		if n = b.t.c.in.take(p); n > 0 {
			break
		}
		if n, err = b.pull(p); err != nil {
			return 0, err
		}
	}
	if b.left -= int64(n); b.left == 0 {
		err = b.end()
	}
	return n, err
}

// nextChunked reads chunked content. The end is noticed as soon as it is
// here.
func (b *body) nextChunked(p []byte) (n int, err error) {
	in := &b.t.c.in
	for {
		content, used, err := b.chunks.decode(in.bytes(), len(p)-n)
		n += copy(p[n:], content)
		in.drop(used)
		switch {
		case err != nil:
			return n, b.malformed(err)
		case b.chunks.state == chunksEnd:
			return n, b.end()
		case used > 0 && in.len() > 0 && (n < len(p) || b.chunks.state != chunkData):
			continue
		case n > 0:
			return n, nil
		}
		if _, err := b.pull(nil); err != nil {
			return 0, err
		}
	}
}

// pull waits for bytes and reads them: into p when it can take all that TLS
// may give, else into the input.
func (b *body) pull(p []byte) (n int, err error) {
	if b.expects {
		b.expects = false
		if err := b.t.w.proceed(); err != nil {
			return 0, b.gone(err)
		}
	}
	c := b.t.c
	c.in.release()
	if ready := c.p.Conn.Ready(); !ready || c.p.TLS != nil {
		// A record that is here may hold nothing but a message of TLS.
		start := time.Now()
		if err := b.arm(start); err != nil {
			return 0, err
		}
		if !ready {
			err = c.p.Conn.Wait()
		}
		defer func() { b.waited += time.Since(start) }()
	}
	switch {
	case err != nil:
	case len(p) >= record || c.p.TLS == nil && len(p) > 0:
		if n, err = c.p.Read(p); n > 0 {
			err = nil
		}
	default:
		err = c.in.fill()
	}
	if err != nil {
		err = b.gone(err)
	}
	return n, err
}

// arm sets the deadline of the next read, unless close was there before.
func (b *body) arm(now time.Time) error {
	b.gate.Lock()
	defer b.gate.Unlock()
	lim := &b.t.c.s.conf.Limits
	until := b.until
	if until.IsZero() {
		if b.closed {
			return errBodyClosed
		}
		pace := wire.Pace{Stall: lim.BodyStall, Rate: lim.MinRate}
		until = now.Add(pace.Read(b.read, b.waited))
	}
	return b.t.c.p.SetReadDeadline(until)
}

// end notes that all was read. From now on the client has nothing to send
// but its next request.
func (b *body) end() error {
	b.whole.Store(true)
	b.t.watch.start()
	return io.EOF
}

// gone says why the client's content does not come.
func (b *body) gone(err error) error {
	b.gate.Lock()
	defer b.gate.Unlock()
	switch {
	case !isTimeout(err):
		b.t.cancel()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return &exchange.Error{Cause: exchange.ClientAborted, Err: err}
	case b.closed:
		return errBodyClosed
	}
	b.t.c.s.conf.Counters.Hit(limits.MinRate)
	return &exchange.Error{Cause: exchange.HTTPRequestError, Err: errBodySlow}
}

// malformed refuses content whose end cannot be found.
func (b *body) malformed(err error) error {
	switch err {
	case errChunkOverhead:
		b.t.c.s.conf.Counters.Hit(limits.ChunkOverhead)
	case errTrailerSize:
		b.t.c.s.conf.Counters.Hit(limits.RequestTrailers)
	}
	return &exchange.Error{Cause: exchange.HTTPRequestError, Err: err}
}

// trailer returns the trailer fields of chunked content, once Read has
// returned io.EOF.
func (b *body) trailer() exchange.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.chunks.trailer
}

// Close implements io.Closer: a read in progress ends, and no other begins.
// What is left is the connection's to deal with.
func (b *body) Close() error {
	b.gate.Lock()
	defer b.gate.Unlock()
	if !b.closed && !b.whole.Load() {
		_ = b.t.c.p.SetReadDeadline(past) // an error shows in the read
	}
	b.closed = true
	return nil
}

// stop closes the body and waits for its reader.
func (b *body) stop() {
	_ = b.Close() // never fails
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errBodyClosed
	}
}

// settles reports whether what is left of the body will not be in the way
// of the next request: it is here already, or is of a known size that is
// worth reading. While somebody reads it, nobody knows.
func (b *body) settles() bool {
	if !b.mu.TryLock() {
		return b.whole.Load()
	}
	defer b.mu.Unlock()
	c := b.t.c
	switch {
	case b.whole.Load():
		return true
	case b.err != nil:
		return false
	case b.chunks != nil:
		return b.chunks.ends(c.in.bytes())
	case b.left <= int64(c.in.len()):
		return true
	}
	return !b.expects && b.left <= int64(c.s.conf.Limits.BodyDrain)
}

// ends reports whether b holds all that is left.
func (d *chunked) ends(b []byte) bool {
	ahead := *d
	ahead.section = slices.Clone(d.section)
	for ahead.state != chunksEnd {
		_, n, err := ahead.decode(b, len(b))
		if err != nil || n == 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// drain reads what is left and reports whether the connection can take
// another request. Nobody else reads any more.
func (b *body) drain() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != errBodyClosed {
		return false
	}
	b.expects, b.until = false, time.Now().Add(lingerTime)
	rest := make([]byte, 4<<10)
	for err := error(nil); err == nil; {
		if b.chunks != nil {
			_, err = b.nextChunked(rest)
		} else {
			_, err = b.next(rest)
		}
	}
	return b.whole.Load()
}
