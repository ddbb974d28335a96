package relay

import "sync"

// chunkSize is how content is kept on its way: small enough for a form, large
// enough for a download.
const chunkSize = 8 << 10

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// fifo is content on its way. It holds no chunk while it is empty. Its user
// bounds it.
type fifo struct {
	chunks []*chunk
	few    [2]*chunk // what chunks lies in while they are few
	r, w   int       // where the first chunk is read, the last one written
	n      int
}

func (f *fifo) len() int { return f.n }

// write appends p.
func (f *fifo) write(p []byte) {
	f.n += len(p)
	for len(p) > 0 {
		if len(f.chunks) == 0 {
			f.chunks, f.w = f.few[:0], chunkSize
		}
		if f.w == chunkSize {
			f.chunks = append(f.chunks, chunks.Get().(*chunk))
			f.w = 0
		}
		n := copy(f.chunks[len(f.chunks)-1][f.w:], p)
		f.w += n
		p = p[n:]
	}
}

// read moves the first bytes into p.
func (f *fifo) read(p []byte) int {
	n := 0
	for n < len(p) && f.n > 0 {
		m := copy(p[n:], f.chunks[0][f.r:min(chunkSize, f.r+f.n)])
		n += m
		f.drop(m)
	}
	return n
}

// drop takes the first n bytes away, which are of one chunk.
func (f *fifo) drop(n int) {
	f.n -= n
	if f.r += n; f.n > 0 && f.r < chunkSize {
		return
	}
	chunks.Put(f.chunks[0])
	f.chunks[0] = nil
	f.chunks = f.chunks[1:]
	f.r = 0
	if f.n == 0 {
		f.chunks = nil
	}
}

// reset drops everything.
func (f *fifo) reset() {
	for i, c := range f.chunks {
		chunks.Put(c)
		f.chunks[i] = nil
	}
	f.chunks, f.r, f.w, f.n = nil, 0, 0, 0
}
