package ascii

import (
	"strings"
	"testing"
)

func TestEqualFold(t *testing.T) {
	for _, tc := range []struct {
		s, t string
		want bool
	}{
		{"", "", true},
		{"chunked", "ChUnKeD", true},
		{"chunked", "chunke", false},
		{"chun\u212aed", "chunked", false}, // the Kelvin sign
		{"clo\u017fe", "close", false},     // the long s
		{"[", "{", false},                  // apart by the bit of case only
		{"\xe9", "\xc9", false},
	} {
		if got := EqualFold(tc.s, tc.t); got != tc.want {
			t.Errorf("EqualFold(%q, %q) = %v", tc.s, tc.t, got)
		}
	}
}

// FuzzEqualFold: on ASCII it is strings.EqualFold, and beyond that nothing
// is equal that strings.EqualFold tells apart.
func FuzzEqualFold(f *testing.F) {
	f.Add("Chunked", "chunked")
	f.Add("chun\u212aed", "chunked")
	f.Fuzz(func(t *testing.T, a, b string) {
		got, want := EqualFold(a, b), strings.EqualFold(a, b)
		if isASCII(a) && isASCII(b) && got != want || got && a != b && !want {
			t.Errorf("EqualFold(%q, %q) = %v", a, b, got)
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
