package cache

import "github.com/landfall-cdn/landfall/edge/exchange"

// head is what the judgement of a response needs to know of it and of
// the request.
type head struct {
	policy *Policy
	timing
	path    string          // of the request, in normal form
	request exchange.Header // as the client sent it
	status  int
	header  exchange.Header
	copy    *exchange.Copy // nil for a response from an origin
}

// refusal says why a response is not stored. It is a metric label.
type refusal uint8

const (
	stored refusal = iota
	refusedStatus
	refusedSetCookie
	refusedNotUnderstood
	refusedNoStore
	refusedPrivate
	refusedAuthorization
	refusedVary
	refusedNoFreshness
	refusedUseless
	refusedSize
	refusedMemory
	refusedOwner // the node that owns the key does not keep it
	refusedCold  // a copy of what is not asked for enough here
	refusedLate  // a copy from before a purge that was carried out here
	numRefusals
)

var refusals = [numRefusals]string{
	"", "status", "set_cookie", "not_understood", "no_store", "private", "authorization",
	"vary", "no_freshness", "useless", "size", "memory", "owner", "cold", "late",
}

// String returns the word that metrics use.
func (r refusal) String() string { return refusals[r] }

// storable is RFC 9111, 3: whether a response to GET may be stored by a
// shared cache, and for how long it is good.
func storable(r *head) (validity, refusal) {
	d := directivesOf(r.header)
	v := validityOf(r, d)
	_, explicit := explicitLifetime(r.header, d, r.received, r.received)
	switch {
	case r.status < 200 || r.status == 206 || r.status == 304:
		return v, refusedStatus
	case r.policy.SetCookie == SetCookieBypass && r.header.Has("set-cookie"):
		return v, refusedSetCookie
	case d.mustUnderstand && !understood(r.status):
		return v, refusedNotUnderstood
	case d.noStore && !d.mustUnderstand:
		return v, refusedNoStore
	case d.private:
		return v, refusedPrivate
	case r.request.Has("authorization") && !d.public && !d.mustRevalidate && !d.sMaxAge.ok:
		return v, refusedAuthorization
	case !explicit && !d.public && !heuristicallyCacheable(r.status):
		return v, refusedNoFreshness
	}
	if _, never := varyNames(r.header); never {
		return v, refusedVary
	}
	if !v.everUsable(r) {
		return v, refusedUseless
	}
	return v, stored
}

// everUsable reports whether a stored response could serve another
// request: one that waits for it, or as long as it is fresh, after the
// origin has confirmed it, or stale by permission.
func (v *validity) everUsable(r *head) bool {
	return v.shareable(r.policy, r.received) || r.header.Has("etag") || r.header.Has("last-modified") ||
		v.mayServeWhileRevalidating(r.policy, r.received) || v.mayServeOnError(r.policy, r.received)
}

// variant returns the response as it is stored, with the body b.
func (r *head) variant(valid validity, b *body) *variant {
	header := storedHeader(r.header, valid.withheld, r.policy.SetCookie)
	valid.withheld = nil // they are gone
	v := &variant{
		validity:  valid,
		selection: selectionOf(r.request, r.header),
		status:    r.status,
		header:    header,
		body:      b,
	}
	if !v.header.Has("date") {
		// A recipient with a clock fills it in (RFC 9110, 6.6.1).
		v.header.Add("date", httpDate(r.received))
	}
	return v
}

// understood lists the status codes whose caching requirements this cache
// meets (RFC 9111, 5.2.2.3). 206 is missing: parts are not stored.
func understood(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 302, 303, 307, 308,
		400, 401, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 416, 417, 421, 422, 426, 451,
		500, 501, 502, 503, 504, 505:
		return true
	}
	return false
}
