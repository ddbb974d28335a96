package http1

import (
	"bytes"
	"errors"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/message"
	"github.com/landfall-cdn/landfall/internal/limits"
)

var (
	errChunk         = errors.New("malformed chunk")
	errChunkOverhead = errors.New("too many bytes beside the content of chunks")
	errTrailer       = errors.New("malformed trailer section")
	errTrailerSize   = errors.New("trailer section too large")
)

const (
	// maxDigits bounds a chunk's size to what an int64 holds with ease,
	// leading zeros included.
	maxDigits = 15
	// chunkCost is what a chunk of 1 KiB costs: "400", and CRLF twice.
	chunkCost = 7
)

// chunkState is what a decoder expects next (RFC 9112, 7.1).
type chunkState uint8

const (
	chunkSize    chunkState = iota
	extName                 // the first byte of an extension's name
	extNameRest             // more of it
	extValue                // the first byte of its value
	extValueRest            // more of a token
	extQuoted               // more of a quoted string
	extPair                 // what a backslash quotes
	extEnd                  // what follows a quoted string
	sizeLF
	chunkData
	dataCR
	dataLF
	trailerLines
	chunksEnd
	chunkBroken // after a byte that the grammar does not have
)

// chunked decodes the chunked transfer coding. White space around
// extensions, which RFC 9112, 7.1.1, calls bad, is refused: readers differ
// about what it belongs to. Its zero value with lim set is at the beginning.
type chunked struct {
	lim   *limits.Limits
	state chunkState
	// left is what is left of the chunk, or its size while that is read.
	left   int64
	digits int
	line   int // bytes of the chunk's size and extensions so far
	excess int // what earlier ones had too many, see ChunkOverhead

	section []byte // of the trailer, line by line
	trailer exchange.Header
}

// decode takes bytes off b and returns how many. It returns when it has
// found content, of which it takes up to limit bytes, which lie in b; at the
// end of the trailer section; and when b is used up.
func (d *chunked) decode(b []byte, limit int) (content []byte, n int, err error) {
	for n < len(b) && d.state != chunksEnd {
		switch d.state {
		case chunkData:
			m := int(min(d.left, int64(min(limit, len(b)-n))))
			if d.left -= int64(m); d.left == 0 {
				d.state = dataCR
			}
			return b[n : n+m], n + m, nil
		case trailerLines:
			m, err := d.trailerLine(b[n:])
			if n += m; err != nil {
				return nil, n, err
			}
		default:
			if d.state = d.next(b[n]); d.state == chunkBroken {
				return nil, n, errChunk
			}
			n++
			if d.line+d.excess > d.lim.ChunkOverhead+chunkCost {
				return nil, n, errChunkOverhead
			}
		}
	}
	return nil, n, nil
}

// next returns the state after c, outside of content and trailer.
func (d *chunked) next(c byte) chunkState {
	d.line++
	switch d.state {
	case chunkSize:
		return d.size(c)
	case sizeLF:
		return d.begin(c)
	case dataCR:
		if c == '\r' {
			return dataLF
		}
	case dataLF:
		if c == '\n' {
			d.line, d.digits = 0, 0
			return chunkSize
		}
	default:
		return d.extension(c)
	}
	return chunkBroken
}

func (d *chunked) size(c byte) chunkState {
	v := hex[c]
	switch {
	case v < 0 && d.digits > 0:
		return afterExtension(c)
	case v < 0 || d.digits == maxDigits:
		return chunkBroken
	}
	d.left = d.left<<4 | int64(v)
	d.digits++
	return chunkSize
}

// hex is the value of a hexadecimal digit, and -1 for all other bytes.
var hex = func() (t [256]int8) {
	for c := range t {
		t[c] = int8(bytes.IndexByte([]byte("0123456789abcdef"), byte(c)))
	}
	for c := 'A'; c <= 'F'; c++ {
		t[c] = int8(c - 'A' + 10)
	}
	return t
}()

// begin begins the chunk behind the size line. Each may cost what its
// content in chunks of 1 KiB would.
func (d *chunked) begin(c byte) chunkState {
	if c != '\n' {
		return chunkBroken
	}
	chunks := max(1, (d.left+1023)>>10)
	d.excess += max(0, d.line+len("\r\n")-int(min(chunks*chunkCost, 1<<20)))
	d.line = 0
	if d.left == 0 {
		return trailerLines
	}
	return chunkData
}

// extension reads chunk extensions (RFC 9112, 7.1.1), which mean nothing to
// us.
func (d *chunked) extension(c byte) chunkState {
	token := message.TokenByte(c)
	text := c == '\t' || c >= ' ' && c != 0x7f
	switch {
	case d.state == extName && token:
		return extNameRest
	case d.state == extNameRest && c == '=':
		return extValue
	case d.state == extValue && c == '"', d.state == extPair && text:
		return extQuoted
	case d.state == extValue && token:
		return extValueRest
	case d.state == extQuoted && c == '"':
		return extEnd
	case d.state == extQuoted && c == '\\':
		return extPair
	case (d.state == extNameRest || d.state == extValueRest) && token, d.state == extQuoted && text:
		return d.state
	case d.state == extNameRest || d.state == extValueRest || d.state == extEnd:
		return afterExtension(c)
	}
	return chunkBroken
}

// afterExtension returns the state after c, where an extension or the end of
// the line may follow.
func afterExtension(c byte) chunkState {
	switch c {
	case ';':
		return extName
	case '\r':
		return sizeLF
	}
	return chunkBroken
}

// trailerLine takes bytes of the trailer section off b, to the end of a
// line at most.
func (d *chunked) trailerLine(b []byte) (n int, err error) {
	end := bytes.IndexByte(b, '\n')
	if n = end + 1; end < 0 {
		n = len(b)
	}
	if len(d.section)+n > d.lim.RequestTrailers+len("\r\n") {
		return n, errTrailerSize
	}
	d.section = append(d.section, b[:n]...)
	if end < 0 {
		return n, nil
	}
	switch s := d.section; {
	case len(s) < 2 || s[len(s)-2] != '\r':
		return n, errTrailer
	case len(s) > 2 && s[len(s)-3] != '\n':
		return n, nil // a line that is not empty
	}
	d.state = chunksEnd
	return n, d.finish()
}

// finish reads the trailer section, which is whole.
func (d *chunked) finish() error {
	var t message.Trailer
	t.Begin(d.lim)
	for b := d.section; len(b) > len("\r\n"); {
		n := bytes.IndexByte(b, '\n')
		name, value, ok := field(b[:n-1])
		if !ok {
			return errTrailer
		}
		t.Field(name, value)
		b = b[n+1:]
	}
	h, over, ok := t.End()
	switch {
	case !ok:
		return errTrailer
	case over:
		return errTrailerSize
	}
	d.trailer = h
	return nil
}
