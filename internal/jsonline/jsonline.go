// Package jsonline appends the pieces of a JSON object to a line that the
// caller owns. It allocates nothing; it knows only what access records
// need.
package jsonline

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/landfall-cdn/landfall/internal/swar"
)

const hex = "0123456789abcdef"

// Begin starts an object.
func Begin(dst []byte) []byte { return append(dst, '{') }

// End ends the object and the line.
func End(dst []byte) []byte { return append(dst, '}', '\n') }

// key appends a member's name, which needs no escaping.
func key(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// String appends a member with a string value. What is not UTF-8 becomes
// U+FFFD, and no control byte stays as it is: a client's words cannot end
// the line or steer a terminal.
func String(dst []byte, name, value string) []byte {
	dst = append(key(dst, name), '"')
	clean := 0
	for i := 0; i < len(value); {
		if i+8 <= len(value) && plain(swar.Load(value, i)) {
			i += 8
			continue
		}
		c := value[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, value[clean:i]...)
		if c < utf8.RuneSelf {
			dst = escape(dst, c)
			i++
		} else {
			r, n := utf8.DecodeRuneInString(value[i:])
			if 0x80 <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' {
				dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
			} else {
				dst = utf8.AppendRune(dst, r)
			}
			i += n
		}
		clean = i
	}
	dst = append(dst, value[clean:]...)
	return append(dst, '"')
}

// plain reports whether eight bytes stand for themselves.
func plain(v uint64) bool {
	return !swar.HighBit(v) && !swar.Below(v, ' ') && !swar.Has(v, '"') && !swar.Has(v, '\\') && !swar.Has(v, 0x7f)
}

func escape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// Int appends a member with a number.
func Int(dst []byte, name string, n int64) []byte {
	return strconv.AppendInt(key(dst, name), n, 10)
}

// Bool appends a member that is true or false.
func Bool(dst []byte, name string, v bool) []byte {
	return strconv.AppendBool(key(dst, name), v)
}

// Millis appends a member with a duration in milliseconds, to three
// decimals. A negative one, as of a clock that was set back, is 0.
func Millis(dst []byte, name string, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	dst = strconv.AppendInt(key(dst, name), us/1000, 10)
	if us %= 1000; us == 0 {
		return dst
	}
	return append(dst, '.', '0'+byte(us/100), '0'+byte(us/10%10), '0'+byte(us%10))
}

// Addr appends a member with an address.
func Addr(dst []byte, name string, a netip.Addr) []byte {
	dst = append(key(dst, name), '"')
	return append(a.AppendTo(dst), '"')
}

// Time appends a member with a time as RFC 3339 writes it.
func Time(dst []byte, name string, t time.Time) []byte {
	dst = append(key(dst, name), '"')
	return append(t.AppendFormat(dst, time.RFC3339Nano), '"')
}
