package http2

import (
	"encoding/binary"
	"time"
)

// drainPing is the PING whose answer tells that the client has read the
// GOAWAY before it.
var drainPing = [8]byte{'l', 'a', 'n', 'd', 'f', 'a', 'l', 'l'}

// announce tells the client that the connection will end, with room for
// requests that are on their way (RFC 9113, 6.8).
func (c *Conn) announce() {
	c.control = appendGoAway(c.control, maxStreamID, noError, "")
	c.control = appendPing(c.control, 0, drainPing)
	c.callAt = time.Now().Add(grace) // not c.now: nothing may have woken Serve for long
	c.remind(c.callAt)
}

// lastCall accepts no more streams. What the client began before is done.
func (c *Conn) lastCall() {
	c.drain = draining
	c.callID = c.lastID
	c.control = appendGoAway(c.control, c.callID, noError, "")
}

// onSettings is RFC 9113, 6.5.
func (c *Conn) onSettings(f frame, p []byte) *fault {
	switch {
	case f.stream != 0:
		return &fault{protocolError, "SETTINGS on a stream"}
	case f.has(flagAck) && f.length != 0:
		return &fault{frameSizeError, "an acknowledgement with SETTINGS in it"}
	case f.length%settingSize != 0:
		return &fault{frameSizeError, "SETTINGS of a wrong length"}
	}
	if f.has(flagAck) {
		if c.acknowledged {
			c.spend()
		}
		c.acknowledged = true
		return nil
	}
	if c.parser.settled {
		c.spend()
	}
	c.parser.settled = true
	window := c.initialWindow
	for ; len(p) > 0; p = p[settingSize:] {
		value := binary.BigEndian.Uint32(p[2:])
		switch binary.BigEndian.Uint16(p) {
		case settingHeaderTableSize:
			c.shrink = c.shrink || !c.shrunk && value < defaultHeaderTable
			c.shrunk = c.shrunk || c.shrink
		case settingEnablePush, settingConnectProtocol, settingNoOldPriorities:
			if value > 1 {
				return &fault{protocolError, "a setting that is neither 0 nor 1"}
			}
		case settingInitialWindow:
			if int64(value) > maxWindow {
				return &fault{flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is too large"}
			}
			window = int64(value)
		case settingMaxFrame:
			if value < maxFrame || value >= 1<<24 {
				return &fault{protocolError, "SETTINGS_MAX_FRAME_SIZE is out of bounds"}
			}
		}
	}
	c.control = frame{0, frameSettings, flagAck, 0}.appendTo(c.control)
	return c.resize(window)
}

// resize changes the window of every stream, which may make it negative
// (RFC 9113, 6.9.2).
func (c *Conn) resize(window int64) *fault {
	more := window - c.initialWindow
	if more == 0 {
		return nil
	}
	c.initialWindow = window
	for _, s := range c.streams {
		if s.window += more; s.window > maxWindow {
			return &fault{flowControlError, "SETTINGS make a window too large"}
		}
	}
	return nil
}

// onPing is RFC 9113, 6.7.
func (c *Conn) onPing(f frame, p []byte) *fault {
	switch {
	case f.length != 8:
		return &fault{frameSizeError, "PING of a wrong length"}
	case f.stream != 0:
		return &fault{protocolError, "PING on a stream"}
	}
	data := [8]byte(p)
	if f.has(flagAck) {
		if c.drain != announced || c.answered || data != drainPing {
			c.spend()
			return nil
		}
		if c.answered = true; !c.retiring {
			c.callAt = earlier(c.callAt, c.now.Add(crossing))
			c.remind(c.callAt)
		}
		return nil
	}
	c.spend()
	c.control = appendPing(c.control, flagAck, data)
	return nil
}

// onGoAway is RFC 9113, 6.8: the client opens no more streams, of which we
// open none.
func (c *Conn) onGoAway(f frame, _ []byte) *fault {
	switch {
	case f.stream != 0:
		return &fault{protocolError, "GOAWAY on a stream"}
	case f.length < 8:
		return &fault{frameSizeError, "GOAWAY of a wrong length"}
	}
	c.spend()
	return nil
}

// onWindowUpdate is RFC 9113, 6.9.
func (c *Conn) onWindowUpdate(f frame, p []byte) *fault {
	if f.length != 4 {
		return &fault{frameSizeError, "WINDOW_UPDATE of a wrong length"}
	}
	c.budget.update(&c.srv.conf.Limits, c.srv.conf.Counters, c.now)
	n := int64(binary.BigEndian.Uint32(p) & maxStreamID)
	if f.stream == 0 {
		switch {
		case n == 0:
			return &fault{protocolError, "WINDOW_UPDATE of nothing"}
		case c.window+n > maxWindow:
			return &fault{flowControlError, "WINDOW_UPDATE makes the connection's window too large"}
		}
		c.window += n
		return nil
	}
	if c.idle(f.stream) {
		return &fault{protocolError, "WINDOW_UPDATE on an idle stream"}
	}
	s := c.streams[f.stream]
	switch {
	case s == nil: // it has ended
	case n == 0:
		c.reset(s, protocolError, errMalformed)
	case s.window+n > maxWindow:
		c.reset(s, flowControlError, errMalformed)
	default:
		s.window += n
	}
	return nil
}

// lateReset is what a reset of a stream that has ended counts: it takes back
// what the stream's good end was worth, for the work was done for nothing.
const lateReset = 2

// onReset is RFC 9113, 6.4.
func (c *Conn) onReset(f frame, _ []byte) *fault {
	switch {
	case f.length != 4:
		return &fault{frameSizeError, "RST_STREAM of a wrong length"}
	case f.stream == 0:
		return &fault{protocolError, "RST_STREAM on stream 0"}
	case c.idle(f.stream):
		return &fault{protocolError, "RST_STREAM on an idle stream"}
	}
	lim, counters := &c.srv.conf.Limits, c.srv.conf.Counters
	s := c.streams[f.stream]
	switch {
	case s != nil:
		c.srv.met.resetsTheirs.Inc()
		c.budget.reset(1, lim, counters)
		c.leave(s, errReset)
	case c.ourClosed.has(f.stream):
		c.ourClosed.drop(f.stream) // the two resets have crossed
	default:
		c.srv.met.resetsTheirs.Inc()
		c.spend()
		c.budget.reset(lateReset, lim, counters)
	}
	return nil
}

// onPriority is RFC 9113, 6.3: deprecated, and of no effect.
func (c *Conn) onPriority(f frame, p []byte) *fault {
	if f.stream == 0 {
		return &fault{protocolError, "PRIORITY on stream 0"}
	}
	c.spend()
	why := noError
	switch {
	case f.length != priorityFields:
		why = frameSizeError
	case dependency(p) == f.stream:
		why = protocolError
	}
	if why == noError {
		return nil
	}
	if s := c.streams[f.stream]; s != nil {
		c.reset(s, why, errMalformed)
		return nil
	}
	// A stream that is not there cannot be reset.
	return &fault{why, "PRIORITY is malformed"}
}

// priorityFields is the length of what PRIORITY carries, and HEADERS may.
const priorityFields = 5

// dependency reads the stream that another is said to depend on.
func dependency(p []byte) uint32 { return binary.BigEndian.Uint32(p) & maxStreamID }

// onPriorityUpdate is RFC 9218, 7.1. For a stream that is not there it is
// ignored, as the RFC allows: its request says the same.
func (c *Conn) onPriorityUpdate(f frame, p []byte) *fault {
	switch {
	case f.stream != 0:
		return &fault{protocolError, "PRIORITY_UPDATE on a stream"}
	case f.length < 4:
		return &fault{frameSizeError, "PRIORITY_UPDATE of a wrong length"}
	}
	c.spend()
	id := dependency(p)
	if id == 0 {
		return &fault{protocolError, "PRIORITY_UPDATE of stream 0"}
	}
	if s := c.streams[id]; s != nil {
		s.order = orderOf(string(p[4:]))
	}
	return nil
}
