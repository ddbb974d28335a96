package exchange

import (
	"slices"
	"strings"
)

// Field is one header field line. The name is in lower case, as HTTP/2
// and HTTP/3 carry it; the value has no surrounding white space.
type Field struct {
	Name  string
	Value string
}

// Header is a list of field lines in the order of arrival. Every method
// takes names in lower case.
type Header []Field

// Get returns the first value of name, "" when there is none.
func (h Header) Get(name string) string {
	for i := range h {
		if h[i].Name == name {
			return h[i].Value
		}
	}
	return ""
}

// Has reports whether a line with this name is present.
func (h Header) Has(name string) bool {
	return slices.ContainsFunc(h, func(f Field) bool { return f.Name == name })
}

// Values returns the values of all lines with this name, in order.
func (h Header) Values(name string) []string {
	var out []string
	for i := range h {
		if h[i].Name == name {
			out = append(out, h[i].Value)
		}
	}
	return out
}

// Joined returns all values of name as one list value (RFC 9110, 5.3).
// It must not be used for set-cookie.
func (h Header) Joined(name string) string {
	first, n := "", 0
	for i := range h {
		if h[i].Name == name {
			if n == 0 {
				first = h[i].Value
			}
			n++
		}
	}
	if n < 2 {
		return first
	}
	return strings.Join(h.Values(name), ", ")
}

// JoinCookies makes one line of the cookie lines that a client may send in
// HTTP/2 and HTTP/3 (RFC 9113, 8.2.3), so that one cookie reads the same
// however it came.
func (h *Header) JoinCookies() {
	if lines := h.Values("cookie"); len(lines) > 1 {
		h.Set("cookie", strings.Join(lines, "; "))
	}
}

// Members iterates over the elements of all lines of a list field
// (RFC 9110, 5.6.1) without regard to quoted strings: it is for fields
// whose elements are tokens, such as connection or vary.
func (h Header) Members(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range h {
			if h[i].Name != name {
				continue
			}
			for m := range strings.SplitSeq(h[i].Value, ",") {
				if m = strings.Trim(m, " \t"); m != "" && !yield(m) {
					return
				}
			}
		}
	}
}

// Add appends a line.
func (h *Header) Add(name, value string) {
	*h = append(*h, Field{Name: name, Value: value})
}

// Set replaces all lines of name by one, at the place of the first.
func (h *Header) Set(name, value string) {
	for i := range *h {
		if (*h)[i].Name != name {
			continue
		}
		(*h)[i].Value = value
		tail := slices.DeleteFunc((*h)[i+1:], func(f Field) bool { return f.Name == name })
		*h = (*h)[:i+1+len(tail)]
		return
	}
	h.Add(name, value)
}

// Del removes all lines of name.
func (h *Header) Del(name string) {
	*h = slices.DeleteFunc(*h, func(f Field) bool { return f.Name == name })
}

// Clone returns a copy that shares nothing but the strings.
func (h Header) Clone() Header { return slices.Clone(h) }
