package http3

import (
	"errors"
	"io"

	"github.com/quic-go/quic-go/quicvarint"
)

// The frame types of RFC 9114, 7.2, and RFC 9218, 7.
const (
	frameData            = 0x0
	frameHeaders         = 0x1
	frameCancelPush      = 0x3
	frameSettings        = 0x4
	framePushPromise     = 0x5
	frameGoAway          = 0x7
	frameMaxPushID       = 0xd
	framePriorityRequest = 0xf0700
	framePriorityPush    = 0xf0701
)

// misplaced reports whether a frame type has no place on a request stream,
// where only DATA, HEADERS and unknown types have one: those of a control
// stream, of a server, and of HTTP/2 (RFC 9114, 7.2.8).
func misplaced(typ uint64) bool {
	switch typ {
	case frameCancelPush, frameSettings, framePushPromise, frameGoAway, frameMaxPushID, framePriorityRequest, framePriorityPush:
		return true
	}
	return fromHTTP2(typ)
}

// fromHTTP2 reports whether a frame type is one of HTTP/2's that HTTP/3 has
// no use for.
func fromHTTP2(typ uint64) bool { return typ == 0x2 || typ == 0x6 || typ == 0x8 || typ == 0x9 }

// frameRoom is the size of the frame header that beginFrame leaves room for:
// a type of one byte, and a length of four, of which two bits say so.
const (
	frameRoom   = 5
	frameLimit  = 1<<30 - 1
	fourByteInt = 0x80
)

// beginFrame leaves room for the header of a frame whose length is not
// known yet; the frame begins at len(dst).
func beginFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0, 0) }

// endFrame writes the header of the frame that began at: of a known type,
// and no longer than frameLimit.
func endFrame(b []byte, at int, typ byte) {
	n := len(b) - at - frameRoom
	b[at] = typ
	b[at+1], b[at+2], b[at+3], b[at+4] = byte(n>>24)|fourByteInt, byte(n>>16), byte(n>>8), byte(n)
}

// appendDataHeader begins a DATA frame of n bytes.
func appendDataHeader(dst []byte, n int64) []byte {
	return quicvarint.Append(append(dst, frameData), uint64(n))
}

var (
	errShort       = errors.New("the input ends within an integer")
	errTooLong     = errors.New("an integer is too long")
	errInstruction = errors.New("an instruction that is out of place")
	errTruncated   = fatal(codeFrameError, "the stream ends within a frame")
)

// input reads a stream through a buffer. Its methods may be called again
// after a deadline has passed: nothing is lost.
type input struct {
	src  io.Reader
	buf  *buffer // nil: small is used
	r, w int     // what was read ahead is bytes()[r:w]
	err  error   // of src, after what was read ahead; io.EOF is its end
	lean bool    // lend no buffer: the stream may be silent for long
	// small takes the header of a frame.
	small [2 * maxVarint]byte
}

// maxVarint is the longest encoding of an integer (RFC 9000, 16), in bytes.
const maxVarint = 8

func (in *input) space() []byte {
	if in.buf != nil {
		return in.buf.data[:cap(in.buf.data)]
	}
	return in.small[:]
}

// ahead returns what was read ahead.
func (in *input) ahead() []byte { return in.space()[in.r:in.w] }

// fill reads at least a byte more, for which there must be room.
func (in *input) fill() error {
	if in.err != nil {
		return in.err
	}
	if in.r == in.w {
		in.r, in.w = 0, 0
		switch {
		case in.lean:
			in.release()
		case in.buf == nil:
			in.buf = readBuffers.get()
		}
	}
	space := in.space()
	if in.r > 0 && in.w == len(space) {
		in.w = copy(space, space[in.r:in.w])
		in.r = 0
	}
	n, err := in.src.Read(space[in.w:])
	in.w += n
	return in.note(n, err)
}

// note keeps an error of src for later if something came with it.
func (in *input) note(n int, err error) error {
	if err != nil && !timedOut(err) {
		in.err = err
	}
	if n > 0 {
		return nil
	}
	return err
}

// gather reads until n bytes are ahead, and returns them. They hold until
// the next call. The buffer grows with what has come, not with what was
// announced.
func (in *input) gather(n int) ([]byte, error) {
	for in.w-in.r < n {
		if in.r == 0 && in.w == len(in.space()) {
			in.grow(n)
		}
		if err := in.fill(); err != nil {
			return nil, truncated(err)
		}
	}
	b := in.space()[in.r : in.r+n]
	in.r += n
	return b, nil
}

// grow makes room for more of n bytes.
func (in *input) grow(n int) {
	larger := bufferFor(min(n, bufferGrowth*len(in.space())))
	held := copy(larger.data[:cap(larger.data)], in.ahead())
	in.release()
	in.buf, in.w = larger, held
}

// header reads the header of a frame. io.EOF is the end of the stream
// between two frames.
func (in *input) header() (typ, length uint64, err error) {
	for {
		b := in.ahead()
		if typ, n, err := quicvarint.Parse(b); err == nil {
			if length, m, err := quicvarint.Parse(b[n:]); err == nil {
				in.r += n + m
				return typ, length, nil
			}
		}
		if err := in.fill(); err != nil {
			if len(b) > 0 {
				err = truncated(err)
			}
			return 0, 0, err
		}
	}
}

// varint reads an integer. io.EOF is the end of the stream, anywhere.
func (in *input) varint() (uint64, error) {
	for {
		if v, n, err := quicvarint.Parse(in.ahead()); err == nil {
			in.r += n
			return v, nil
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
}

// read reads up to len(p) bytes, past the buffer when it is empty.
func (in *input) read(p []byte) (int, error) {
	if b := in.ahead(); len(b) > 0 {
		n := copy(p, b)
		in.r += n
		return n, nil
	}
	if in.err != nil {
		return 0, in.err
	}
	n, err := in.src.Read(p)
	return n, in.note(n, err)
}

// skip drops up to n bytes and returns how many are left to drop.
func (in *input) skip(n uint64) (left uint64, err error) {
	for n > 0 {
		if in.r == in.w {
			if err := in.fill(); err != nil {
				return n, truncated(err)
			}
		}
		k := min(n, uint64(in.w-in.r))
		in.r += int(k)
		n -= k
	}
	return 0, nil
}

// ended reports whether everything was read, without asking the stream.
func (in *input) ended() bool { return in.r == in.w && in.err == io.EOF }

// release gives the buffer back; what was read ahead is lost.
func (in *input) release() {
	if in.buf != nil {
		in.buf.release()
		in.buf = nil
	}
	in.r, in.w = 0, 0
}

// truncated is what err means within a frame.
func truncated(err error) error {
	if err == io.EOF {
		return errTruncated
	}
	return err
}
