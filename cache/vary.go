package cache

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// selection is what a response was selected by (RFC 9111, 4.1): the
// request fields that Vary names and the values they had. The zero
// selection fits every request.
type selection struct {
	names  []string // sorted, in lower case, each once
	values []chosen // one for each name
	// language is the response's Content-Language when accept-language is
	// one of the names, in lower case.
	language string
}

// chosen is the value of a selecting field: as it came, for the quick
// comparison, and in normal form.
type chosen struct {
	raw    string
	normal string
	absent bool
}

// varyNames returns the names in Vary. never is true for "*", for what is no
// list of names, and for fields that are introduced on the way to the
// origin, which the stored request does not show: none of these ever fits
// another request.
func varyNames(h exchange.Header) (names []string, never bool) {
	for name := range h.Members("vary") {
		name = strings.ToLower(name)
		if !isToken(name) || name == "*" || exchange.Introduced(name) {
			return nil, true
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), false
}

// selectionOf returns what the response with header h was selected by.
func selectionOf(req, h exchange.Header) selection {
	names, _ := varyNames(h)
	s := selection{names: names}
	for _, name := range names {
		s.values = append(s.values, choose(req, name))
		if name == "accept-language" {
			s.language = strings.ToLower(h.Get("content-language"))
		}
	}
	return s
}

func choose(req exchange.Header, name string) chosen {
	if !req.Has(name) {
		return chosen{absent: true}
	}
	raw := req.Joined(name)
	return chosen{raw: raw, normal: normalValue(name, raw)}
}

// fits reports whether a request with these fields selects the response.
func (s *selection) fits(req exchange.Header) bool {
	return s.fitsAsked(&asked{header: req})
}

// asked is a request's fields, and the normal form of the one that was
// looked at last: the variants of a key mostly differ by one field.
type asked struct {
	header       exchange.Header
	name, normal string
}

func (a *asked) normalOf(name, raw string) string {
	if a.name != name {
		a.name, a.normal = name, normalValue(name, raw)
	}
	return a.normal
}

func (s *selection) fitsAsked(a *asked) bool {
	for i, name := range s.names {
		if !s.fitsOne(a, name, &s.values[i]) {
			return false
		}
	}
	return true
}

func (s *selection) fitsOne(a *asked, name string, want *chosen) bool {
	if !a.header.Has(name) {
		return want.absent
	}
	raw := a.header.Joined(name)
	if !want.absent && (raw == want.raw || a.normalOf(name, raw) == want.normal) {
		return true
	}
	// The language that a client asks for before all others is the one it
	// would be given again.
	return name == "accept-language" && s.language != "" && topLanguage(raw) == s.language
}

// same reports whether two responses were selected by the same request
// fields with the same values, so that one replaces the other.
func (s *selection) same(o *selection) bool {
	return slices.Equal(s.names, o.names) && slices.EqualFunc(s.values, o.values, func(a, b chosen) bool {
		return a.normal == b.normal && a.absent == b.absent
	})
}

// secondaryKey tells requests apart by the named fields, as selection
// does. It is "" when there are no names.
func secondaryKey(names []string, req exchange.Header) string {
	if len(names) == 0 {
		return ""
	}
	var b []byte
	for _, name := range names {
		c := choose(req, name)
		b = append(b, '\n')
		b = append(b, name...)
		if !c.absent {
			// The length keeps a value from passing for the next name.
			b = strconv.AppendInt(append(b, '='), int64(len(c.normal)), 10)
			b = append(append(b, ':'), c.normal...)
		}
	}
	return string(b)
}

// maxNormal bounds the values that are brought into normal form: no browser
// sends a longer one, and the work is done for each request.
const maxNormal = 1 << 10

// normalValue brings the value of a selecting field into a form in which
// values with the same meaning are equal.
func normalValue(name, value string) string {
	if len(value) > maxNormal {
		return value
	}
	switch name {
	case "accept-language":
		return normalLanguages(value)
	case "accept-encoding":
		return normalCodings(value)
	case "authorization", "cookie", "origin", "referer", "user-agent":
		return value // no lists: a comma in them is text
	}
	return normalList(value)
}

// normalList takes away the white space around the members of a list.
func normalList(value string) string {
	var b strings.Builder
	for rest, first := value, true; first || rest != ""; first = false {
		var part string
		part, rest = cutList(rest)
		if !first {
			b.WriteByte(',')
		}
		b.WriteString(strings.Trim(part, " \t"))
	}
	return b.String()
}

// weighted is one member of a list with quality values (RFC 9110, 12.4.2).
type weighted struct {
	name string // in lower case
	q    int    // thousandths
}

// parseWeighted returns the members by falling weight, then by name. What
// follows the weight is dropped; a weight that cannot be read counts as 1,
// with the member's parameters left in its name so that it equals only
// its like.
func parseWeighted(value string) []weighted {
	var list []weighted
	for part := range strings.SplitSeq(value, ",") {
		part = strings.ToLower(strings.Trim(part, " \t"))
		name, param, has := strings.Cut(part, ";")
		w := weighted{strings.TrimRight(name, " \t"), 1000}
		if w.name == "" {
			continue
		}
		if has {
			if q, ok := parseWeight(param); ok {
				w.q = q
			} else {
				w.name = part
			}
		}
		list = append(list, w)
	}
	return order(list)
}

func order(list []weighted) []weighted {
	slices.SortFunc(list, func(a, b weighted) int {
		return cmp.Or(cmp.Compare(b.q, a.q), cmp.Compare(a.name, b.name))
	})
	return slices.Compact(list)
}

// parseWeight reads " q=0.8" in thousandths.
func parseWeight(param string) (int, bool) {
	value, ok := strings.CutPrefix(strings.Trim(param, " \t"), "q=")
	if !ok {
		return 0, false
	}
	whole, frac, _ := strings.Cut(value, ".")
	if whole != "0" && whole != "1" || len(frac) > 3 {
		return 0, false
	}
	n, ok := digits(whole + (frac + "000")[:3])
	return int(n), ok && n <= 1000
}

// ranked writes the members with their order and not their weights: one
// comma between equals, two before those that come after, three before
// those that are refused. No name has a comma in it.
func ranked(list []weighted) string {
	var b strings.Builder
	for i, w := range list {
		switch {
		case w.q == 0 && (i == 0 || list[i-1].q > 0):
			b.WriteString(",,,")
		case i > 0 && list[i-1].q > w.q:
			b.WriteString(",,")
		case i > 0:
			b.WriteByte(',')
		}
		b.WriteString(w.name)
	}
	return b.String()
}

// normalLanguages orders the languages by weight and then by name, since
// the order in which equals are written carries no meaning.
func normalLanguages(value string) string { return ranked(parseWeighted(value)) }

// normalCodings orders the codings likewise. A coding that is refused is
// dropped where not naming it says the same (RFC 9110, 12.5.3).
func normalCodings(value string) string {
	list := parseWeighted(value)
	wild := slices.ContainsFunc(list, func(w weighted) bool { return w.name == "*" })
	list = slices.DeleteFunc(list, func(w weighted) bool {
		return w.q == 0 && !wild && w.name != "identity"
	})
	for i := range list {
		if list[i].name == "x-gzip" {
			list[i].name = "gzip"
		}
	}
	return ranked(order(list))
}

// topLanguage returns the one language that is preferred to all others,
// "" when there is none.
func topLanguage(value string) string {
	if len(value) > maxNormal {
		return ""
	}
	list := parseWeighted(value)
	if len(list) == 0 || list[0].q == 0 || list[0].name == "*" ||
		len(list) > 1 && list[0].q == list[1].q {
		return ""
	}
	return list[0].name
}

// isToken is RFC 9110, 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
