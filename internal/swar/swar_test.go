package swar

import (
	"strings"
	"testing"
)

// FuzzBytes: eight at once say what they say one by one.
func FuzzBytes(f *testing.F) {
	f.Add("abcdefgh", byte(' '), byte('"'))
	f.Add("\x00\x1f\x20\x7f\x80\xff\"\\", byte(0x20), byte(0x7f))
	f.Fuzz(func(t *testing.T, s string, n, c byte) {
		if len(s) < 8 {
			return
		}
		s, n = s[:8], n%129
		v := Load(s, 0)
		below, high := false, false
		for i := range len(s) {
			below = below || s[i] < n
			high = high || s[i] >= 0x80
		}
		if Below(v, n) != below || Has(v, c) != (strings.IndexByte(s, c) >= 0) || HighBit(v) != high {
			t.Errorf("%q, below %d: %v, has %q: %v, high: %v", s, n, Below(v, n), c, Has(v, c), HighBit(v))
		}
	})
}
