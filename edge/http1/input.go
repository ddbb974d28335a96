package http1

import (
	"bytes"
	"sync"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

const (
	// record is the largest piece that TLS gives out at once. A read into
	// less could leave a part in TLS, where nobody sees it.
	record = 16 << 10
	// firstInput holds an ordinary head and a record behind it.
	firstInput = 4<<10 + record
	// lineSlack is what a request line may have beside path and query:
	// method, version, and scheme and authority of an absolute-form.
	lineSlack = 512
)

// inputs lends the buffers of inputs.
type inputs struct {
	small, large sync.Pool // of *[]byte
}

func newInputs(head int) inputs {
	lending := func(size int) sync.Pool {
		return sync.Pool{New: func() any { b := make([]byte, size); return &b }}
	}
	return inputs{small: lending(firstInput), large: lending(max(firstInput, head+record))}
}

func (p *inputs) put(b *[]byte) {
	if len(*b) == firstInput {
		p.small.Put(b)
	} else {
		p.large.Put(b)
	}
}

// input is what was read of a connection and not yet used. Its buffer is
// lent while it holds something.
type input struct {
	p    *wire.Plain
	from *inputs
	buf  *[]byte // nil: empty
	r, w int

	// How far the head that begins at r was looked through, and where its
	// last line begins, both from r on.
	seen, line int
	blank      bool // an empty line before the head was skipped
}

func (in *input) bytes() []byte {
	if in.buf == nil {
		return nil
	}
	return (*in.buf)[in.r:in.w]
}

func (in *input) len() int { return in.w - in.r }

// drop takes the first n bytes away. The buffer stays until release.
func (in *input) drop(n int) {
	in.r += n
	in.seen, in.line = 0, 0
}

// take moves bytes from the beginning into p.
func (in *input) take(p []byte) int {
	n := copy(p, in.bytes())
	in.drop(n)
	return n
}

// release gives the buffer back when it holds nothing.
func (in *input) release() {
	if in.buf != nil && in.r == in.w {
		in.from.put(in.buf)
		in.buf, in.r, in.w = nil, 0, 0
	}
}

// discard gives the buffer back, whatever it holds.
func (in *input) discard() {
	in.r = in.w
	in.release()
}

// fill reads once, behind what is held.
func (in *input) fill() error {
	in.makeRoom()
	n, err := in.p.Read((*in.buf)[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	return err
}

// makeRoom makes room for a record. No more than a head within the limit
// is held when it is called, so that the large buffer has room always.
func (in *input) makeRoom() {
	switch {
	case in.buf == nil:
		in.buf = in.from.small.Get().(*[]byte)
	case len(*in.buf)-in.w >= record:
	case in.r == in.w:
		in.r, in.w = 0, 0
	default:
		to := in.buf
		if len(*to)-in.len() < record {
			to = in.from.large.Get().(*[]byte)
		}
		in.r, in.w = 0, copy(*to, in.bytes())
		if to != in.buf {
			in.from.put(in.buf)
			in.buf = to
		}
	}
}

// head returns the length of the head that is held, with the empty line
// that ends it: 0 when it is not whole yet. It looks at no byte twice.
// Lines end with CRLF and nothing else (RFC 9112, 2.2).
func (in *input) head(lim *limits.Limits) (n int, why exchange.Refusal) {
	for {
		b := in.bytes()
		at := bytes.IndexByte(b[in.seen:], '\n')
		if at < 0 {
			in.seen = len(b)
			return 0, in.over(len(b), lim)
		}
		at += in.seen
		in.seen = at + 1
		switch {
		case at == 0 || b[at-1] != '\r':
			return 0, exchange.BadRequest
		case at-1 > in.line:
			in.line = at + 1
		case in.line > 0:
			in.blank = false
			return at + 1, in.over(at+1, lim)
		case in.blank:
			return 0, exchange.BadRequest
		default: // RFC 9112, 2.2: one is to be ignored
			in.blank = true
			in.drop(2)
		}
	}
}

// over reports why n bytes are too many, if they are.
func (in *input) over(n int, lim *limits.Limits) exchange.Refusal {
	switch {
	case in.line == 0 && n > lim.RequestURI+lineSlack:
		return exchange.URITooLong
	case n > lim.RequestHead:
		return exchange.HeadTooLarge
	}
	return exchange.Admitted
}
