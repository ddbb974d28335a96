package cache

import (
	"net/http"
	"strconv"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// through is the short way for a key that another node owns and nobody else
// has asked this one for lately: the owner's answer goes to the request as
// it comes, without a fill that others could join. Most keys that a node does
// not own are of this kind, and what others are to share it for is at the
// owner. It reports false, and nothing has happened, when the key is not.
func (s *Store) through(a *ask) (*Result, *exchange.Error, bool) {
	if a.alone || a.old != nil || a.endsHere() || !s.cold(a.key, a.now) {
		return nil, nil, false
	}
	resp, err := a.fill.Fill(a.ctx, preparation{}.request(a.req, a.target))
	if err != nil {
		return nil, asError(err), true
	}
	if resp.Status == http.StatusNotModified {
		discard(resp)
		return nil, &exchange.Error{Cause: exchange.HTTPProtocolError, Err: errUnasked304}, true
	}
	res := &Result{
		Response: resp, Outcome: exchange.Miss,
		Status: Status{Fwd: a.fwd, FwdStatus: resp.Status, Key: a.key, Detail: a.detail, Relayed: resp.Copy != nil},
	}
	if c := resp.Copy; c != nil && c.Kept {
		res.Status.TTL, res.Status.HasTTL = c.Fresh, true
		if age := int64(c.Age / time.Second); age > 0 {
			resp.Header.Set("age", strconv.FormatInt(age, 10))
		}
		s.share(a.key, a.now)
	}
	return res, nil, true
}

// cold reports whether a key was not asked for lately and is not on its way,
// and counts the request if so. The others are counted by their fills.
func (s *Store) cold(key string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.flights[key]) > 0 || s.heat.count(key, now) > 0 {
		return false
	}
	s.heat.add(key, 1, now)
	return true
}

// share notes that the answer for a key was one for all.
func (s *Store) share(key string, now time.Time) {
	h := s.hash(key)
	if until, ok := s.known.GetIfPresent(h); ok && until.Sub(now) > shareMemory/2 {
		return // noted lately
	}
	s.known.Set(h, now.Add(shareMemory))
}
