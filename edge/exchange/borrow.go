package exchange

import "unsafe"

// Borrowed returns a view of b as a string, without a copy. It is for
// values that nobody keeps longer than b stays as it is: the fields of a
// request that is answered at once, a key that is only looked up.
func Borrowed(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
