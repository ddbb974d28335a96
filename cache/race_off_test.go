//go:build !race

package cache

// largeBody is far larger than the memory of any store in the tests.
const largeBody = 1 << 30
