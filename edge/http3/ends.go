package http3

import (
	"context"
	"errors"

	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// failed ends a stream, or its connection, for what the client did.
func (c *Conn) failed(s stream, err error) {
	var f failure
	switch {
	case errors.As(err, &f) && f.conn:
		c.close(f.code, f.why)
	case errors.As(err, &f):
		c.reset(s, f.code)
	case wasReset(err):
		c.reset(s, codeRequestCancelled)
	default: // the connection is over
		s.CancelRead(quicCode(codeRequestCancelled))
		s.CancelWrite(quicCode(codeRequestCancelled))
	}
}

// unsent ends a stream whose response did not get through.
func (c *Conn) unsent(s stream, err error) {
	if errors.Is(err, wire.ErrTooSlow) {
		c.hit(limits.BodyStall)
		c.reset(s, codeRequestCancelled)
		return
	}
	c.failed(s, err)
}

// ended notes how a stream ended that we have closed: the client may have
// reset it meanwhile.
func (c *Conn) ended(s stream) {
	if wasReset(context.Cause(s.Context())) {
		c.endedByReset()
		return
	}
	c.endedWell()
}

func (c *Conn) endedWell() { c.resets.Add(-1) }

// endedByReset counts a stream that ended by a reset, whoever sent it: of
// either kind an attacker can have as many as it likes (CVE-2023-44487,
// CVE-2025-8671).
func (c *Conn) endedByReset() {
	if c.resets.Add(1) > int64(c.server.conf.Limits.StreamResets) {
		c.hit(limits.StreamResets)
		c.close(codeExcessiveLoad, "too many streams ended by a reset")
	}
}
