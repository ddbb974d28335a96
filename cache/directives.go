package cache

import (
	"slices"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// targetedFields are the fields that stand in for Cache-Control and
// Expires here, in the order in which they are looked at (RFC 9213, 2.2).
var targetedFields = [...]string{"landfall-cdn-cache-control", "cdn-cache-control"}

// maxDelta is what larger numbers of seconds count as (RFC 9111, 1.2.2).
const maxDelta = (1 << 31) * time.Second

// delta is a number of seconds that may be absent.
type delta struct {
	d  time.Duration
	ok bool
}

// directives are those of a response that a shared cache acts upon
// (RFC 9111, 5.2.2 and RFC 5861).
type directives struct {
	noStore         bool
	noCache         bool
	private         bool
	public          bool
	mustRevalidate  bool
	proxyRevalidate bool
	mustUnderstand  bool

	maxAge               delta
	sMaxAge              delta
	staleWhileRevalidate delta
	staleIfError         delta

	// withheld are the fields that no-cache="..." names, in lower case: the
	// response may be used again, but without them (RFC 9111, 5.2.2.4).
	withheld []string

	// targeted says that a targeted field gave them: Expires is then void.
	targeted bool
}

// directivesOf returns the directives that hold for this cache.
func directivesOf(h exchange.Header) directives {
	for _, name := range targetedFields {
		if d, ok := parseTargeted(h.Values(name)); ok {
			return d
		}
	}
	var d directives
	for i := range h {
		if h[i].Name == "cache-control" {
			d.parseLine(h[i].Value)
		}
	}
	return d
}

// parseLine adds the directives of one Cache-Control line. Of a number
// given twice the first counts (RFC 9111, 4.2.1); a flag counts wherever
// it stands.
func (d *directives) parseLine(line string) {
	for line != "" {
		var part string
		part, line = cutList(line)
		name, value, hasValue := strings.Cut(strings.Trim(part, " \t"), "=")
		// White space around "=" is not in the grammar, and recipients
		// disagree on what it makes of the directive. So it gives nothing,
		// but what it forbids is forbidden.
		spaced := strings.TrimRight(name, " \t") != name || strings.TrimLeft(value, " \t") != value
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		if n := d.number(name); n != nil {
			if !n.ok && !spaced {
				*n = delta{parseSeconds(unquote(value)), true}
			}
			continue
		}
		if name == "no-cache" && hasValue && !spaced && d.withhold(unquote(value)) {
			continue
		}
		// An argument of private narrows it to some fields; the whole
		// response is the safe reading (RFC 9111, 5.2.2.7). What permits
		// something must be spelled properly.
		if f := d.flag(name); f != nil && (name != "public" || !hasValue) {
			*f = true
		}
	}
}

// withhold takes the argument of no-cache. It reports false for one that
// is no list of fields, and for a field that the response cannot be used
// without: then the directive is about the whole response.
func (d *directives) withhold(list string) bool {
	var names []string
	for name := range strings.SplitSeq(strings.ToLower(list), ",") {
		name = strings.Trim(name, " \t")
		switch {
		case name == "":
			continue
		case !isToken(name) || !expendable(name):
			return false
		}
		names = append(names, name)
	}
	d.withheld = append(d.withheld, names...)
	return len(names) > 0
}

// expendable reports whether a response still means the same without a
// field.
func expendable(name string) bool {
	switch name {
	case "age", "cache-control", "date", "etag", "expires", "last-modified", "vary":
		return false
	}
	return !strings.HasPrefix(name, "content-") && !slices.Contains(targetedFields[:], name)
}

func (d *directives) number(name string) *delta {
	switch name {
	case "max-age":
		return &d.maxAge
	case "s-maxage":
		return &d.sMaxAge
	case "stale-while-revalidate":
		return &d.staleWhileRevalidate
	case "stale-if-error":
		return &d.staleIfError
	}
	return nil
}

func (d *directives) flag(name string) *bool {
	switch name {
	case "no-store":
		return &d.noStore
	case "no-cache":
		return &d.noCache
	case "private":
		return &d.private
	case "public":
		return &d.public
	case "must-revalidate":
		return &d.mustRevalidate
	case "proxy-revalidate":
		return &d.proxyRevalidate
	case "must-understand":
		return &d.mustUnderstand
	}
	return nil
}

// cutList returns the part before the first comma outside a quoted
// string, and what follows it.
func cutList(s string) (part, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote returns what a quoted string holds, "" when it is malformed, and
// anything else as it is.
func unquote(s string) string {
	if !strings.HasPrefix(s, `"`) {
		return s
	}
	if len(s) < 2 || !strings.HasSuffix(s, `"`) || strings.ContainsAny(s[1:len(s)-1], `"\`) {
		return ""
	}
	return s[1 : len(s)-1]
}

// parseSeconds returns 0 for what is not a number: a lifetime that cannot
// be read is over (RFC 9111, 4.2.1).
func parseSeconds(s string) time.Duration {
	n, ok := digits(s)
	if !ok {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxDelta)
}

// digits returns the value of a non-empty string of digits, bounded so
// that it does not overflow as a number of seconds.
func digits(s string) (n int64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), 1<<31)
	}
	return n, s != ""
}

// parseTargeted reads a targeted field, which is a Dictionary of RFC 9651.
// An empty or malformed field, and one in which a directive we know has a
// value of the wrong type, is as if it were absent (RFC 9213, 2.1).
func parseTargeted(lines []string) (d directives, ok bool) {
	if len(lines) == 0 {
		return d, false
	}
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dict.Names()) == 0 {
		return d, false
	}
	d.targeted = true
	for _, name := range dict.Names() {
		number, flag := d.number(name), d.flag(name)
		if number == nil && flag == nil {
			continue
		}
		member, _ := dict.Get(name)
		item, isItem := member.(httpsfv.Item)
		if !isItem {
			return directives{}, false
		}
		switch v := item.Value.(type) {
		case int64:
			if number == nil || v < 0 {
				return directives{}, false
			}
			*number = delta{time.Duration(min(v, 1<<31)) * time.Second, true}
		case bool:
			if flag == nil {
				return directives{}, false
			}
			*flag = v
		case string:
			// Only no-cache and private take field names.
			if name != "no-cache" && name != "private" {
				return directives{}, false
			}
			*flag = name == "private" || !d.withhold(v)
		default:
			return directives{}, false
		}
	}
	return d, true
}
