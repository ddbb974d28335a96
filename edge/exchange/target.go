package exchange

import "strings"

// NormalPath returns the one form of a path that rules, keys and origins
// see: escapes of unreserved characters decoded, the others in upper case
// (RFC 3986, 6.2.2). It is false for a path that a server behind us could
// take for another than we do: with a malformed escape, or with a dot
// segment, encoded or not. Clients remove those before they ask.
func NormalPath(p string) (string, bool) {
	normal, ok := normalEscapes(p)
	return normal, ok && !hasDotSegment(normal)
}

// NormalQuery is NormalPath for a query. One with a malformed escape,
// which is common in the wild, stays as it is: in "%%411", decoding the
// inner escape would make up the new one "%A1".
func NormalQuery(q string) string {
	normal, ok := normalEscapes(q)
	if !ok {
		return q
	}
	return normal
}

// hasDotSegment takes a backslash, and either encoded, for a separator too, as
// some servers do.
func hasDotSegment(p string) bool {
	if strings.IndexByte(p, '.') < 0 {
		return false
	}
	start := 0
	for i := 0; i <= len(p); i++ {
		n := separator(p[i:])
		if n == 0 && i < len(p) {
			continue
		}
		if segment := p[start:i]; segment == "." || segment == ".." {
			return true
		}
		start = i + n
	}
	return false
}

// separator returns the length of the separator that p begins with, 0 when
// it begins with none. Escapes are in upper case already.
func separator(p string) int {
	switch {
	case p == "":
		return 0
	case p[0] == '/' || p[0] == '\\':
		return 1
	case p[0] == '%' && (strings.HasPrefix(p, "%2F") || strings.HasPrefix(p, "%5C")):
		return 3
	}
	return 0
}

func normalEscapes(s string) (normal string, ok bool) {
	first := strings.IndexByte(s, '%')
	if first < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	b = append(b, s[:first]...)
	for i := first; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return s, false
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return s, false
		}
		if c := byte(hi<<4 | lo); unreserved(c) {
			b = append(b, c)
		} else {
			const upper = "0123456789ABCDEF"
			b = append(b, '%', upper[hi], upper[lo])
		}
		i += 2
	}
	return string(b), true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// unreserved is the set of RFC 3986, 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}
