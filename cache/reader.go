package cache

import (
	"context"
	"io"
	"io/fs"
	"slices"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// reader reads a body from an offset on, and waits for bytes that have yet
// to land. It is for one goroutine.
type reader struct {
	// Static after start.
	body *body
	ctx  context.Context // the request's: it ends the waiting
	end  int64           // -1 is the end of the body
	left func()          // called once, by Close; may be nil

	// Owned by the reading goroutine; while the body is still landing it is
	// changed under body.mu, so that the fill can see how far readers are.
	off    int64
	closed bool
	heeded bool // in body.readers
}

// start opens the reader on a body that has all landed.
func (r *reader) start(ctx context.Context, b *body, off, end int64) {
	b.retain()
	r.ctx, r.body, r.off, r.end = ctx, b, off, end
}

// follow makes the body heed how far the reader is. The body was told to
// expect it.
func (r *reader) follow() {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	r.heeded = true
	b.readers = append(b.readers, r)
	b.pending--
	b.signal()
}

// next returns the bytes that can be read now, as a view of the body.
func (r *reader) next() ([]byte, error) {
	switch {
	case r.closed:
		return nil, fs.ErrClosed
	case r.off == r.end:
		return nil, io.EOF
	}
	b := r.body
	if b.whole.Load() {
		if v := b.at(r.off); v != nil {
			return r.clip(v), nil
		}
		return nil, io.EOF
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if v := b.at(r.off); v != nil {
			return r.clip(v), nil
		}
		if b.err != nil {
			return nil, b.err
		}
		if len(b.pieces) > 0 && r.off < b.pieces[0].off {
			return nil, errGone
		}
		if err := b.wait(r.ctx); err != nil {
			return nil, &exchange.Error{Cause: exchange.ClientAborted, Err: err}
		}
	}
}

func (r *reader) clip(v []byte) []byte {
	if r.end >= 0 && int64(len(v)) > r.end-r.off {
		return v[:r.end-r.off]
	}
	return v
}

// advance tells how much of next was used. Only then may a window move on
// and its memory be written again.
func (r *reader) advance(n int) {
	b := r.body
	if b.whole.Load() {
		r.off += int64(n)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r.off += int64(n)
	if b.window {
		b.signal()
	}
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	v, err := r.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, v)
	r.advance(n)
	return n, nil
}

// WriteTo implements io.WriterTo: what is in memory is written from where
// it lies.
func (r *reader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		v, err := r.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(v)
		total += int64(n)
		r.advance(n)
		if err != nil {
			return total, err
		}
	}
}

// Close gives the content up. It may be called more than once.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	b := r.body
	if r.heeded {
		b.mu.Lock()
		b.readers = slices.DeleteFunc(b.readers, func(o *reader) bool { return o == r })
		b.signal()
		b.mu.Unlock()
	}
	b.release()
	if r.left != nil {
		r.left()
	}
	return nil
}
