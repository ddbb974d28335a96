package cache

import (
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/ascii"
)

// rangeKind is what a Range field means to the cache.
type rangeKind uint8

const (
	noRange    rangeKind = iota // none, or one that is to be ignored
	fromStart                   // one range, from byte 0 on: served while the whole is filled
	fromMiddle                  // any other: on a miss the origin's business
)

// rangeOf reads the Range field of a GET. What RFC 9110, 14.2 has servers
// ignore counts as absent.
func rangeOf(h exchange.Header) rangeKind {
	set, ok := cutPrefixFold(h.Get("range"), "bytes=")
	if !ok {
		return noRange
	}
	first, last, ok := strings.Cut(strings.Trim(set, " \t"), "-")
	switch {
	case !ok:
		return noRange
	case strings.Contains(last, ","):
		return fromMiddle
	}
	start, okFirst := digits(first)
	_, okLast := digits(last)
	switch {
	case okFirst && (okLast || last == ""):
		if start == 0 {
			return fromStart
		}
		return fromMiddle
	case first == "" && okLast:
		return fromMiddle
	}
	return noRange
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !ascii.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// takesPart reports whether the cache has a part in a request at all; when
// it has not, the answer says why.
func takesPart(r *exchange.Request, p *Policy) (fwd Fwd, detail string) {
	switch {
	case r.Method != "GET" && r.Method != "HEAD":
		return FwdMethod, ""
	case p.Bypass:
		return FwdBypass, ""
	case r.Upgrade != "":
		return FwdBypass, "upgrade"
	case r.Body != nil:
		// The content is not keyed, and some origins heed it.
		return FwdBypass, "content"
	}
	return FwdNone, ""
}

// isConditional says which fields make a request conditional or partial.
func isConditional(name string) bool {
	switch name {
	case "if-match", "if-none-match", "if-modified-since", "if-unmodified-since":
		return true
	}
	return false
}

// preparation is how a fill's request differs from the client's.
type preparation struct {
	// keep leaves the client's conditionals and Range in place: nobody
	// else will get the answer.
	keep bool
	// validate is the stored response that the origin is asked about.
	validate *variant
}

// prepare decides on the request of a fill. old is the stale response, if
// there is one; alone says that no other request will share the answer.
func prepare(r *exchange.Request, old *variant, alone bool) preparation {
	if old == nil || !old.canValidate() {
		return preparation{keep: alone}
	}
	// A client's own conditional and ours cannot both be asked in one
	// request for a part.
	if alone && rangeOf(r.Header) == fromMiddle && hasConditional(r.Header) {
		return preparation{keep: true}
	}
	return preparation{keep: alone && rangeOf(r.Header) == fromMiddle, validate: old}
}

func hasConditional(h exchange.Header) bool {
	for i := range h {
		if isConditional(h[i].Name) {
			return true
		}
	}
	return false
}

// request returns the request that a fill makes for r. It asks for the
// target in normal form, which is what the answer is stored under.
func (p preparation) request(r *exchange.Request, t target) *exchange.Request {
	c := *r
	c.Path, c.Query = t.path, t.query
	c.Header = make(exchange.Header, 0, len(r.Header)+2)
	for _, f := range r.Header {
		partial := f.Name == "range" || f.Name == "if-range"
		if isConditional(f.Name) && (!p.keep || p.validate != nil) || partial && !p.keep {
			continue
		}
		c.Header = append(c.Header, f)
	}
	if p.validate != nil {
		etag, lastModified := p.validate.validators()
		if etag != "" {
			c.Header.Add("if-none-match", etag)
		}
		if lastModified != "" {
			c.Header.Add("if-modified-since", lastModified)
		}
	}
	return &c
}
