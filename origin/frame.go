package origin

import (
	"errors"
	"math"
)

var errChunk = errors.New("malformed chunked coding")

// follower finds the end of a response's content in the bytes of a
// connection without changing them.
type follower struct {
	framing framing
	left    int64 // byLength: bytes to come; byChunks: bytes of this chunk to come
	step    chunkStep
	digits  int  // of the chunk size being read
	last    bool // the size read is that of the last chunk
}

// chunkStep is a place in the grammar of RFC 9112, section 7.1.
type chunkStep uint8

const (
	chunkSize chunkStep = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart
	trailerLine
	trailerLF
	trailerEndLF
)

func follow(h *head) follower {
	return follower{framing: h.framing, left: max(h.length, 0)}
}

// done is whether the content is already at its end.
func (f *follower) done() bool {
	return f.framing == noContent || f.framing == byLength && f.left == 0
}

// next looks at the next bytes of the connection and returns how many of
// them belong to the content, and whether it ends with the last of those.
func (f *follower) next(b []byte) (used int, done bool, err error) {
	switch f.framing {
	case noContent:
		return 0, true, nil
	case byLength:
		n := min(int64(len(b)), f.left)
		f.left -= n
		return int(n), f.left == 0, nil
	case byChunks:
		return f.chunks(b)
	case byClose, asOtherwise:
	}
	return len(b), false, nil
}

func (f *follower) chunks(b []byte) (used int, done bool, err error) {
	for i := 0; i < len(b); {
		if f.step == chunkData {
			n := min(int64(len(b)-i), f.left)
			f.left -= n
			i += int(n)
			if f.left == 0 {
				f.step = chunkDataCR
			}
			continue
		}
		if f.step == trailerEndLF && b[i] == '\n' {
			return i + 1, true, nil
		}
		if !f.advance(b[i]) {
			return i, false, errChunk
		}
		i++
	}
	return len(b), false, nil
}

// advance takes one byte that is not data, and reports whether the
// grammar allows it.
func (f *follower) advance(c byte) bool {
	switch f.step {
	case chunkSize:
		return f.size(c)
	case chunkExtension:
		return f.until(c, chunkSizeLF)
	case chunkSizeLF:
		f.digits = 0
		f.step = chunkData
		if f.last {
			f.step = trailerStart
		}
		return c == '\n'
	case chunkDataCR:
		f.step = chunkDataLF
		return c == '\r'
	case chunkDataLF:
		f.step = chunkSize
		return c == '\n'
	case trailerStart:
		f.step = trailerLine
		if c == '\r' {
			f.step = trailerEndLF
		}
		return c != '\n'
	case trailerLine:
		return f.until(c, trailerLF)
	case trailerLF:
		f.step = trailerStart
		return c == '\n'
	case chunkData, trailerEndLF:
	}
	return false
}

// until waits for the CR that ends a line; LF alone does not.
func (f *follower) until(c byte, then chunkStep) bool {
	if c == '\r' {
		f.step = then
	}
	return c != '\n'
}

func (f *follower) size(c byte) bool {
	v, ok := unhex(c)
	if ok {
		f.digits++
		if f.left > math.MaxInt64>>4 {
			return false
		}
		f.left = f.left<<4 | int64(v)
		return true
	}
	f.last = f.left == 0
	switch c {
	case ';', ' ', '\t':
		f.step = chunkExtension
	case '\r':
		f.step = chunkSizeLF
	default:
		return false
	}
	return f.digits > 0
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
