package cache

import (
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// SetCookie says what is done with a response that carries set-cookie.
type SetCookie uint8

// The ways. A response is shared between users, a cookie is one user's:
// so the zero value keeps such a response out of the store.
const (
	SetCookieBypass SetCookie = iota // not stored, passed on as it is
	SetCookieStrip                   // stored and served without the field
	SetCookieStore                   // stored and replayed, as RFC 9111, 7.3 lets caches do
)

// Policy is a site's word on caching for one request. It is read only and
// may be shared by any number of requests. The zero value obeys the
// origin and nothing else.
type Policy struct {
	// Site names the site whose key space is used. It is part of every
	// key, so that a host which moves to another site takes nothing along.
	// It must not contain a space.
	Site string

	// Bypass keeps the cache out of it.
	Bypass bool

	// DefaultTTL is the lifetime of a response whose origin gives none; 0
	// leaves it to the heuristic of RFC 9111, 4.2.2. Errors never get it.
	DefaultTTL time.Duration

	// TTL, when HasTTL is set, stands in for the lifetime that the origin
	// gives. What must not be stored (no-store, private, ...) stays so,
	// and no-cache still means that every use is validated.
	TTL    time.Duration
	HasTTL bool

	// StaleWhileRevalidate and StaleIfError are the windows of RFC 5861
	// for responses that had a lifetime and whose origin gives no window.
	StaleWhileRevalidate time.Duration
	StaleIfError         time.Duration

	// QueryExclude lists names of query parameters that are neither keyed
	// nor forwarded; "*" in a name stands for any run of characters.
	QueryExclude []string

	SetCookie SetCookie

	// ObjectSize lowers the bound limits.ObjectSize for this request, in
	// bytes of content; 0 leaves it.
	ObjectSize int64
}

// Result is the answer to one request.
type Result struct {
	// Response is the caller's, who closes Body and every Slice; the first
	// Slice is asked for before Body is closed. Its Header may be changed.
	//
	// When Slice is set, the response is the whole representation and
	// conditionals and Range are still to be evaluated. When it is not set,
	// a Range field either went to the origin or may be ignored, and
	// If-None-Match and If-Modified-Since are still to be evaluated against
	// a 200.
	//
	// The answer to HEAD from the store is that to GET: Body is to be
	// closed unread.
	Response *exchange.Response
	Outcome  exchange.Outcome
	Status   Status

	// For Copy. variant is nil for a response that is not the store's;
	// flight is nil for one that is stored.
	store   *Store
	variant *variant
	flight  *flight
	purges  uint64 // carried out before the store was looked into
}
