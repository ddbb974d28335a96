package exchange

import (
	"sync/atomic"
	"time"
)

// Stored is a stored response on its way to a client without a wait. A front
// end owns it: it hands it to Handler.Hit empty, sends what it says, gives
// it back to Handler.Sent, and may then use it for another request. None of
// this allocates.
type Stored struct {
	// Head is what the response says to every client. Shared, read-only.
	Head *Head
	// Own are the fields of this one response, to be sent after those of
	// Head. Their values lie in Room and hold until Sent.
	Own []Field
	// Content is nil when none is to be sent: the request was HEAD.
	Content Content

	// Room is where the handler writes the values of Own; Fields is where
	// Own lies.
	Room   [512]byte
	Fields [4]Field
	// Copy is what another node is told, when it is one that asked.
	Copy Copy
	// What the handler wants to find again in Sent: the time to the first
	// byte, and a note.
	FirstByte time.Duration
	Note      any
}

// Content is stored content, whole and in memory. Nobody changes it.
type Content interface {
	// From returns the bytes from off to the end of their run; none at the
	// end of the content.
	From(off int64) []byte
	// Release gives the content up. Slices of From must not be used after.
	Release()
}

// Memo is where a stored response keeps the head that was made of it.
type Memo = atomic.Pointer[Head]

// Head is the head of a stored response as it is served, and what front
// ends made of it. It lives as long as the stored response.
type Head struct {
	Status int
	Header Header
	Length int64 // of the content
	// Own is how many fields at the end of Header this node added for
	// clients; another node is not given them.
	Own int

	encoded [ToPeer + 1]atomic.Pointer[[]byte]
}

// ToPeer stands in for an HTTP version in Head.Encoded: the encoding for
// another node.
const ToPeer = HTTP3 + 1

// Encoded returns the head in the encoding of an HTTP version, which encode
// makes the first time.
func (h *Head) Encoded(p Proto, encode func(*Head) []byte) []byte {
	if b := h.encoded[p].Load(); b != nil {
		return *b
	}
	b := encode(h)
	h.encoded[p].Store(&b)
	return b
}
