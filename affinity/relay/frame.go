package relay

import (
	"encoding/binary"
	"fmt"
)

// version is that of the frames below. Nodes of two versions do not relay to
// one another.
const version = 1

// kind is the type of a frame.
type kind uint8

const (
	frameHello kind = iota + 1
	frameHead
	frameCall
	frameAccept
	frameGo
	frameResponse
	frameInterim
	frameData
	frameLast
	frameEnd
	frameFail
	frameDecline
	frameRefused
	frameCancel
	frameWindow
	framePing
	framePong
	frameGoAway
	endKinds
)

// sender says which side may send a frame.
type sender uint8

const (
	asker sender = 1 << iota
	answerer
	both = asker | answerer
)

const (
	// maxData is how much content one frame carries: with its header, about
	// one TLS record.
	maxData = 16 << 10
	// maxSmall bounds the payload of frames that are neither content nor
	// heads.
	maxSmall = 32
	// maxText bounds texts for people, such as an error's.
	maxText = 2 << 10
)

// kinds says what frames look like. most is 0 for a head, whose bound is the
// receiver's.
var kinds = [endKinds]struct {
	name   string
	from   sender
	stream bool // it is about one
	most   int
}{
	frameHello:    {"HELLO", both, false, maxSmall},
	frameHead:     {"HEAD", asker, true, 0},
	frameCall:     {"CALL", asker, true, maxText},
	frameAccept:   {"ACCEPT", answerer, true, maxSmall},
	frameGo:       {"GO", asker, true, maxSmall},
	frameResponse: {"RESPONSE", answerer, true, 0},
	frameInterim:  {"INTERIM", answerer, true, 0},
	frameData:     {"DATA", both, true, maxData},
	frameLast:     {"LAST", both, true, maxData},
	frameEnd:      {"END", both, true, 0},
	frameFail:     {"FAIL", answerer, true, 2 * maxText},
	frameDecline:  {"DECLINE", answerer, true, maxSmall},
	frameRefused:  {"REFUSED", answerer, true, maxSmall},
	frameCancel:   {"CANCEL", both, true, maxSmall},
	frameWindow:   {"WINDOW", both, true, maxSmall},
	framePing:     {"PING", both, false, maxSmall},
	framePong:     {"PONG", both, false, maxSmall},
	frameGoAway:   {"GOAWAY", answerer, false, maxSmall},
}

// String returns the name of the frame's type.
func (k kind) String() string {
	if k == 0 || k >= endKinds {
		return fmt.Sprintf("frame %d", uint8(k))
	}
	return kinds[k].name
}

// frame is a frame's header.
type frame struct {
	kind   kind
	length int
	stream uint32
}

const (
	frameHeader = 8
	// maxLength is the longest payload that a header can announce.
	maxLength = 1<<24 - 1
)

// appendTo appends the header.
func (f frame) appendTo(b []byte) []byte {
	b = append(b, byte(f.kind), byte(f.length>>16), byte(f.length>>8), byte(f.length))
	return binary.BigEndian.AppendUint32(b, f.stream)
}

// setLength writes the length of a payload that was appended, the header of
// its frame lying at at.
func setLength(b []byte, at int) {
	n := len(b) - at - frameHeader
	b[at+1], b[at+2], b[at+3] = byte(n>>16), byte(n>>8), byte(n)
}

// parseFrame reads a header from the first bytes of b, and says what is wrong
// with it. maxHead is the largest head that is taken.
func parseFrame(b []byte, from sender, maxHead int) (frame, error) {
	f := frame{kind(b[0]), int(b[1])<<16 | int(b[2])<<8 | int(b[3]), binary.BigEndian.Uint32(b[4:])}
	if f.kind == 0 || f.kind >= endKinds {
		return f, malformed("%s, which is none of version %d", f.kind, version)
	}
	k := &kinds[f.kind]
	most := k.most
	if most == 0 {
		most = maxHead
	}
	switch {
	case k.from&from == 0:
		return f, malformed("%s from the side that does not send it", f.kind)
	case f.length > most:
		return f, malformed("%s of %d bytes, at most %d", f.kind, f.length, most)
	case k.stream != (f.stream != 0):
		return f, malformed("%s on stream %d", f.kind, f.stream)
	}
	return f, nil
}

// fault is what was wrong with what a peer sent. It ends the connection.
type fault struct{ text string }

// Error implements error.
func (f *fault) Error() string { return "malformed: " + f.text }

func malformed(format string, args ...any) error {
	return &fault{fmt.Sprintf(format, args...)}
}

// hello is what each side says of itself first.
type hello struct {
	window  int // of a stream, to begin with
	streams int // how many it serves at once; 0 from an asker
	maxHead int // the largest head it takes
}

// frame returns the HELLO.
func (h hello) frame() []byte {
	b := frame{frameHello, 0, 0}.appendTo(nil)
	b = binary.AppendUvarint(b, version)
	b = binary.AppendUvarint(b, uint64(h.window))
	b = binary.AppendUvarint(b, uint64(h.streams))
	b = binary.AppendUvarint(b, uint64(h.maxHead))
	setLength(b, 0)
	return b
}

func parseHello(p []byte) (h hello, err error) {
	d := decoder{b: p}
	v := d.uint()
	if !d.failed && v != version {
		return h, malformed("version %d of the protocol, want %d: let both nodes run one version of Landfall", v, version)
	}
	h.window, h.streams, h.maxHead = d.size(), d.size(), d.size()
	if !d.done() || h.maxHead > maxLength {
		return h, malformed("HELLO cannot be read")
	}
	return h, nil
}
