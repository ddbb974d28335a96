package cache

import (
	"context"
	"errors"
	"io"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/landfall-cdn/landfall/internal/must"
)

const (
	minPiece = 16 << 10
	maxPiece = 1 << 20
	// windowAhead is how far a fill that is no longer stored reads ahead
	// of the slowest of its readers.
	windowAhead = 2 << 20
)

var (
	errCutShort   = errors.New("content ended before its length was reached")
	errUnasked304 = errors.New("the origin answered 304 to a request without a condition")
	errTooLong    = errors.New("content goes on past its length")
	errGone       = errors.New("content was not kept")
)

// piece is a run of content; data[0] is byte off of the body.
type piece struct {
	off  int64
	data []byte
}

// body is the content of one response. One fill writes it while any
// number of readers follow; what is written never changes. It is kept
// whole, unless it turns out to be too large: then it becomes a window
// that moves along with the slowest reader.
type body struct {
	// Static after newBody.
	budget *budget
	length int64 // -1 when it was not known beforehand
	limit  int64 // largest size that is kept

	// refs counts those who hold the content in memory: the fill, each
	// resource in the store that has it, each reader.
	refs atomic.Int64
	// whole is set once all content has landed and is kept: from then on
	// pieces and landed are read without mu.
	whole atomic.Bool

	mu sync.Mutex
	// Guarded by mu.
	pieces  []piece
	landed  int64
	held    int64 // bytes that the pieces occupy, as counted in budget
	err     error // why no more will land
	window  bool
	pending int       // requests that may still open a reader at 0
	readers []*reader // those that are open, when the length is not known
	spare   []byte    // a piece of a window, to be used again
	wake    chan struct{}
}

// newBody returns an empty body with one reference, the fill's. It returns
// nil when the budget has no room for it.
func newBody(b *budget, length, limit int64) *body {
	c := &body{budget: b, length: length, limit: limit}
	size := length
	if length < 0 {
		size = min(minPiece, limit+1)
	}
	if !b.take(size) {
		return nil
	}
	c.refs.Store(1)
	c.held = size
	if size > 0 {
		c.pieces = []piece{{0, make([]byte, 0, size)}}
	}
	return c
}

// retain adds a reference. Content that nobody held was given back to the
// budget, and is counted again.
func (b *body) retain() {
	if b.refs.Add(1) == 1 {
		b.budget.add(b.held)
	}
}

// release gives a reference up.
func (b *body) release() {
	n := b.refs.Add(-1)
	must.True(n >= 0, "a cache body was released too often")
	if n == 0 {
		b.budget.add(-b.held)
	}
}

// size returns the length, -1 as long as it is not known.
func (b *body) size() int64 {
	switch {
	case b.length >= 0:
		return b.length
	case b.whole.Load():
		return b.landed
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF {
		return b.landed
	}
	return -1
}

// remaining returns how many bytes have yet to land, -1 when that is not
// known.
func (b *body) remaining() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.length < 0 {
		return -1
	}
	return b.length - b.landed
}

// room returns space for the fill to read into, none for a body that is
// known to be empty. In a window, which it reports, it waits for the
// readers.
func (b *body) room(ctx context.Context) (free []byte, window bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		if n := len(b.pieces); n > 0 {
			last := b.pieces[n-1].data
			if free := last[len(last):cap(last)]; len(free) > 0 {
				return free, b.window, nil
			}
		}
		if b.landed == b.length {
			return nil, false, nil // an empty body: any other is sealed as it gets there
		}
		if !b.window && b.grow() {
			continue
		}
		b.window = true
		if b.slide() {
			continue
		}
		if err := b.wait(ctx); err != nil {
			return nil, true, err
		}
	}
}

// grow adds a piece twice the size of the last. It reports false when the
// body is too large for the store, or the store for the memory.
func (b *body) grow() bool {
	size := min(2*b.held, maxPiece, b.limit+1-b.landed)
	if size <= 0 || !b.budget.take(size) {
		return false
	}
	b.held += size
	b.pieces = append(b.pieces, piece{b.landed, make([]byte, 0, size)})
	return true
}

// slide drops the pieces that every reader has passed and adds one, unless
// the slowest reader is too far behind. When the memory is used up, a
// window goes on with one small piece at a time.
func (b *body) slide() bool {
	slowest := b.landed
	if b.pending > 0 {
		slowest = 0
	}
	for _, r := range b.readers {
		slowest = min(slowest, r.off)
	}
	for len(b.pieces) > 0 && b.pieces[0].off+int64(len(b.pieces[0].data)) <= slowest {
		b.drop()
	}
	if b.landed-slowest >= windowAhead {
		return false
	}
	data := b.spare
	b.spare = nil
	if data == nil {
		size := int64(maxPiece)
		if !b.budget.take(size) {
			if len(b.pieces) > 0 {
				return false
			}
			size = minPiece
			b.budget.add(size)
		}
		data = make([]byte, 0, size)
		b.held += size
	}
	b.pieces = append(b.pieces, piece{b.landed, data})
	return true
}

// drop takes the first piece away, and keeps one of full size for use.
func (b *body) drop() {
	data := b.pieces[0].data
	b.pieces = slices.Delete(b.pieces, 0, 1)
	if b.spare == nil && cap(data) == maxPiece {
		b.spare = data[:0]
		return
	}
	b.held -= int64(cap(data))
	b.budget.add(-int64(cap(data)))
}

// land makes the next n bytes, read into room, part of the body.
func (b *body) land(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := &b.pieces[len(b.pieces)-1]
	last.data = last.data[:len(last.data)+n]
	b.landed += int64(n)
	b.signal()
}

// end tells the readers that no more will land: io.EOF, or what went wrong.
func (b *body) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	b.signal()
}

// fits reports whether the body, with n more bytes, is one to keep. Only
// the fill calls it.
func (b *body) fits(n int) bool { return !b.window && b.landed+int64(n) <= b.limit }

// compact returns the pieces as they are to be kept, with the last n bytes
// that were read into room: the last piece cut to its size, and a small
// body in one piece. Only the fill calls it, which alone changes the
// pieces, so it needs no lock for the copying.
func (b *body) compact(n int) []piece {
	pieces := slices.Clone(b.pieces)
	if len(pieces) == 0 {
		return nil
	}
	last := &pieces[len(pieces)-1]
	last.data = last.data[:len(last.data)+n]
	switch {
	case b.length >= 0:
		return pieces
	case b.landed+int64(n) > maxPiece:
		last.data = append(make([]byte, 0, len(last.data)), last.data...)
		return pieces
	}
	whole := make([]byte, 0, b.landed+int64(n))
	for _, p := range pieces {
		whole = append(whole, p.data...)
	}
	return []piece{{0, whole}}
}

// seal makes what compact returned the whole body. The caller holds mu,
// and calls whole.Store when readers may see it.
func (b *body) seal(pieces []piece, n int) {
	b.pieces = pieces
	b.landed += int64(n)
	b.err = io.EOF
	var held int64
	for _, p := range pieces {
		held += int64(cap(p.data))
	}
	b.budget.add(held - b.held)
	b.held = held
	b.signal()
}

// at returns the landed bytes from off to the end of their piece: none
// when off has yet to land or is no longer kept. The caller holds mu
// unless the body is whole.
func (b *body) at(off int64) []byte {
	if len(b.pieces) == 1 && b.pieces[0].off == 0 && off >= 0 && off < int64(len(b.pieces[0].data)) {
		return b.pieces[0].data[off:]
	}
	i := sort.Search(len(b.pieces), func(i int) bool { return b.pieces[i].off > off }) - 1
	if i < 0 {
		return nil
	}
	p := b.pieces[i]
	if off-p.off >= int64(len(p.data)) {
		return nil
	}
	return p.data[off-p.off:]
}

// expect announces n requests that will each open a reader or forgo it.
// It reports false when the beginning may be gone already.
func (b *body) expect(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.window {
		return false
	}
	b.pending += n
	return true
}

// forgo takes one announced request back.
func (b *body) forgo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending--
	b.signal()
}

// signal wakes everyone who waits. The caller holds mu.
func (b *body) signal() {
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

// wait gives mu up until the next signal. The caller holds mu, and does
// again when it returns.
func (b *body) wait(ctx context.Context) error {
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	wake := b.wake
	b.mu.Unlock()
	defer b.mu.Lock()
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
