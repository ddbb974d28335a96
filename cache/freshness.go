package cache

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/ascii"
)

// maxHeuristic bounds a lifetime that is only guessed.
const maxHeuristic = 24 * time.Hour

// timing is when a response was asked for and when its head arrived.
type timing struct {
	requested, received time.Time
}

// validity is how long a stored response may be used, and how (RFC 9111,
// 4.2). It is a value: each use asks it with its own now.
type validity struct {
	received   time.Time
	initialAge time.Duration // corrected_initial_age
	lifetime   time.Duration // freshness_lifetime

	// validate says that no use may do without asking the origin (no-cache).
	validate bool
	// strict says that the response must not be used once it is stale.
	strict bool
	// copied says that another node owns the response and has it: this one
	// uses its copy stale only if nobody can be asked.
	copied bool

	staleWhileRevalidate delta
	staleIfError         delta

	// withheld are the fields that are not stored for later uses.
	withheld []string
}

// validityOf works out what RFC 9111, 4.2 makes of a response. Whether
// the response may be stored at all is storable's question.
func validityOf(r *head, d directives) validity {
	date, ok := parseDate(r.header.Get("date"), r.received)
	if !ok {
		date = r.received
	}
	v := validity{
		received:             r.received,
		initialAge:           initialAge(r.header, date, r.timing),
		validate:             d.noCache,
		strict:               d.mustRevalidate || d.proxyRevalidate || d.sMaxAge.ok || d.noCache,
		staleWhileRevalidate: d.staleWhileRevalidate,
		staleIfError:         d.staleIfError,
		withheld:             d.withheld,
	}
	lifetime, ours := lifetimeOf(r, d, date)
	if v.lifetime = lifetime; ours && lifetime > 0 {
		// A site means its own lifetimes from when the response came here,
		// however long it has been in caches before.
		v.lifetime += v.initialAge
	}
	if r.copy != nil {
		v.obey(r.copy, r.timing)
	}
	return v
}

// initialAge is corrected_initial_age of RFC 9111, 4.2.3.
func initialAge(h exchange.Header, date time.Time, t timing) time.Duration {
	apparent := max(0, t.received.Sub(date))
	corrected := ageValue(h) + max(0, t.received.Sub(t.requested))
	return max(apparent, corrected)
}

// ageValue reads the first member of the first Age line. What is not a
// number counts as absent (RFC 9111, 5.1).
func ageValue(h exchange.Header) time.Duration {
	first, _, _ := strings.Cut(h.Get("age"), ",")
	return parseSeconds(strings.Trim(first, " \t"))
}

// lifetimeOf is freshness_lifetime of RFC 9111, 4.2.1, with the policy's
// word where the policy has one; ours says that it is the policy's.
func lifetimeOf(r *head, d directives, date time.Time) (_ time.Duration, ours bool) {
	p := r.policy
	lifetime, explicit := explicitLifetime(r.header, d, date, r.received)
	forcible := r.status < 400 && (explicit || heuristicallyCacheable(r.status)) &&
		typeFitsPath(r.path, r.header.Get("content-type"))
	switch {
	case p.HasTTL && forcible:
		return p.TTL, true
	case explicit:
		return lifetime, false
	case onlyPragma(r.header, d):
		return 0, false
	case p.DefaultTTL > 0 && forcible:
		return p.DefaultTTL, true
	case heuristicallyCacheable(r.status) || d.public:
		return heuristicLifetime(r.header, date, r.received), false
	}
	return 0, false
}

// onlyPragma reports whether all that the origin says of caching is
// "Pragma: no-cache". It binds no cache (RFC 9111, 5.4), but it shows what
// is meant well enough not to guess a lifetime.
func onlyPragma(h exchange.Header, d directives) bool {
	if d.targeted || h.Has("cache-control") {
		return false
	}
	for member := range h.Members("pragma") {
		if ascii.EqualFold(member, "no-cache") {
			return true
		}
	}
	return false
}

// explicitLifetime reports whether the origin gave a lifetime, and which.
func explicitLifetime(h exchange.Header, d directives, date, now time.Time) (time.Duration, bool) {
	switch {
	case d.sMaxAge.ok:
		return d.sMaxAge.d, true
	case d.maxAge.ok:
		return d.maxAge.d, true
	case d.targeted || !h.Has("expires"):
		return 0, false
	}
	// Of several lines the first counts; one that cannot be read means the
	// past (RFC 9111, 5.3).
	expires, ok := parseDate(h.Get("expires"), now)
	if !ok {
		return 0, true
	}
	return max(0, expires.Sub(date)), true
}

// heuristicLifetime is a tenth of the time that the response had been
// unchanged when it was made (RFC 9111, 4.2.2).
func heuristicLifetime(h exchange.Header, date, now time.Time) time.Duration {
	modified, ok := parseDate(h.Get("last-modified"), now)
	if !ok {
		return 0
	}
	return min(max(0, date.Sub(modified)/10), maxHeuristic)
}

// heuristicallyCacheable is the list of RFC 9110, 15.1.
func heuristicallyCacheable(status int) bool {
	switch status {
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent, http.StatusPartialContent,
		http.StatusMultipleChoices, http.StatusMovedPermanently, http.StatusPermanentRedirect,
		http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone,
		http.StatusRequestURITooLong, http.StatusNotImplemented:
		return true
	}
	return false
}

// age is current_age of RFC 9111, 4.2.3.
func (v *validity) age(now time.Time) time.Duration {
	return v.initialAge + max(0, now.Sub(v.received))
}

// ttl is the freshness left; it is negative for a stale response.
func (v *validity) ttl(now time.Time) time.Duration { return v.lifetime - v.age(now) }

// fresh reports whether the response may be used without a word from the
// origin.
func (v *validity) fresh(now time.Time) bool { return !v.validate && v.ttl(now) > 0 }

// staticTypes returns the content types, or their beginnings, that fit an
// extension which caches are commonly made to trust; nil for any other.
func staticTypes(ext string) []string {
	switch strings.ToLower(ext) {
	case "css":
		return []string{"text/css"}
	case "js", "mjs":
		return []string{"text/javascript", "application/javascript", "application/x-javascript"}
	case "json":
		return []string{"application/json", "text/json"}
	case "png", "jpg", "jpeg", "gif", "webp", "avif", "ico", "svg", "bmp":
		return []string{"image/"}
	case "woff", "woff2", "ttf", "otf":
		return []string{"font/", "application/font", "application/x-font"}
	case "mp3", "ogg", "mp4", "webm":
		return []string{"audio/", "video/", "application/ogg"}
	case "pdf":
		return []string{"application/pdf"}
	case "zip":
		return []string{"application/zip", "application/x-zip"}
	}
	return nil
}

// typeFitsPath reports whether a lifetime of ours may be put on a
// response. "/account/x.css" answered with text/html is what cache
// deception looks like: then only the origin's own word counts.
func typeFitsPath(path, contentType string) bool {
	dot := strings.LastIndexByte(path, '.')
	if dot < 0 {
		return true
	}
	types := staticTypes(path[dot+1:])
	contentType = strings.ToLower(contentType)
	return types == nil || slices.ContainsFunc(types, func(t string) bool {
		return strings.HasPrefix(contentType, t)
	})
}
