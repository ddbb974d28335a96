package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
)

// marks are what a RESPONSE begins with.
type marks uint8

const (
	hasCopy  marks = 1 << iota // what it is a copy of is there
	isKept                     // of hasCopy
	isWhole                    // no content follows, nor a trailer
	isTunnel                   // both sides may send what they like
	endMarks
)

func (m marks) has(n marks) bool { return m&n != 0 }

// valid reports whether m can be.
func (m marks) valid() bool {
	return m < endMarks && (m.has(hasCopy) || !m.has(isKept)) && !(m.has(isTunnel) && m.has(isWhole))
}

// appendMarks appends the part of a RESPONSE that no two need to share.
func appendMarks(b []byte, m marks, c *exchange.Copy) []byte {
	if c == nil {
		return append(b, byte(m))
	}
	if m |= hasCopy; c.Kept {
		m |= isKept
	}
	b = append(b, byte(m))
	b = binary.AppendVarint(b, int64(c.Age))
	b = binary.AppendVarint(b, int64(c.Fresh))
	return binary.AppendUvarint(b, c.Purges)
}

// appendResponse appends the other part.
func appendResponse(b []byte, status int, length int64, h exchange.Header) []byte {
	b = binary.AppendUvarint(b, uint64(status))
	b = binary.AppendVarint(b, length)
	return appendFields(b, h)
}

// encodeHead is that part of a stored response, for exchange.Head.Encoded.
// What its node added for clients is not for other nodes.
func encodeHead(h *exchange.Head) []byte {
	return appendResponse(nil, h.Status, h.Length, h.Header[:len(h.Header)-h.Own])
}

// answer is a RESPONSE as it arrives. Its texts are views of the payload.
type answer struct {
	marks  marks
	copied exchange.Copy
	status int
	length int64
	header exchange.Header
}

func (a *answer) parse(p []byte) bool {
	d := decoder{b: p}
	if a.marks = marks(d.byte()); a.marks.has(hasCopy) {
		a.copied = exchange.Copy{
			Kept: a.marks.has(isKept), Age: time.Duration(d.int()), Fresh: time.Duration(d.int()), Purges: d.uint(),
		}
	}
	a.status, a.length = d.status(), d.length()
	a.header = d.fields(nil, maxResponseFields(p))
	return d.done() && a.marks.valid()
}

// status reads a status code (RFC 9110, 15).
func (d *decoder) status() int {
	v := d.size()
	if v < 100 || v > 999 {
		d.fail()
	}
	return v
}

// interim is a 1xx response other than 101.
type interim struct {
	status int
	header exchange.Header
}

func appendInterim(b []byte, status int, h exchange.Header) []byte {
	return appendFields(binary.AppendUvarint(b, uint64(status)), h)
}

func (i *interim) parse(p []byte) bool {
	d := decoder{b: p}
	i.status = d.status()
	i.header = d.fields(nil, maxResponseFields(p))
	return d.done() && i.status < 200 && i.status != 101
}

// parseTrailer reads the payload of an END.
func parseTrailer(p []byte) (exchange.Header, bool) {
	d := decoder{b: p}
	h := d.fields(nil, maxResponseFields(p))
	return h, d.done()
}

// appendFailure appends the payload of a FAIL. A cause goes by its token, so
// that nodes of two releases understand each other. Of a text that is for
// people only, the beginning will do.
func appendFailure(b []byte, e *exchange.Error) []byte {
	text := ""
	if e.Err != nil {
		text = e.Err.Error()
	}
	b = appendText(b, e.Cause.String())
	b = appendText(b, e.Endpoint[:min(len(e.Endpoint), maxText/2)])
	return appendText(b, text[:min(len(text), maxText)])
}

// failure is a FAIL as it arrives. Its texts are views of the payload.
type failure struct{ cause, endpoint, text string }

func (f *failure) parse(p []byte) bool {
	d := decoder{b: p}
	f.cause, f.endpoint, f.text = d.text(), d.text(), d.text()
	return d.done()
}

// err returns the failure as the error of the node that was asked.
func (f *failure) err(from affinity.NodeID) *exchange.Error {
	e := &exchange.Error{Cause: exchange.ProxyInternalError, Endpoint: f.endpoint}
	for c := exchange.NoCause + 1; c < exchange.NumCauses; c++ {
		if c.String() == f.cause {
			e.Cause = c
		}
	}
	if f.text == "" {
		f.text = "no reason given"
	}
	e.Err = fmt.Errorf("%s: %w", nodeName(from), errors.New(f.text))
	return e
}

// nodeName is what errors and logs call a node.
func nodeName(id affinity.NodeID) string { return "node " + strconv.Itoa(int(id)) }

// refusal is why a request was not begun.
type refusal uint8

const (
	refusedBusy refusal = iota
	refusedLeaving
	endRefusals
)

// why is what the refusal means to who asked.
func (r refusal) why() Why {
	if r == refusedLeaving {
		return Leaving
	}
	return Busy
}
