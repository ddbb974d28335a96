package http3

import "sync"

const (
	// readSize holds a request's head, as a rule, and what follows it in the
	// same packets.
	readSize = 4 << 10
	// bufferGrowth is how many times larger the next size is, up to
	// headSize, which holds any head within the default limits.
	bufferGrowth = 4
	middleSize   = bufferGrowth * readSize
	headSize     = bufferGrowth * middleSize
	// gatherSize is how much content is gathered before it is written.
	gatherSize = 16 << 10
	// writeSize is that, and room for the head before it.
	writeSize = gatherSize + 4<<10
)

// buffer is a lent piece of memory.
type buffer struct {
	data []byte
	from *buffers // nil: from no pool
}

// release gives the memory back, unless it is not what was lent.
func (b *buffer) release() {
	if b.from != nil && cap(b.data) == b.from.size {
		b.data = b.data[:0]
		b.from.pool.Put(b)
	}
}

// buffers lends buffers of one size.
type buffers struct {
	size int
	pool sync.Pool
}

func lending(size int) *buffers { return &buffers{size: size} }

// get returns an empty buffer.
func (p *buffers) get() *buffer {
	if b, ok := p.pool.Get().(*buffer); ok {
		return b
	}
	return &buffer{data: make([]byte, 0, p.size), from: p}
}

var (
	readBuffers   = lending(readSize)
	middleBuffers = lending(middleSize)
	headBuffers   = lending(headSize)
	writeBuffers  = lending(writeSize)
)

// bufferFor returns a buffer for n bytes to be read at once.
func bufferFor(n int) *buffer {
	switch {
	case n <= readSize:
		return readBuffers.get()
	case n <= middleSize:
		return middleBuffers.get()
	case n <= headSize:
		return headBuffers.get()
	}
	return &buffer{data: make([]byte, 0, n)}
}
