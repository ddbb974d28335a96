package edge

import (
	"math"
	"strconv"
	"strings"

	"github.com/landfall-cdn/landfall/internal/ascii"
)

// byteRange is one range-spec of a Range field (RFC 9110, 14.1.2).
type byteRange struct {
	first, last int64 // last is math.MaxInt64 when open
	suffix      bool  // the last `last` bytes
}

// parseRange reads a Range of one part in bytes. Other units, several
// parts and what does not parse are no range: the field is then ignored.
func parseRange(v string) (byteRange, bool) {
	unit, spec, ok := strings.Cut(v, "=")
	if !ok || !ascii.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(spec, ",") {
		return byteRange{}, false
	}
	from, to, ok := strings.Cut(strings.Trim(spec, " \t"), "-")
	if !ok {
		return byteRange{}, false
	}
	if from == "" {
		n, ok := digits(to)
		return byteRange{last: n, suffix: true}, ok
	}
	first, ok := digits(from)
	if !ok {
		return byteRange{}, false
	}
	if to == "" {
		return byteRange{first: first, last: math.MaxInt64}, true
	}
	last, ok := digits(to)
	return byteRange{first: first, last: last}, ok && last >= first
}

// digits reads 1*DIGIT; what overflows is as good as endless.
func digits(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}

// within cuts the range to a representation of length bytes; false when
// nothing of it lies within.
func (b byteRange) within(length int64) (off, n int64, ok bool) {
	if b.suffix {
		n = min(b.last, length)
		return length - n, n, n > 0
	}
	if b.first >= length {
		return 0, 0, false
	}
	return b.first, min(b.last, length-1) - b.first + 1, true
}

func contentRange(off, n, length int64) string {
	b := make([]byte, 0, 48)
	b = append(b, "bytes "...)
	b = strconv.AppendInt(b, off, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, off+n-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, length, 10))
}
