package origin

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// response gives the answer back.
func (a *attempt) response(hres *http.Response) (*exchange.Response, *exchange.Error) {
	if t := a.sent.Load(); t != 0 {
		a.ep.met.firstByte.Observe(time.Since(time.Unix(0, t)).Seconds())
	}
	fields := a.received(hres.Header)
	if hres.StatusCode == http.StatusSwitchingProtocols {
		return a.switched(hres, fields)
	}
	res := &exchange.Response{
		Status: hres.StatusCode,
		Header: fields.EndToEnd(),
		Body:   &body{a: a, src: hres.Body},
		Length: a.length(hres),
	}
	res.Trailer = func() exchange.Header { return passableTrailers(fromHTTP(hres.Trailer)) }
	return res, nil
}

// length is the length of the content; for HEAD, of the content that GET
// would have had.
func (a *attempt) length(hres *http.Response) int64 {
	if hres.StatusCode == http.StatusNoContent || hres.StatusCode == http.StatusNotModified {
		return 0
	}
	return hres.ContentLength
}

// fromHTTP lists fields in the order of their names: net/http keeps none.
func fromHTTP(in http.Header) exchange.Header {
	out := make(exchange.Header, 0, len(in)+4)
	for name, values := range in {
		name = strings.ToLower(name)
		for _, v := range values {
			out = append(out, exchange.Field{Name: name, Value: v})
		}
	}
	slices.SortStableFunc(out, func(a, b exchange.Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// body is a response's body. One goroutine reads it; any may close it.
type body struct {
	a    *attempt
	src  io.ReadCloser
	once sync.Once

	mu sync.Mutex
	// Guarded by mu.
	fault exchange.Cause
}

// Read returns what has arrived, without waiting for more. Its errors are
// io.EOF and *exchange.Error.
func (b *body) Read(p []byte) (int, error) {
	a := b.a
	a.watch.begin(forBody, a.ep.conf.Timeouts.Idle)
	n, err := b.src.Read(p)
	a.watch.end(forBody)
	if err == nil || err == io.EOF {
		return n, err
	}
	xe := a.failure(reading, err)
	b.mu.Lock()
	b.fault = xe.Cause
	b.mu.Unlock()
	return n, xe
}

// Close ends the exchange. A body that was not read to its end ends its
// HTTP/1 connection, or HTTP/2 stream.
func (b *body) Close() error {
	b.once.Do(func() {
		a := b.a
		// Closing comes first: after a body's end it is what tells net/http
		// that the connection is free, and a cancelled context would cut it.
		_ = b.src.Close()
		a.abandon(errClosed)
		b.mu.Lock()
		a.ep.met.count(b.fault)
		b.mu.Unlock()
		a.release()
	})
	return nil
}
