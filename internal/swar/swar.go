// Package swar looks at eight bytes of a string at once (SIMD within a
// register), for the few loops over text that every request pays for.
package swar

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// Load returns the eight bytes of s from i on.
func Load(s string, i int) uint64 {
	_ = s[i+7]
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}

// Below reports whether one of the bytes is less than n, which is at most
// 128. It may also report a byte that is not, behind one that is.
func Below(v uint64, n byte) bool { return (v-ones*uint64(n))&^v&highs != 0 }

// Has reports whether one of the bytes is c.
func Has(v uint64, c byte) bool { return Below(v^ones*uint64(c), 1) }

// HighBit reports whether one of the bytes is 128 or more.
func HighBit(v uint64) bool { return v&highs != 0 }
