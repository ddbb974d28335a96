package cache

import (
	"context"
	"net/http"
	"slices"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// flight is one fill on its way. The request that started it leads; others
// for the same key join, and all read the same body while it lands.
type flight struct {
	// Static after takeOff.
	key        string
	secondary  string   // what joining requests must agree on, beside the key
	alone      bool     // nobody may join
	background bool     // no request waits for it
	old        *variant // the stale response it is to replace or confirm; may be nil
	prep       preparation
	head       head // what is known of the response before there is one
	limit      int64
	here       bool // it waits for no other node
	ctx        context.Context
	cancel     context.CancelFunc
	decided    chan struct{} // closed once verdict is set
	interims   chan interim  // from the filler to the leader; nil in the background
	leaderLeft chan struct{}

	// Set under Store.mu before decided is closed, then static.
	verdict verdict

	// Guarded by Store.mu.
	parties int                // requests that wait and readers that are open
	closed  bool               // nobody may join any more
	doomed  bool               // invalidated while it flew, or late: not to be stored
	passing bool               // a copy of what is not hot here: not to be stored
	ended   bool               // all has landed or failed: it cannot be abandoned
	content bool               // somebody left with what it wanted, so the rest is worth storing
	outgrew bool               // too large to be stored
	handed  *exchange.Response // for the leader alone, until the leader takes it
}

// verdict is what became of a fill once its head was known.
type verdict struct {
	err    *exchange.Error
	status int      // of the response that the origin gave
	kept   *variant // nil when the response went to the leader alone
	// shared says that others than the leader may use kept.
	shared bool
	// announced says that kept's body expects a reader of every party.
	announced bool
	validated bool
	stored    bool // kept is stored, or will be when it has landed
	relayed   bool // the answer came from another node
	// late says that the answer is from before a purge that was carried out
	// here.
	late      bool
	forLeader exchange.Header // fields that no other gets
}

// interim is a 1xx response on its way to the leader's own goroutine.
type interim struct {
	status int
	header exchange.Header
}

// markName is the name under which marks remembers a flight's like.
func (f *flight) markName() string { return markName(f.key, f.secondary) }

// No key contains the separator.
func markName(key, secondary string) string { return key + "\n" + secondary }

// role is what a request does about a fill.
type role uint8

const (
	leads   role = iota // it started the fill
	follows             // it joined one
	found               // it found the response stored after all
	stays               // it may do neither, and has to fill for itself
)

// board finds a flight for a request to join, or starts one.
func (s *Store) board(a *ask, background bool) (f *flight, v *variant, r role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.alone {
		if f := s.joinable(a); f != nil {
			if f.parties >= s.limits.FlightWaiters {
				s.counters.Hit(limits.FlightWaiters)
				return nil, nil, stays
			}
			f.parties++
			if f.passing {
				s.weigh(f, 1, a.now)
			}
			return f, nil, follows
		}
		// Another request may have missed as we did, filled, stored and left
		// between our look at the store and our taking mu. Storing and
		// leaving are one step under mu: who finds no flight finds its result.
		if v := s.lookup(a.key).find(a.req.Header); v != nil && v.fresh(a.now) {
			return nil, v, found
		}
	}
	if s.ctx == nil {
		return nil, nil, stays
	}
	if s.flying >= s.limits.Flights {
		s.counters.Hit(limits.Flights)
		return nil, nil, stays
	}
	return s.takeOff(a, background), nil, leads
}

// joinable returns a flight that a request may wait for or read from. The
// caller holds mu.
//
// A relayed request joins no flight that waits for another node. While two
// nodes disagree about the owner of a key, each may be waiting for the
// other: a flight here for one there, whose filler's request would join
// this very flight.
func (s *Store) joinable(a *ask) *flight {
	for _, f := range s.flights[a.key] {
		if f.closed || f.alone || a.req.Relayed() && !f.here {
			continue
		}
		select {
		case <-f.decided:
		default:
			if f.secondary == a.secondary {
				return f
			}
			continue
		}
		d := &f.verdict
		if d.kept != nil && d.shared && d.kept.selection.fits(a.req.Header) && d.kept.fresh(a.now) &&
			(!d.announced || d.kept.body.expect(1)) {
			return f
		}
	}
	return nil
}

// takeOff starts a fill. The caller holds mu.
func (s *Store) takeOff(a *ask, background bool) *flight {
	f := &flight{
		key:        a.key,
		secondary:  a.secondary,
		alone:      a.alone,
		background: background,
		old:        a.old,
		prep:       prepare(a.req, a.old, a.alone),
		head:       head{policy: a.policy, path: a.target.path, request: a.req.Header},
		limit:      s.maxObject,
		here:       a.endsHere(),
		decided:    make(chan struct{}),
		leaderLeft: make(chan struct{}),
		parties:    1,
	}
	if a.policy.ObjectSize > 0 {
		f.limit = min(f.limit, a.policy.ObjectSize)
	}
	f.ctx, f.cancel = context.WithCancel(s.ctx)
	req := f.prep.request(a.req, a.target)
	switch {
	case background:
		req.Conn, req.Interim = nil, nil
	case a.req.Interim != nil:
		f.interims = make(chan interim)
		req.Interim = f.passInterim
	}
	s.flights[f.key] = append(s.flights[f.key], f)
	s.flying++
	s.met.fills.Inc()
	s.fills.Add(1)
	go s.fly(f, a.fill, req)
	return f
}

// passInterim hands a 1xx response to the leader, whose goroutine alone
// may write to its client. It returns when the leader took it or is gone.
func (f *flight) passInterim(status int, h exchange.Header) {
	select {
	case f.interims <- interim{status, h.Clone()}:
	case <-f.leaderLeft:
	case <-f.ctx.Done():
	}
}

// decide tells all who wait what became of the fill.
func (s *Store) decide(f *flight, d verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.kept != nil && !d.validated && d.kept.body.length < 0 {
		readers := f.parties
		if f.background {
			readers--
		}
		d.announced = d.kept.body.expect(readers)
	}
	if d.kept != nil && d.kept.copied && !d.validated {
		s.weigh(f, f.parties, f.head.received)
	}
	if d.late {
		s.met.refusals[refusedLate].Inc()
		f.doomed, f.closed = true, true
	}
	d.stored = d.stored && !f.doomed && !f.passing
	f.verdict = d
	f.ended = d.kept == nil || d.validated
	close(f.decided)
}

// settled reports whether decide was called.
func (f *flight) settled() bool {
	select {
	case <-f.decided:
		return true
	default:
		return false
	}
}

// handOver decides for a response that only the leader gets. A leader who
// is gone gets nothing: then the response is closed.
func (s *Store) handOver(f *flight, resp *exchange.Response) {
	s.mu.Lock()
	select {
	case <-f.leaderLeft:
		defer discard(resp)
	default:
		if f.background {
			defer discard(resp)
		} else {
			f.handed = resp
		}
	}
	s.mu.Unlock()
	s.decide(f, verdict{status: resp.Status})
}

// take gives the leader the response that was handed over, nil when there
// is none.
func (s *Store) take(f *flight) *exchange.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	resp := f.handed
	f.handed = nil
	return resp
}

// leaderGone notes that the leader stopped waiting, and closes what was
// meant for it.
func (s *Store) leaderGone(f *flight) {
	s.mu.Lock()
	close(f.leaderLeft)
	resp := f.handed
	f.handed = nil
	s.mu.Unlock()
	if resp != nil {
		discard(resp)
	}
}

// enter counts one more reader of a flight.
func (s *Store) enter(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.parties++
}

// depart leaves a flight without having opened its body.
func (s *Store) depart(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.verdict.announced {
		f.verdict.kept.body.forgo()
	}
	s.countOff(f)
}

// leave leaves a flight after its body was closed. A reader whose request
// goes on had what it wanted: a range, or the news that its copy is good.
func (s *Store) leave(ctx context.Context, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.content = f.content || ctx.Err() == nil
	s.countOff(f)
}

// countOff takes a party off. The last one's leaving ends the fill, unless
// what is missing is worth having. The caller holds mu.
func (s *Store) countOff(f *flight) {
	f.parties--
	s.abandon(f)
}

// abandon ends a fill that nobody needs. The caller holds mu.
func (s *Store) abandon(f *flight) {
	if f.parties > 0 || f.ended || f.content && f.verdict.kept != nil && !f.outgrew && !f.passing {
		return
	}
	if v := f.verdict.kept; v != nil && !f.passing {
		if n := v.body.remaining(); n >= 0 && n <= finishAnyway {
			return
		}
	}
	f.ended = true
	s.unregister(f)
	s.met.abandoned.Inc()
	f.cancel()
}

// unregister takes a flight off the list, so that nobody finds it any
// more. The caller holds mu.
func (s *Store) unregister(f *flight) {
	f.closed = true
	list := s.flights[f.key]
	i := slices.Index(list, f)
	if i < 0 {
		return
	}
	if len(list) == 1 {
		delete(s.flights, f.key)
		return
	}
	s.flights[f.key] = slices.Delete(list, i, i+1)
}

// store puts the response of a flight into the store and takes the flight
// off the list. A flight that was invalidated stores nothing, nor does one
// whose key is not hot here. The caller holds mu.
func (s *Store) store(f *flight, v *variant) {
	s.unregister(f)
	switch {
	case f.doomed:
	case f.passing:
		s.met.refusals[refusedCold].Inc()
	default:
		s.put(f.key, v, f.old)
	}
}

// remember notes for the next requests whether they may share an answer.
func (s *Store) remember(f *flight, shared bool) {
	if f.head.copy != nil && shared {
		s.share(f.key, f.head.received)
	}
	switch {
	case shared:
		s.marks.Invalidate(f.markName())
	case originFailed(f.head.status):
		s.mark(f.markName(), f.head.received.Add(missMemoryFailed))
	default:
		s.mark(f.markName(), f.head.received.Add(missMemory))
	}
}

// isPartial lists the statuses that answer a conditional or a range.
func isPartial(status int) bool {
	switch status {
	case http.StatusPartialContent, http.StatusNotModified,
		http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return true
	}
	return false
}
