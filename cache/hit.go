package cache

import (
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// Fresh is a stored response that answers a request as it is.
type Fresh struct {
	Status int
	Header exchange.Header // as stored: no age; read-only
	Length int64           // of the content
	// Content is the caller's, who releases it.
	Content  exchange.Content
	Age, TTL time.Duration
	// Purges is how far in their sequence the purges were carried out here.
	Purges uint64
	// Memo is where the head made of this response is kept with it.
	Memo *exchange.Memo
}

// Copy is what another node is told of the response.
func (f *Fresh) Copy() exchange.Copy {
	return exchange.Copy{Kept: true, Age: f.Age, Fresh: f.TTL, Purges: f.Purges}
}

// Hit answers from the store what Serve would answer so without waiting: a
// fresh response that is here whole. It allocates nothing, and keeps
// nothing of req. room is where it may write.
func (s *Store) Hit(req *exchange.Request, p *Policy, room []byte) (f Fresh, ok bool) {
	if fwd, _ := takesPart(req, p); fwd != FwdNone {
		return f, false
	}
	purges := s.purges.Load()
	key := targetOf(req, p).append(room[:0], p.Site)
	v := s.lookup(exchange.Borrowed(key)).find(req.Header)
	if v == nil || !v.fresh(req.Arrived) || !v.body.whole.Load() {
		return f, false
	}
	s.met.requests[exchange.Hit].Inc()
	v.body.retain()
	return Fresh{
		Status: v.status, Header: v.header, Length: v.body.landed, Content: v.body,
		Age: v.age(req.Arrived), TTL: v.ttl(req.Arrived), Purges: purges, Memo: &v.memo,
	}, true
}

// From implements exchange.Content, for a body that is whole.
func (b *body) From(off int64) []byte { return b.at(off) }

// Release implements exchange.Content.
func (b *body) Release() { b.release() }
