package cache

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// maxBoardings is how often a request waits for a fill that others lead
// before it fills for itself.
const maxBoardings = 3

// ask is one request on its way through the cache.
type ask struct {
	// Static after newAsk.
	ctx    context.Context
	req    *exchange.Request
	policy *Policy
	fill   exchange.Filler
	target target
	key    string
	now    time.Time

	old *variant // the stored response that fits and is stale; may be nil
	fwd Fwd      // why the request goes forward

	// Changed when a fill turns out not to be for this request.
	secondary string
	alone     bool
	detail    string
}

// Serve answers a request from the store, or from fill, or from another
// request's fill. An error is always an *exchange.Error. The caller owns
// the result; ctx ends the waiting, and the reading of a body that is
// still landing.
func (s *Store) Serve(ctx context.Context, req *exchange.Request, p *Policy, fill exchange.Filler) (*Result, error) {
	purges := s.purges.Load()
	res, err := s.serve(ctx, req, p, fill)
	if err != nil {
		s.met.requests[exchange.Failed].Inc()
		return nil, err
	}
	s.met.requests[res.Outcome].Inc()
	res.purges = purges
	return res, nil
}

// serve is the way of a request, in order.
func (s *Store) serve(ctx context.Context, req *exchange.Request, p *Policy, fill exchange.Filler) (*Result, *exchange.Error) {
	if fwd, detail := takesPart(req, p); fwd != FwdNone {
		return s.pass(&ask{ctx: ctx, req: req, policy: p, fill: fill, fwd: fwd, detail: detail})
	}
	t := targetOf(req, p)
	key := t.key(p.Site)
	if len(key) > s.limits.KeySize {
		s.counters.Hit(limits.KeySize)
		return s.pass(&ask{ctx: ctx, req: req, policy: p, fill: fill, fwd: FwdBypass, detail: "key-size"})
	}
	r := s.lookup(key)
	v := r.find(req.Header)
	if v != nil && v.fresh(req.Arrived) {
		return s.stored(ctx, key, v, req.Arrived), nil
	}
	a := newAsk(ctx, req, p, fill)
	a.target, a.key, a.old = t, key, v
	a.fwd = forwardReason(r, v)
	if req.Method == "HEAD" {
		// The answer to HEAD is not stored, and says nothing that would
		// refresh what is (RFC 9111, 4.3.5 is optional).
		return s.pass(a)
	}
	a.secondary = agreement(req.Header, r.names())
	switch {
	case v != nil && v.mayServeWhileRevalidating(p, req.Arrived):
		return s.staleWhile(a), nil
	case s.marked(markName(key, a.secondary), req.Arrived):
		s.met.hitForMiss.Inc()
		a.alone, a.detail = true, "hit-for-miss"
	case rangeOf(req.Header) == fromMiddle:
		a.alone, a.detail = true, "range"
	}
	return s.fetch(a)
}

func newAsk(ctx context.Context, req *exchange.Request, p *Policy, fill exchange.Filler) *ask {
	return &ask{ctx: ctx, req: req, policy: p, fill: fill, now: req.Arrived}
}

// agreement is what requests of one key must have in common to wait for
// one fill: the fields that the response is expected to vary on. Requests
// with credentials keep to themselves, because the answer to one is most
// likely not for others.
func agreement(h exchange.Header, names []string) string {
	second := secondaryKey(names, h)
	if h.Has("authorization") {
		return "\nauthorized" + second
	}
	return second
}

// forwardReason says why what is stored does not do.
func forwardReason(r *resource, v *variant) Fwd {
	switch {
	case v != nil:
		return FwdStale
	case r != nil:
		return FwdVaryMiss
	}
	return FwdURIMiss
}

// fetch waits for a fill, its own or another's, until one gives an answer
// for this request.
func (s *Store) fetch(a *ask) (*Result, *exchange.Error) {
	if res, err, ok := s.through(a); ok {
		return res, err
	}
	for range maxBoardings {
		f, v, r := s.board(a, false)
		switch r {
		case stays:
			a.detail = "limit"
			return s.pass(a)
		case found:
			return s.stored(a.ctx, a.key, v, a.now), nil
		case leads, follows:
		}
		if err := s.await(a, f, r); err != nil {
			return nil, err
		}
		if r == leads {
			return s.lead(a, f)
		}
		if res, err := s.follow(a, f); res != nil || err != nil {
			return res, err
		}
	}
	a.alone = true
	f, _, r := s.board(a, false)
	if r == stays {
		a.detail = "limit"
		return s.pass(a)
	}
	if err := s.await(a, f, r); err != nil {
		return nil, err
	}
	return s.lead(a, f)
}

// await waits until the head of a fill is known. Meanwhile the leader
// passes interim responses on.
func (s *Store) await(a *ask, f *flight, r role) *exchange.Error {
	s.met.waiting.Inc()
	defer s.met.waiting.Dec()
	var interims chan interim
	if r == leads {
		interims = f.interims
	}
	for {
		select {
		case <-f.decided:
			return nil
		case m := <-interims:
			a.req.Interim(m.status, m.header)
		case <-a.ctx.Done():
			if r == leads {
				s.leaderGone(f)
			}
			s.depart(f)
			return &exchange.Error{Cause: exchange.ClientAborted, Err: context.Cause(a.ctx)}
		}
	}
}

// lead answers the request that led a fill.
func (s *Store) lead(a *ask, f *flight) (*Result, *exchange.Error) {
	d := &f.verdict
	status := Status{Fwd: a.fwd, FwdStatus: d.status, Key: a.key, Detail: a.detail}
	if d.kept != nil {
		status.Relayed, status.Stored = d.relayed, d.stored && !d.validated
		outcome := exchange.Miss
		if d.validated {
			outcome = exchange.Revalidated
		}
		res := s.open(a, f, outcome, status)
		res.Response.Header = append(res.Response.Header, d.forLeader...)
		return res, nil
	}
	defer s.leave(a.ctx, f)
	if stale := s.staleOnError(a, d); stale != nil {
		s.leaderGone(f)
		return stale, nil
	}
	if d.err != nil {
		return nil, d.err
	}
	resp := s.take(f)
	status.Relayed = resp.Copy != nil
	body := resp.Body.(*handedBody)
	body.stop = context.AfterFunc(a.ctx, f.cancel)
	outcome := exchange.Miss
	if a.detail == "range" {
		outcome = exchange.Pass
	}
	return &Result{Response: resp, Outcome: outcome, Status: status}, nil
}

// follow answers a request that joined a fill. It returns nothing when the
// fill was not for it after all, and has then prepared the next attempt.
func (s *Store) follow(a *ask, f *flight) (*Result, *exchange.Error) {
	d := &f.verdict
	if v := d.kept; v != nil && d.shared && v.selection.fits(a.req.Header) {
		s.met.collapsed.Inc()
		return s.open(a, f, exchange.Coalesced, Status{
			Fwd: a.fwd, FwdStatus: d.status, Collapsed: true, Relayed: d.relayed, Key: a.key,
		}), nil
	}
	s.depart(f)
	switch {
	case d.kept != nil && d.shared:
		// The response varies on more than was expected. Those who agree on
		// that, too, can still share.
		a.secondary = agreement(a.req.Header, d.kept.selection.names)
	case d.err != nil && leadersOwn(d.err):
	default:
		if stale := s.staleOnError(a, d); stale != nil {
			return stale, nil
		}
		if d.err != nil {
			return nil, d.err
		}
		a.alone, a.detail = true, "hit-for-miss"
	}
	return nil, nil
}

// staleWhile serves a stale response and has the origin asked in the
// background, unless that is on its way already.
func (s *Store) staleWhile(a *ask) *Result {
	f, v, r := s.board(a, true)
	switch r {
	case follows:
		s.depart(f)
	case found:
		return s.stored(a.ctx, a.key, v, a.now)
	case leads, stays: // it is on its way, or there is no room for it
	}
	res := s.stored(a.ctx, a.key, a.old, a.now)
	res.Outcome, res.Status.Detail = exchange.Stale, "stale-while-revalidate"
	return res
}

// staleOnError returns the stale response if it may stand in for what
// became of a fill, else nil.
func (s *Store) staleOnError(a *ask, d *verdict) *Result {
	switch {
	case a.old == nil:
		return nil
	case d.err == nil && !a.old.standsInFor(d.status, a.policy, a.now):
		return nil
	case d.err != nil && !(originFailed(d.err.Cause.Status()) && a.old.mayServeOnError(a.policy, a.now)):
		return nil
	}
	res := s.stored(a.ctx, a.key, a.old, a.now)
	res.Outcome = exchange.Stale
	res.Status.Hit, res.Status.Fwd, res.Status.FwdStatus = false, FwdStale, d.status
	res.Status.Detail = "stale-if-error"
	return res
}

// pass has a request answered without the cache taking part, on the
// request's own goroutine.
func (s *Store) pass(a *ask) (*Result, *exchange.Error) {
	resp, err := a.fill.Fill(a.ctx, a.req)
	d := verdict{}
	if err != nil {
		d.err = asError(err)
	} else {
		d.status = resp.Status
	}
	if stale := s.staleOnError(a, &d); stale != nil {
		if err == nil {
			discard(resp)
		}
		return stale, nil
	}
	if err != nil {
		return nil, d.err
	}
	if !isSafe(a.req.Method) {
		s.afterUnsafe(a, resp)
	}
	return &Result{
		Response: resp,
		Outcome:  exchange.Pass,
		Status:   Status{Fwd: a.fwd, FwdStatus: resp.Status, Relayed: resp.Copy != nil, Key: a.key, Detail: a.detail},
	}, nil
}

// served is a result with all that it needs, in one allocation.
type served struct {
	result   Result
	response exchange.Response
	reader   reader
	ctx      context.Context
	store    *Store
	flight   *flight // nil for a body that is in the store
}

// stored answers from the store.
func (s *Store) stored(ctx context.Context, key string, v *variant, now time.Time) *Result {
	o := &served{ctx: ctx, store: s}
	o.prepare(v, now, exchange.Hit)
	o.result.store, o.result.variant = s, v
	o.reader.start(ctx, v.body, 0, -1)
	o.result.Status.Hit, o.result.Status.Key = true, key
	return &o.result
}

// open answers from a fill whose body may still be landing.
func (s *Store) open(a *ask, f *flight, outcome exchange.Outcome, status Status) *Result {
	o := &served{ctx: a.ctx, store: s, flight: f}
	v := f.verdict.kept
	o.prepare(v, later(a.now, f.head.received), outcome)
	status.TTL, status.HasTTL = o.result.Status.TTL, true
	o.result.Status = status
	o.result.store, o.result.variant, o.result.flight = s, v, f
	o.reader.start(a.ctx, v.body, 0, -1)
	o.reader.left = func() { s.leave(a.ctx, f) }
	if f.verdict.announced {
		o.reader.follow()
	}
	return &o.result
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// prepare fills in what the stored response says.
func (o *served) prepare(v *variant, now time.Time, outcome exchange.Outcome) {
	o.response = exchange.Response{
		Status: v.status,
		Header: headerOf(v, now, outcome),
		Body:   &o.reader,
		Length: v.body.size(),
	}
	// Of a body whose length is not known no range can be served, and its
	// beginning may be dropped.
	if o.response.Length >= 0 {
		o.response.Slice = o.slice
	}
	o.result = Result{Response: &o.response, Outcome: outcome, Status: Status{TTL: v.ttl(now), HasTTL: true}}
}

// room for the fields that the edge adds to a response.
const spareFields = 8

// headerOf returns the fields of a stored response as they are served:
// with Age, unless the origin has just spoken for itself (RFC 9111, 4).
func headerOf(v *variant, now time.Time, outcome exchange.Outcome) exchange.Header {
	h := make(exchange.Header, len(v.header), len(v.header)+spareFields)
	copy(h, v.header)
	age := int64(v.age(now) / time.Second)
	if outcome != exchange.Miss && (age > 0 || outcome != exchange.Revalidated) {
		h.Add("age", strconv.FormatInt(age, 10))
	}
	return h
}

// slice implements exchange.Response.Slice. While the body is landing it
// must be called before the last reader of this response is closed.
func (o *served) slice(off, n int64) io.ReadCloser {
	r := &reader{}
	r.start(o.ctx, o.reader.body, off, off+n)
	if f := o.flight; f != nil {
		o.store.enter(f)
		r.left = func() { o.store.leave(o.ctx, f) }
	}
	return r
}
