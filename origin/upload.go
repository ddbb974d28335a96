package origin

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

var (
	errDetached = errors.New("the endpoint no longer takes the request's body")
	errTooLong  = errors.New("request body is longer than its announced length")
	errPartRead = errors.New("part of the request's body is gone and cannot be sent again")
)

// upload is a request's body on its way to an endpoint. net/http's writer
// cannot be waited for while it reads from a slow client, and may still
// read after Fill has returned; so a goroutine of the upload reads, one
// piece ahead of nothing: only when the writer asks. detach cuts the
// writer off at once. A read that is then in progress ends when the front
// end closes the body, and the goroutine with it.
type upload struct {
	// Static.
	src    io.Reader
	length int64 // what src will give, -1 when that is not known
	watch  *watch
	limit  time.Duration // for the endpoint to take a piece
	ended  func()        // called once the body was read to its end

	ask  chan struct{} // one token per read; never closed
	data chan piece    // one answer per token; never closed
	cut  chan struct{} // closed by detach

	detachOnce sync.Once

	// Owned by the writer.
	rest piece

	mu sync.Mutex
	// Guarded by mu.
	begun bool  // something may have been read
	err   error // why src failed, nil at its end
}

type piece struct {
	b   []byte
	err error
}

const uploadBuffer = 32 << 10

func newUpload(src io.Reader, length int64, w *watch) *upload {
	return &upload{
		src:    src,
		length: length,
		watch:  w,
		ended:  func() {},
		ask:    make(chan struct{}, 1),
		data:   make(chan piece, 1),
		cut:    make(chan struct{}),
	}
}

// Read implements io.Reader for net/http's writer.
func (u *upload) Read(p []byte) (int, error) {
	if len(u.rest.b) == 0 && u.rest.err == nil {
		if err := u.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, u.rest.b)
	u.rest.b = u.rest.b[n:]
	if len(u.rest.b) > 0 {
		return n, nil
	}
	return n, u.rest.err
}

func (u *upload) next() error {
	if !u.start() {
		return errDetached
	}
	u.watch.end(forWriter)
	u.ask <- struct{}{}
	select {
	case u.rest = <-u.data:
	case <-u.cut:
		return errDetached
	}
	if u.rest.err == io.EOF {
		u.ended()
	}
	u.watch.begin(forWriter, u.limit)
	return nil
}

// start starts the goroutine before the first read, and reports whether
// reading is still wanted.
func (u *upload) start() bool {
	select {
	case <-u.cut:
		return false
	default:
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.begun {
		u.begun = true
		go u.pump()
	}
	return true
}

// pump reads from the client, into a buffer of its own: when the writer
// is cut off, its buffer is no longer there to be written to.
func (u *upload) pump() {
	buf := make([]byte, uploadBuffer)
	for total := int64(0); ; {
		select {
		case <-u.ask:
		case <-u.cut:
			return
		}
		n, err := u.src.Read(buf)
		total += int64(n)
		err = u.judge(total, err)
		u.data <- piece{buf[:n], err}
		if err != nil {
			return
		}
	}
}

// judge compares what was read with what was announced. It does not ask
// for one more read to learn of an end that the length tells already.
func (u *upload) judge(total int64, err error) error {
	switch {
	case u.length < 0:
	case total > u.length:
		err = errTooLong
	case total == u.length && err == nil:
		err = io.EOF
	case total < u.length && err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		u.mu.Lock()
		u.err = err
		u.mu.Unlock()
	}
	return err
}

// Close is what net/http calls when it is done with the body. The body
// itself is the front end's to close.
func (u *upload) Close() error {
	u.detach()
	return nil
}

// detach ends reading for good.
func (u *upload) detach() {
	u.detachOnce.Do(func() { close(u.cut) })
}

// untouched is whether nothing was read, so that the body can still be
// sent to somebody else.
func (u *upload) untouched() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.begun
}

// failure returns the client's fault, nil when there is none.
func (u *upload) failure() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		return nil
	}
	if errors.As(u.err, new(*exchange.Error)) {
		return u.err
	}
	return &exchange.Error{Cause: exchange.ClientAborted, Err: u.err}
}
