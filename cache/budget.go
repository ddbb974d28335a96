package cache

import "sync/atomic"

// budget counts the bytes of content in memory: stored, being stored, or
// read by somebody after they left the store.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take counts n more bytes unless they would go over the limit.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// add counts n bytes that are there whatever the limit says; n may be
// negative.
func (b *budget) add(n int64) { b.used.Add(n) }
