package exchange

import (
	"context"
	"io"
)

// Response is a final response on its way to the client. Whoever holds
// it closes Body.
type Response struct {
	Status int
	Header Header
	// Body is never nil; it is empty for a response without content.
	Body io.ReadCloser
	// Length is the body's length in bytes; -1 when it is not known.
	Length int64
	// Trailer gives the trailer fields once Body has returned io.EOF; it
	// may be nil.
	Trailer func() Header

	// Slice returns the bytes [off, off+n) of the body, of a representation
	// that is wholly kept or still being stored. It is nil for a body that
	// can be read only once. Reading a slice leaves Body alone; both are
	// to be closed.
	Slice func(off, n int64) io.ReadCloser

	// Tunnel is set with status 101: the origin's side of the connection
	// after the switch of protocols.
	Tunnel io.ReadWriteCloser

	// Endpoint names the origin's endpoint that the response came from, ""
	// when it came from a store or another node.
	Endpoint string
	// Copy is what the owner says of a response that another node gave;
	// nil for one that came from an origin.
	Copy *Copy
}

// Filler fetches what this node does not have: from an origin, or from
// the node that owns the key. An error is always an *Error.
type Filler interface {
	Fill(ctx context.Context, r *Request) (*Response, error)
}

// Writer is the client's side of one exchange. Front ends implement it;
// only the request's own goroutine calls it.
type Writer interface {
	// Interim sends a 1xx response other than 101.
	Interim(status int, h Header) error
	// Head sends the head of the final response. length is the length of
	// the content that follows, -1 when it is not known. Content-Length,
	// Transfer-Encoding, Connection and Date are the writer's own.
	Head(status int, h Header, length int64) error
	// Write sends content. The writer may buffer until Flush.
	io.Writer
	// Flush hands everything written to the network.
	Flush() error
	// Trailer ends the content with trailer fields.
	Trailer(h Header) error
	// Tunnel answers an upgrade (101, or 200 to an extended CONNECT) and
	// gives the bytes of the connection. The caller closes it.
	Tunnel(h Header) (io.ReadWriteCloser, error)
	// Abort ends the exchange so that the client can tell that the content
	// is cut short (RFC 9112, 8; a stream reset in HTTP/2 and HTTP/3).
	Abort()
}

// Handler is the way of a request after the front end.
type Handler interface {
	// Hit answers a request from memory, when that takes no waiting: it
	// fills s in and returns true, and the front end calls Sent once, when
	// the response was sent or the client was lost. Otherwise it returns
	// false, nothing has happened, and the request is for ServeExchange.
	//
	// The strings of r may be borrowed from a buffer: nothing of r is kept
	// after Sent, or after Hit returned false. Hit may bring r into normal
	// form either way.
	Hit(r *Request, s *Stored) bool
	// Sent ends what Hit began. n bytes of content were sent; why is
	// NoCause, or ClientAborted when that was not all.
	Sent(r *Request, s *Stored, n int64, why Cause)
	// ServeExchange is the way of any request. It returns when the exchange
	// is over.
	ServeExchange(ctx context.Context, w Writer, r *Request)
}
