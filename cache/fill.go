package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// fly is a fill from its first to its last step, on its own goroutine.
func (s *Store) fly(f *flight, fill exchange.Filler, req *exchange.Request) {
	defer s.fills.Done()
	defer s.retire(f)
	defer func() {
		if r := recover(); r != nil {
			s.met.panics.Inc()
			s.log.Error("panic in a fill", zap.String("key", f.key), zap.Any("panic", r), zap.Stack("stack"))
			s.crash(f, fmt.Errorf("panic in a fill: %v", r))
		}
	}()
	f.head.requested = time.Now()
	resp, err := fill.Fill(f.ctx, req)
	f.head.received = time.Now()
	if err == nil && resp.Status == http.StatusNotModified && f.prep.validate != nil {
		if confirms(f.prep.validate.header, resp.Header) {
			s.confirm(f, resp)
			return
		}
		// The origin says "not modified" of something we do not have: it has
		// to be asked without the question.
		discard(resp)
		f.head.requested = time.Now()
		resp, err = fill.Fill(f.ctx, withoutConditionals(req))
		f.head.received = time.Now()
	}
	if err == nil && resp.Status == http.StatusNotModified && !f.prep.keep {
		// No condition was sent: a client that sent none either could make
		// nothing of it.
		discard(resp)
		err = &exchange.Error{Cause: exchange.HTTPProtocolError, Err: errUnasked304}
	}
	if err != nil {
		s.decide(f, verdict{err: asError(err)})
		return
	}
	s.judge(f, resp)
}

// judge decides what is done with a response: kept for all, or handed to
// the leader.
func (s *Store) judge(f *flight, resp *exchange.Response) {
	f.head.status, f.head.header, f.head.copy = resp.Status, resp.Header, resp.Copy
	valid, why := storable(&f.head)
	var b *body
	switch {
	case why != stored:
	case resp.Tunnel != nil:
		why = refusedStatus
	case resp.Copy != nil && !resp.Copy.Kept:
		why = refusedOwner
	case f.old != nil && f.old.standsInFor(resp.Status, f.head.policy, f.head.received):
		// The stale response stands in for this one "regardless of other
		// freshness information" (RFC 5861, 4), so it must not be replaced.
		why = refusedStatus
	case resp.Length > f.limit:
		why = refusedSize
		s.counters.Hit(limits.ObjectSize)
	default:
		if b = newBody(&s.content, resp.Length, f.limit); b == nil {
			why = refusedMemory
		}
	}
	if why != stored {
		s.refuse(f, resp, why)
		return
	}
	v := f.head.variant(valid, b)
	d := verdict{
		status: resp.Status, kept: v, shared: v.shareable(f.head.policy, f.head.received), stored: true,
		relayed: resp.Copy != nil, late: s.isLate(resp.Copy),
		forLeader: withheldFrom(resp.Header, valid.withheld, f.head.policy.SetCookie),
	}
	if resp.Copy == nil {
		d.tellAge(resp.Header.Get("age"))
	} else if age := v.age(f.head.received); age >= time.Second || resp.Header.Has("age") {
		d.tellAge(strconv.FormatInt(int64(age/time.Second), 10))
	}
	s.remember(f, d.shared)
	s.decide(f, d)
	s.receive(f, v, resp.Body)
}

// tellAge tells the leader of a fill the age that came with the response:
// the origin's word, or how old it was at the node that owns it, which says
// so of what it had stored.
func (d *verdict) tellAge(age string) {
	if age != "" {
		d.forLeader.Add("age", age)
	}
}

// refuse hands a response that is not stored to the leader. If it is the
// origin's present word on the resource, what was stored is void.
func (s *Store) refuse(f *flight, resp *exchange.Response, why refusal) {
	s.met.refusals[why].Inc()
	// That memory is short, and an answer to the client's own conditional or
	// range, say nothing about the next response.
	if why != refusedMemory && !(f.prep.keep && isPartial(resp.Status)) {
		s.remember(f, false)
	}
	if f.old != nil && supersedes(resp.Status, f.prep.validate != nil) {
		s.forget(f.key, f.old)
	}
	own := *resp
	own.Body = &handedBody{ReadCloser: resp.Body, cancel: f.cancel}
	s.handOver(f, &own)
}

// supersedes reports whether a response that was not stored makes the one
// that was void. Refusals of this client and failures of the origin do
// not; an answer to the client's own conditional or range does not either,
// unless it came instead of a 304 to ours.
func supersedes(status int, validated bool) bool {
	if isPartial(status) {
		return validated
	}
	return status < 400 || status == http.StatusNotFound || status == http.StatusGone
}

// confirm makes the stored response fresh again with the fields of a 304
// (RFC 9111, 4.3.4).
func (s *Store) confirm(f *flight, resp *exchange.Response) {
	defer discard(resp)
	old, mode := f.prep.validate, f.head.policy.SetCookie
	f.head.status, f.head.copy = old.status, resp.Copy
	f.head.header = updatedHeader(old.header, resp.Header, mode)
	if !resp.Header.Has("date") {
		f.head.header.Set("date", httpDate(f.head.received))
	}
	if age := resp.Header.Get("age"); age != "" {
		f.head.header.Add("age", age) // counts once, and is not stored
	}
	valid, why := storable(&f.head)
	if why == stored && resp.Copy != nil && !resp.Copy.Kept {
		why = refusedOwner
	}
	v := f.head.variant(valid, old.body)
	d := verdict{
		status: resp.Status, kept: v, validated: true,
		shared:  why == stored && v.shareable(f.head.policy, f.head.received),
		relayed: resp.Copy != nil, late: s.isLate(resp.Copy),
		forLeader: withheldFrom(f.head.header, valid.withheld, mode),
	}
	if d.relayed && resp.Header.Has("age") && v.age(f.head.received) < time.Second {
		d.tellAge("0") // the owner had it stored
	}
	if mode != SetCookieStore {
		// A cookie is for the one user whose request was answered.
		for _, c := range resp.Header.Values("set-cookie") {
			d.forLeader.Add("set-cookie", c)
		}
	}
	switch {
	case why != stored:
		s.met.refusals[why].Inc()
		s.forget(f.key, old)
	case !d.late:
		d.stored = true
		s.mu.Lock()
		s.store(f, v)
		s.mu.Unlock()
	}
	s.remember(f, d.shared)
	s.decide(f, d)
}

// receive copies the content into the body, and stores the response when
// all of it has come.
func (s *Store) receive(f *flight, v *variant, src io.ReadCloser) {
	defer v.body.release()
	defer src.Close()
	tail, err := s.land(f, v.body, src)
	if err != nil && f.ctx.Err() == nil {
		s.met.incomplete.Inc()
	}
	// From here on the fill cannot be abandoned. That is said before the
	// readers are told of the end: the last of them leaves right then.
	s.mu.Lock()
	f.ended = true
	s.mu.Unlock()
	switch {
	case err != nil:
		v.body.end(asIncomplete(err))
	case !v.body.fits(tail):
		v.body.land(tail)
		v.body.end(io.EOF)
	default:
		s.settle(f, v, tail)
	}
}

// settle seals the body with the last bytes and stores the response, in
// one step: a client that has read all of a response, and asks again,
// finds it stored.
func (s *Store) settle(f *flight, v *variant, tail int) {
	b := v.body
	pieces := b.compact(tail)
	s.mu.Lock()
	defer s.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seal(pieces, tail)
	s.store(f, v)
	b.whole.Store(true)
}

// land reads the content until it ends. The last bytes, tail of them, are
// in the body's room but have not landed.
func (s *Store) land(f *flight, b *body, src io.Reader) (tail int, err error) {
	outgrown := false
	for {
		free, window, err := b.room(f.ctx)
		switch {
		case err != nil:
			return 0, err
		case f.ctx.Err() != nil:
			return 0, context.Cause(f.ctx) // whatever the source does about it
		case len(free) == 0:
			return 0, endsHere(src)
		case window && !outgrown:
			outgrown = true
			s.outgrow(f)
		}
		n, err := src.Read(free)
		switch {
		case b.length >= 0 && b.landed+int64(n) == b.length:
			if err == nil {
				err = endsHere(src)
			} else if err == io.EOF {
				err = nil
			}
			return n, err
		case err == io.EOF && b.length < 0:
			return n, nil
		case err == io.EOF:
			err = errCutShort
		}
		if n > 0 {
			b.land(n)
		}
		if err != nil {
			return 0, err
		}
	}
}

// endsHere makes sure that nothing follows the content's known length.
func endsHere(src io.Reader) error {
	var more [1]byte
	switch _, err := io.ReadFull(src, more[:]); err {
	case io.EOF:
		return nil
	case nil:
		return errTooLong
	default:
		return err
	}
}

// outgrow notes that a fill is too large to be stored: nobody can join it
// any more, and the next requests need not try.
func (s *Store) outgrow(f *flight) {
	s.met.windows.Inc()
	s.met.refusals[refusedSize].Inc()
	s.counters.Hit(limits.ObjectSize)
	s.mark(f.markName(), time.Now().Add(missMemory))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unregister(f)
	f.outgrew = true
	if f.background {
		f.parties-- // nobody wants to read it, and it was to be stored
	}
	s.abandon(f)
}

// crash ends a flight after a panic.
func (s *Store) crash(f *flight, cause error) {
	e := &exchange.Error{Cause: exchange.ProxyInternalError, Err: cause}
	if !f.settled() {
		s.decide(f, verdict{err: e})
		return
	}
	if v := f.verdict.kept; v != nil && !v.body.whole.Load() {
		v.body.end(e)
	}
}

// retire is the last step of a fill, however it went.
func (s *Store) retire(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unregister(f)
	s.flying--
	s.met.fills.Dec()
	// A response that was handed over is still being read; closing it
	// cancels.
	if f.verdict.kept != nil || f.verdict.err != nil || f.background {
		f.cancel()
	}
}

// handedBody is the content of a response that was not stored. Closing it
// ends the fill.
type handedBody struct {
	io.ReadCloser
	cancel context.CancelFunc
	stop   func() bool // stops watching the request that reads it; may be nil
}

// Close implements io.Closer.
func (b *handedBody) Close() error {
	if b.stop != nil {
		b.stop()
	}
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

// discard closes a response that nobody wants. There is nothing to be done
// about an error.
func discard(resp *exchange.Response) {
	_ = resp.Body.Close()
	if resp.Tunnel != nil {
		_ = resp.Tunnel.Close()
	}
}

// asError returns the *exchange.Error in err. A filler that returns none
// broke its word, which is our bug.
func asError(err error) *exchange.Error {
	if e, ok := errors.AsType[*exchange.Error](err); ok {
		return e
	}
	return &exchange.Error{Cause: exchange.ProxyInternalError, Err: err}
}

// asIncomplete returns the *exchange.Error in an error of reading content.
func asIncomplete(err error) *exchange.Error {
	if e, ok := errors.AsType[*exchange.Error](err); ok {
		return e
	}
	return &exchange.Error{Cause: exchange.HTTPResponseIncomplete, Err: err}
}

func withoutConditionals(r *exchange.Request) *exchange.Request {
	c := *r
	c.Header = make(exchange.Header, 0, len(r.Header))
	for _, f := range r.Header {
		if !isConditional(f.Name) {
			c.Header = append(c.Header, f)
		}
	}
	return &c
}
