package cache

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// shareMemory is how long a key counts as shareable after a response that
// was, and was not stored here.
const shareMemory = missMemory

// Placed is a Filler that may fill from another node, whose store has
// fills of its own that other nodes wait for.
type Placed interface {
	exchange.Filler
	// Here reports whether Fill waits for no other node's fill. It is asked
	// once, before Fill, and must take no time.
	Here() bool
}

// Cacheable reports whether the cache has a part in a request: whether its
// answer may be one for all.
func Cacheable(r *exchange.Request, p *Policy) bool {
	fwd, _ := takesPart(r, p)
	return fwd == FwdNone
}

// endsHere reports whether a request's fill waits for no other node. A
// relayed request has had its one hop.
func (a *ask) endsHere() bool {
	if a.req.Relayed() {
		return true
	}
	p, ok := a.fill.(Placed)
	return !ok || p.Here()
}

// obey takes over what the owner of a response says of it, in place of what
// the response's fields and the policy make of it.
func (v *validity) obey(c *exchange.Copy, t timing) {
	v.copied = !c.Inherited
	// The owner's age has the wait for the origin in it, which is most of
	// the wait for the owner. Its freshness counts from the first moment at
	// which it can have said so.
	v.initialAge = min(max(0, c.Age), maxDelta)
	v.lifetime = v.initialAge + min(max(-maxDelta, c.Fresh), maxDelta) - max(0, t.received.Sub(t.requested))
}

// shareable reports whether those who wait for a response may all use it.
// The owner of a copy answers with a stale one only where it may, and they
// asked before it did.
func (v *validity) shareable(p *Policy, now time.Time) bool {
	return v.fresh(now) || v.copied && !v.validate &&
		(v.within(v.staleWhileRevalidate, p.StaleWhileRevalidate, now) || v.within(v.staleIfError, p.StaleIfError, now))
}

// weigh counts n more requests for a copy that had to be relayed, and
// decides whether the key is hot enough for the copy to be stored. One that
// takes the place of a stored one is: that had its rate, and the store
// knows best whether it is still in use. The caller holds mu.
func (s *Store) weigh(f *flight, n int, now time.Time) {
	f.passing = s.heat.add(f.key, n, now) < hotRequests && f.old == nil
}

// AwaitPurges says that the purges up to n are about to be carried out: a
// response from a node that has not come as far is passed on, but neither
// stored nor shared with those who ask after it came.
func (s *Store) AwaitPurges(n uint64) { s.awaited.Store(n) }

// SetPurges says that the purges up to n have been carried out here, and
// that other nodes may be told so. AwaitPurges comes first.
func (s *Store) SetPurges(n uint64) {
	s.awaited.Store(max(n, s.awaited.Load()))
	s.purges.Store(n)
}

// Purges returns what SetPurges said last.
func (s *Store) Purges() uint64 { return s.purges.Load() }

// isLate reports whether a response is from before a purge that this node
// knows of; c is nil for one from an origin.
func (s *Store) isLate(c *exchange.Copy) bool { return c != nil && c.Purges < s.awaited.Load() }

// Peek answers from the store what is fresh, and nothing else: it starts no
// fill, joins none, and waits for nobody.
func (s *Store) Peek(req *exchange.Request, p *Policy) (*Result, bool) {
	purges := s.purges.Load()
	var v *variant
	key := ""
	if Cacheable(req, p) {
		key = Key(req, p)
		v = s.lookup(key).find(req.Header)
	}
	if v == nil || !v.fresh(req.Arrived) {
		s.met.peeks[absent].Inc()
		return nil, false
	}
	s.met.peeks[present].Inc()
	res := s.stored(context.Background(), key, v, req.Arrived)
	res.purges = purges
	return res, true
}

// Known reports whether the answer to a request was one for all when it was
// last seen: something is stored under its key, if only stale, or a copy
// went by.
func (s *Store) Known(req *exchange.Request, p *Policy) bool {
	if !Cacheable(req, p) {
		return false
	}
	key := Key(req, p)
	r := s.lookup(key)
	if s.marked(markName(key, agreement(req.Header, r.names())), req.Arrived) {
		return false
	}
	if r != nil {
		return true
	}
	until, ok := s.known.GetIfPresent(s.hash(key))
	return ok && req.Arrived.Before(until)
}

// hash is what is remembered of a key where the key itself would be too
// much.
func (s *Store) hash(key string) uint64 { return maphash.String(s.seed, key) }

// Copy is what another node is told of the response, when it is one that
// asked, at the time of the answer.
func (r *Result) Copy(now time.Time) exchange.Copy {
	c := exchange.Copy{Purges: r.purges}
	if r.variant == nil {
		return c
	}
	c.Kept = r.flight == nil || r.store.keeps(r.flight)
	c.Age, c.Fresh = r.variant.age(now), r.variant.ttl(now)
	if r.variant.validate {
		c.Fresh = min(c.Fresh, 0)
	}
	return c
}

// keeps reports whether the response of a flight is stored, or will be.
func (s *Store) keeps(f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.verdict.stored && !f.doomed
}
