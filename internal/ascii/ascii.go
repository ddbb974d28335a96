// Package ascii compares what protocols compare: by letters of ASCII and no
// others. To strings.EqualFold the Kelvin sign is a k and the long s an s, so
// that it takes for "chunked" and "close" what another reader of the same
// bytes does not.
package ascii

// EqualFold tells whether s and t are equal but for the case of ASCII
// letters (RFC 9110, 5.6.2 and 2.1).
func EqualFold(s, t string) bool {
	if len(s) != len(t) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != lower(t[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
