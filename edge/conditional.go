package edge

import (
	"net/http"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// selected is what a precondition or a range makes of a stored 200.
type selected struct {
	status int
	off, n int64 // of the content, with 206
}

// choose evaluates the client's preconditions and Range against a
// representation in the order of RFC 9110, 13.2.2. length is -1 when the
// representation's length is not known yet.
func choose(r *exchange.Request, status int, h exchange.Header, length int64) selected {
	whole := selected{status: status, n: length}
	if status != http.StatusOK || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return whole
	}
	etag, modified := h.Get("etag"), h.Get("last-modified")
	if r.Header.Has("if-match") {
		if !matches(r.Header, "if-match", etag, strongly) {
			return selected{status: http.StatusPreconditionFailed}
		}
	} else if since, ok := date(r.Header.Get("if-unmodified-since")); ok {
		if at, ok := date(modified); ok && at.After(since) {
			return selected{status: http.StatusPreconditionFailed}
		}
	}
	if r.Header.Has("if-none-match") {
		if matches(r.Header, "if-none-match", etag, weakly) {
			return selected{status: http.StatusNotModified}
		}
	} else if since, ok := date(r.Header.Get("if-modified-since")); ok {
		if at, ok := date(modified); ok && !at.After(since) {
			return selected{status: http.StatusNotModified}
		}
	}
	if r.Method != http.MethodGet || length < 0 || !r.Header.Has("range") || !rangeHolds(r.Header.Get("if-range"), etag, modified) {
		return whole
	}
	return cut(r.Header.Joined("range"), length, whole)
}

// cut applies a Range to a representation. A set that does not come down
// to one part is ignored, as RFC 9110, 14.2 allows: parts that overlap are
// a way to make a server send many times what it has.
func cut(value string, length int64, whole selected) selected {
	spec, ok := parseRange(value)
	if !ok {
		return whole
	}
	off, n, ok := spec.within(length)
	if !ok {
		return selected{status: http.StatusRequestedRangeNotSatisfiable}
	}
	return selected{status: http.StatusPartialContent, off: off, n: n}
}

// rangeHolds evaluates If-Range (RFC 9110, 13.1.5): a strong entity tag,
// or a date that is exactly Last-Modified.
func rangeHolds(ifRange, etag, modified string) bool {
	if ifRange == "" {
		return true
	}
	if strings.HasPrefix(ifRange, `"`) || strings.HasPrefix(ifRange, "W/") {
		return strongly(ifRange, etag)
	}
	at, ok := date(modified)
	since, valid := date(ifRange)
	return ok && valid && at.Equal(since)
}

// matches evaluates a list of entity tags, or "*", against the stored one.
// Tags are compared as they stand; an unquoted one is compared as a whole.
func matches(h exchange.Header, name, etag string, same func(a, b string) bool) bool {
	for _, line := range h.Values(name) {
		for _, tag := range entityTags(line) {
			if tag == "*" || same(tag, etag) {
				return true
			}
		}
	}
	return false
}

// entityTags splits a list at the commas outside of quotes: a comma may
// stand in a tag (RFC 9110, 8.8.3).
func entityTags(line string) (tags []string) {
	quoted, start := false, 0
	for i := range len(line) + 1 {
		if i < len(line) && line[i] == '"' {
			quoted = !quoted
		}
		if i == len(line) || line[i] == ',' && !quoted {
			if tag := strings.Trim(line[start:i], " \t"); tag != "" {
				tags = append(tags, tag)
			}
			start = i + 1
		}
	}
	return tags
}

// strongly and weakly are the comparisons of RFC 9110, 8.8.3.2.
func strongly(a, b string) bool {
	return a == b && a != "" && !strings.HasPrefix(a, "W/")
}

func weakly(a, b string) bool {
	return b != "" && strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}

func date(v string) (time.Time, bool) {
	if v == "" {
		return time.Time{}, false
	}
	t, err := http.ParseTime(v)
	return t, err == nil
}
