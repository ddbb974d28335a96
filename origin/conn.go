package origin

import (
	"errors"
	"io"
	"net"
	"sync"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// http1Conn stands between net/http and an HTTP/1 connection, because
// net/http alone cannot be trusted with an origin's answers: it forgets
// which fields Connection named when it also says close, takes
// Content-Length beside Transfer-Encoding, and may read bytes after a
// response as the answer to the next request. http1Conn parses each head
// itself, keeps the fields for the request that is waiting, and gives
// net/http a plain head that only frames the content; and it knows where
// the content ends, so that what comes after it ends the connection.
type http1Conn struct {
	net.Conn
	// Static.
	maxHead int

	// Owned by the goroutine that reads.
	buf     []byte // where in begins when it is empty
	in      []byte // from the peer, not given to net/http yet
	out     []byte // a plain head that net/http is still to read
	scanned int    // how much of in is known not to end a head
	content follower
	inBody  bool

	mu sync.Mutex
	// Guarded by mu.
	current *reply // whose answer is being waited for or read
	refused error  // why nothing may be sent any more
}

// reply is what a connection knows about one request and its answer. It
// belongs to the request, so that the connection may already serve the
// next one when it is read.
type reply struct {
	// Static.
	toHEAD bool
	reused bool   // the connection had served a request before
	exact  bool   // an http1Conn notes what is sent and received
	lost   func() // called when the connection ends before the response does; may be nil

	// Written by the reading goroutine before it gives the plain head to
	// net/http, and so before net/http returns the response that has it.
	head *head

	mu sync.Mutex
	// Guarded by mu.
	started bool  // a byte of the request may have been sent
	wrote   bool  // a byte of the request was sent
	sent    bool  // the request was sent whole
	got     bool  // a byte of the answer came
	err     error // why the answer was refused
	noted   bool  // the try has taken all this over
}

var (
	errUnsolicited = errors.New("bytes from the endpoint that answer no request")
	errDiscarded   = errors.New("connection was given up before the request was sent")
)

// begin makes x the next exchange of the connection.
func (c *http1Conn) begin(x *reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = x
}

// refuse makes every further write fail, so that net/http gives the
// connection up before it has sent anything.
func (c *http1Conn) refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = err
	}
}

// given returns why the connection was given up, nil while it was not.
func (c *http1Conn) given() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

func (c *http1Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	x, refused := c.current, c.refused
	c.mu.Unlock()
	if refused != nil {
		return 0, refused
	}
	if x == nil {
		// The rest of a body whose response has already ended.
		return c.Conn.Write(p)
	}
	x.set(func() { x.started = true })
	n, err := c.Conn.Write(p)
	if n > 0 {
		x.set(func() { x.wrote = true })
	}
	return n, err
}

func (c *http1Conn) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.inBody {
			return c.readContent(p)
		}
		if err := c.readHead(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// Close ends the connection, and tells the exchange on it: net/http waits
// for its writer then, which may be waiting for more of the request.
func (c *http1Conn) Close() error {
	c.mu.Lock()
	x := c.current
	c.mu.Unlock()
	if x != nil && x.lost != nil {
		x.lost()
	}
	return c.Conn.Close()
}

// CloseWrite ends the sending direction, for tunnels.
func (c *http1Conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// readHead reads until a whole head is there.
func (c *http1Conn) readHead() error {
	if err := c.given(); err != nil {
		return err
	}
	if headEnd(c.in, c.scanned) == 0 {
		c.scanned = len(c.in)
		if err := c.fill(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	x := c.current
	c.mu.Unlock()
	if x == nil || !x.answered() {
		// Also the courtesy 408 of a server that closes an idle connection.
		return c.fail(nil, errUnsolicited)
	}
	if !plausible(c.in) {
		return c.fail(x, errHeadSyntax)
	}
	end := headEnd(c.in, c.scanned)
	if end > c.maxHead || end == 0 && len(c.in) > c.maxHead {
		return c.fail(x, errHeadSize)
	}
	if end == 0 {
		return nil
	}
	h, err := parseHead(c.in[:end], x.toHEAD)
	if err != nil {
		return c.fail(x, err)
	}
	c.in, c.scanned = c.in[end:], 0
	c.deliver(x, h)
	return nil
}

// fill appends what the peer has sent to in.
func (c *http1Conn) fill() error {
	const chunk = 4 << 10
	if c.buf == nil {
		c.buf = make([]byte, 0, chunk)
	}
	if len(c.in) == 0 {
		c.in = c.buf
	}
	if cap(c.in)-len(c.in) < chunk/8 {
		c.in = append(make([]byte, 0, max(chunk, 2*len(c.in))), c.in...)
	}
	n, err := c.Conn.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	if n > 0 {
		return nil
	}
	if err == io.EOF && len(c.in) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// deliver hands h to x and its plain form to net/http.
func (c *http1Conn) deliver(x *reply, h *head) {
	final := h.status >= 200 || h.framing == asOtherwise
	if final && !x.isSent() {
		// An answer before the end of the request: whatever of the request
		// is still to come must not meet the next one.
		h.persist = false
	}
	x.head = h
	c.out = h.appendPlain(c.out[:0])
	if !final {
		return
	}
	c.content = follow(h)
	c.inBody = true
	if c.content.done() {
		c.finish()
	}
}

func (c *http1Conn) readContent(p []byte) (n int, err error) {
	if len(c.in) > 0 {
		used, done, err := c.content.next(c.in[:min(len(p), len(c.in))])
		copy(p, c.in[:used])
		c.in = c.in[used:]
		return c.consumed(used, done, err)
	}
	if c.content.framing == byLength {
		p = p[:min(int64(len(p)), c.content.left)]
	}
	n, err = c.Conn.Read(p)
	if n == 0 || err != nil && err != io.EOF {
		return n, err
	}
	used, done, ferr := c.content.next(p[:n])
	c.in = append(c.in, p[used:n]...)
	return c.consumed(used, done, ferr)
}

func (c *http1Conn) consumed(n int, done bool, err error) (int, error) {
	if err != nil {
		c.refuse(err)
		return n, err
	}
	if done {
		c.finish()
	}
	return n, nil
}

// finish marks the end of a response. Bytes that are already there belong
// to nothing: the connection is not used again.
func (c *http1Conn) finish() {
	c.inBody = false
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
	if len(c.in) > 0 && c.refused == nil {
		c.refused = errUnsolicited
	}
}

// fail gives the connection up, and tells x why when the fault is in its
// answer.
func (c *http1Conn) fail(x *reply, err error) error {
	c.refuse(err)
	if x == nil {
		return err
	}
	cause := exchange.HTTPProtocolError
	if errors.Is(err, errHeadSize) {
		cause = exchange.HTTPResponseHeadSize
	}
	err = &exchange.Error{Cause: cause, Err: err}
	x.set(func() { x.err = err })
	return err
}

func (x *reply) set(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
}

// answered notes that bytes came, and reports whether they can be an
// answer: nothing answers a request that was not begun.
func (x *reply) answered() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.got = x.got || x.started
	return x.started
}

func (x *reply) isSent() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sent
}
