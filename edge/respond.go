package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
)

// respond sends the response of the cache or of a filler. It returns an
// error when the client did not get all of it.
func (x *passage) respond(res *cache.Result) error {
	x.served(res)
	x.tell(res)
	resp := res.Response
	sel := x.selects(res)
	h := x.fields(resp.Header, res)
	switch {
	case sel.status == http.StatusNotModified:
		return x.bare(sel.status, h)
	case sel.status == resp.Status:
		return x.whole(res, h)
	case sel.status == http.StatusPartialContent:
		return x.part(res, h, sel)
	case sel.status == http.StatusRequestedRangeNotSatisfiable:
		x.page(sel.status, exchange.Header{{Name: "content-range", Value: fmt.Sprintf("bytes */%d", resp.Length)}})
		return nil
	}
	x.page(sel.status, nil)
	return nil
}

// selects evaluates the client's conditions and its range, where the
// cache has taken them out of what the origin was asked.
func (x *passage) selects(res *cache.Result) selected {
	resp := res.Response
	if res.Outcome == exchange.Pass {
		return selected{status: resp.Status, n: resp.Length}
	}
	sel := choose(x.r, resp.Status, resp.Header, resp.Length)
	if sel.status == http.StatusPartialContent && resp.Slice == nil && sel.off > 0 {
		// What can be read only once is read from its beginning.
		return selected{status: resp.Status, n: resp.Length}
	}
	return sel
}

// whole sends the response as it is.
func (x *passage) whole(res *cache.Result, h exchange.Header) error {
	resp := res.Response
	if resp.Slice != nil && !h.Has("accept-ranges") && resp.Length >= 0 && resp.Status == http.StatusOK {
		h.Add("accept-ranges", "bytes")
	}
	if err := x.head(resp.Status, h, resp.Length); err != nil {
		return x.gone(err)
	}
	if x.r.Method == http.MethodHead {
		return nil
	}
	return x.content(resp.Body, resp, x.live(res.Outcome))
}

// live reports whether content is still on its way to us, so that it can
// pause anywhere: what has come goes on to the client at once, the head
// first. What is stored, here or at the node that answered, is left to the
// writer to pack.
func (x *passage) live(o exchange.Outcome) bool {
	if x.from != nil && x.from.hit {
		return false
	}
	return o == exchange.Miss || o == exchange.Pass || o == exchange.Coalesced
}

// bare sends a head without content or the fields that describe content.
func (x *passage) bare(status int, h exchange.Header) error {
	for _, name := range []string{"content-length", "content-type", "content-encoding", "content-range", "content-language"} {
		h.Del(name)
	}
	if err := x.head(status, h, -1); err != nil {
		return x.gone(err)
	}
	return nil
}

// part sends one part of a representation (RFC 9110, 15.3.7.1).
func (x *passage) part(res *cache.Result, h exchange.Header, sel selected) error {
	resp := res.Response
	h.Set("content-range", contentRange(sel.off, sel.n, resp.Length))
	if err := x.head(http.StatusPartialContent, h, sel.n); err != nil {
		return x.gone(err)
	}
	if resp.Slice == nil {
		return x.content(io.LimitReader(resp.Body, sel.n), &exchange.Response{}, true)
	}
	body := resp.Slice(sel.off, sel.n)
	err := x.content(body, &exchange.Response{}, x.live(res.Outcome))
	return errors.Join(err, body.Close())
}

// fields are the response's own, and ours.
func (x *passage) fields(h exchange.Header, res *cache.Result) exchange.Header {
	// An origin's Alt-Svc names the origin's ports, not ours.
	h.Del("alt-svc")
	if x.from != nil && x.from.status != "" {
		h.Add("cache-status", x.from.status)
	}
	status := res.Status
	if status.Relayed && status.Detail == "" {
		status.Detail = "relayed"
	}
	h.Add("cache-status", string(status.Append(make([]byte, 0, 64), Name, false)))
	if cookie := x.cookie(res); cookie != "" {
		h.Add("set-cookie", cookie)
	}
	if x.r.Relayed() {
		return h // the node that the client is at adds the rest
	}
	h.Add("via", "1.1 "+Name)
	return x.own(h)
}

// own adds the fields that every response of ours carries.
func (x *passage) own(h exchange.Header) exchange.Header {
	h.Set("x-request-id", x.r.ID)
	if x.r.TLS != nil && x.r.Proto != exchange.HTTP3 {
		h.Add("alt-svc", string(appendAltSvc(nil, x.r.Local.Port())))
	}
	return h
}

const copySize = 32 << 10

// copyBuffers lends the buffer of one copy; whoever takes one puts it back.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, copySize); return &b }}

// content copies a body to the client, then the trailer of resp.
func (x *passage) content(body io.Reader, resp *exchange.Response, live bool) error {
	if direct, ok := body.(io.WriterTo); ok && !live {
		return x.stored(direct, resp)
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	if live {
		if err := x.w.Flush(); err != nil {
			return x.gone(err)
		}
	}
	for {
		n, err := body.Read(*buf)
		if n > 0 {
			m, werr := x.w.Write((*buf)[:n])
			x.sent += int64(m)
			if werr == nil && live {
				werr = x.w.Flush()
			}
			if werr != nil {
				return x.gone(werr)
			}
		}
		if err == io.EOF {
			return x.trailer(resp)
		}
		if err != nil {
			return x.broken(err)
		}
	}
}

// stored sends what lies in memory from where it lies.
func (x *passage) stored(body io.WriterTo, resp *exchange.Response) error {
	out := &sending{w: x.w}
	_, err := body.WriteTo(out)
	x.sent += out.n
	switch {
	case out.err != nil:
		return x.gone(out.err)
	case err != nil:
		return x.broken(err)
	}
	return x.trailer(resp)
}

// broken notes content that ended before its end.
func (x *passage) broken(err error) error {
	x.blame(err)
	if x.cause != exchange.ClientAborted {
		x.outcome = exchange.Failed
	}
	x.w.Abort()
	return err
}

// sending counts what reached the client, and tells an error of the
// client's from one of the store's.
type sending struct {
	w   io.Writer
	n   int64
	err error
}

// Write implements io.Writer.
func (s *sending) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.n += int64(n)
	s.err = err
	return n, err
}

func (x *passage) trailer(resp *exchange.Response) error {
	if resp.Trailer == nil {
		return nil
	}
	h := resp.Trailer()
	if len(h) == 0 {
		return nil
	}
	if err := x.w.Trailer(h); err != nil {
		return x.gone(err)
	}
	return nil
}

// gone notes a client that left before the end of its response.
func (x *passage) gone(err error) error {
	x.cause, x.detail = exchange.ClientAborted, err.Error()
	x.w.Abort()
	return &exchange.Error{Cause: exchange.ClientAborted, Err: err}
}
