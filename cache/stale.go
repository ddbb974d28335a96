package cache

import (
	"net/http"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// window is how long past its lifetime a response may be used under one
// of the permissions of RFC 5861: the origin's word if it gave one, else
// the policy's. The policy's is an extension of a lifetime: without one,
// nobody has said that the response is for more than its one user.
func (v *validity) window(origin delta, policy time.Duration) time.Duration {
	switch {
	case origin.ok:
		return origin.d
	case v.lifetime > 0:
		return policy
	}
	return 0
}

// mayServeWhileRevalidating reports whether a stale response may be served
// while the origin is asked in the background (RFC 5861, 3).
func (v *validity) mayServeWhileRevalidating(p *Policy, now time.Time) bool {
	return !v.copied && v.within(v.staleWhileRevalidate, p.StaleWhileRevalidate, now)
}

// mayServeOnError reports whether a stale response may stand in for an
// error of the origin (RFC 5861, 4). Like the other permission it never holds against
// must-revalidate and its kin.
func (v *validity) mayServeOnError(p *Policy, now time.Time) bool {
	return v.within(v.staleIfError, p.StaleIfError, now)
}

func (v *validity) within(origin delta, policy time.Duration, now time.Time) bool {
	return !v.strict && -v.ttl(now) < v.window(origin, policy)
}

// standsInFor reports whether a stale response may be served in place of a
// failure that came as a response. A copy may not: the owner, which
// answered, has had its own to think of.
func (v *validity) standsInFor(status int, p *Policy, now time.Time) bool {
	return originFailed(status) && !v.copied && v.mayServeOnError(p, now)
}

// originFailed reports whether a status is one that stale-if-error is for.
func originFailed(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// leadersOwn reports whether a fill failed for a reason that lies with the
// request that led it, so that those who waited for it have to try for
// themselves.
func leadersOwn(e *exchange.Error) bool {
	switch e.Cause {
	case exchange.ConnectionLimitReached, exchange.ClientAborted,
		exchange.HTTPRequestError, exchange.ProxyLoopDetected:
		return true
	default:
		return false
	}
}
