package wire

import "sync"

const (
	// readSize holds the largest TLS record with its overhead.
	readSize = 17 << 10
	// writeSize is how much ciphertext is gathered: what becomes of a full
	// buffer above TLS.
	writeSize = 136 << 10
	// sendSize is how much one system call takes of it. Linux has 64 KiB in a
	// segment buffer, with its headers; a call that needs a second one costs
	// up to twice the CPU per byte (BenchmarkSendSize).
	sendSize = 60 << 10
)

// buffer is a run of bytes: data[r:w] is what it holds.
type buffer struct {
	data []byte
	r, w int
}

func (b *buffer) len() int      { return b.w - b.r }
func (b *buffer) room() int     { return len(b.data) - b.w }
func (b *buffer) free() []byte  { return b.data[b.w:] }
func (b *buffer) bytes() []byte { return b.data[b.r:b.w] }
func (b *buffer) drop(n int)    { b.r += n }
func (b *buffer) reset()        { b.r, b.w = 0, 0 }

// compact makes room behind what is held.
func (b *buffer) compact() {
	if b.r > 0 {
		b.w = copy(b.data, b.bytes())
		b.r = 0
	}
}

func (b *buffer) put(p []byte) int {
	n := copy(b.free(), p)
	b.w += n
	return n
}

func (b *buffer) take(p []byte) int {
	n := copy(p, b.bytes())
	b.r += n
	return n
}

// buffers lends buffers of one size.
type buffers struct{ pool sync.Pool }

func lending(size int) *buffers {
	return &buffers{sync.Pool{New: func() any { return &buffer{data: make([]byte, size)} }}}
}

func (p *buffers) get() *buffer  { return p.pool.Get().(*buffer) }
func (p *buffers) put(b *buffer) { p.pool.Put(b) }

var (
	readBuffers  = lending(readSize)
	writeBuffers = lending(writeSize)
	plainBuffers = lending(plainSize)
)
