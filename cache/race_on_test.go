//go:build race

package cache

// largeBody is smaller with the race detector, which makes copying slow.
const largeBody = 64 << 20
