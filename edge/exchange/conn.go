package exchange

import "sync/atomic"

// Conn is what the requests of one client connection share.
type Conn struct {
	atOrigin atomic.Int64
}

// AcquireOrigin counts a request of this connection at an origin and
// reports whether it stays within max. When it does not, nothing was
// counted. A nil Conn has no bound.
func (c *Conn) AcquireOrigin(limit int) bool {
	if c == nil {
		return true
	}
	if c.atOrigin.Add(1) > int64(limit) {
		c.atOrigin.Add(-1)
		return false
	}
	return true
}

// ReleaseOrigin takes one request of AcquireOrigin back.
func (c *Conn) ReleaseOrigin() {
	if c != nil {
		c.atOrigin.Add(-1)
	}
}
