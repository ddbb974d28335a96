// Package jsonline appends values of a JSON object to a line that the
// caller owns, and allocates nothing. It knows only what access records
// need; names and punctuation are the caller's.
package jsonline

import (
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/landfall-cdn/landfall/internal/swar"
)

const hex = "0123456789abcdef"

// Text appends value as the inside of a string. What is not UTF-8 becomes
// U+FFFD, and no control byte stays as it is: a client's words cannot end
// the line or steer a terminal.
func Text(dst []byte, value string) []byte {
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
	return append(dst, value[clean:]...)
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

// Millis appends a duration as a number of milliseconds, to three
// decimals. A negative one, as of a clock that was set back, is 0.
func Millis(dst []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	dst = strconv.AppendInt(dst, us/1000, 10)
	if us %= 1000; us == 0 {
		return dst
	}
	return append(dst, '.', '0'+byte(us/100), '0'+byte(us/10%10), '0'+byte(us%10))
}

// Time appends the inside of a string with a time as RFC 3339 writes it, in
// UTC and to the microsecond.
func Time(dst []byte, t time.Time) []byte {
	second := t.Unix()
	s := newest.Load()
	if s == nil || s.at != second {
		s = &secondText{at: second, text: t.UTC().Format("2006-01-02T15:04:05.")}
		newest.Store(s)
	}
	dst = append(dst, s.text...)
	us := t.Nanosecond() / 1000
	for div := 100_000; div > 0; div /= 10 {
		dst = append(dst, '0'+byte(us/div%10))
	}
	return append(dst, 'Z')
}

// secondText is how the times of one second begin.
type secondText struct {
	at   int64
	text string
}

// newest is that of the second that was asked for last.
var newest atomic.Pointer[secondText]
