package http2

import (
	"strings"
)

// order is what a client says about when it wants a response (RFC 9218).
type order struct {
	urgency     uint8 // 0..7, the lower the sooner
	incremental bool
	// said tells that the client has spoken. One that has not may expect
	// its responses side by side, as before there were priorities, though
	// RFC 9218 has them one after the other by default.
	said bool
}

const (
	defaultUrgency = 3
	maxUrgency     = 7
)

// inOrder reports whether a response is to be sent in one go.
func (o order) inOrder() bool { return o.said && !o.incremental }

// orderOf reads a Priority field or the value of a PRIORITY_UPDATE frame: a
// dictionary (RFC 8941, 3.2) of which unknown members, and those of another
// type than they should have, are ignored (RFC 9218, 4).
func orderOf(value string) order {
	o := order{urgency: defaultUrgency}
	for value != "" {
		var member string
		member, value, _ = strings.Cut(value, ",")
		member, _, _ = strings.Cut(strings.Trim(member, " \t"), ";")
		switch key, v, _ := strings.Cut(member, "="); key {
		case "u":
			if len(v) == 1 && '0' <= v[0] && v[0] <= '0'+maxUrgency {
				o.urgency, o.said = v[0]-'0', true
			}
		case "i":
			switch v {
			case "", "?1":
				o.incremental, o.said = true, true
			case "?0":
				o.incremental, o.said = false, true
			}
		}
	}
	return o
}

// before reports whether a is served before b: by urgency; what one frame
// can carry before the rest, though not forever; and then one after the
// other or in turns, as the client wants it. Where it wants both, both get
// the same share.
func (c *Conn) before(a, b *stream) bool {
	if a.order.urgency != b.order.urgency {
		return a.order.urgency < b.order.urgency
	}
	if small := a.small(); small != b.small() {
		return small == (c.smalls < maxSmalls)
	}
	if inOrder := a.order.inOrder(); inOrder != b.order.inOrder() {
		return inOrder != c.inOrder
	} else if inOrder {
		return a.id < b.id
	}
	return a.turn < b.turn
}

// maxSmalls is how many small pieces go before a large one that waits.
const maxSmalls = 8

// served notes that s had its turn.
func (c *Conn) served(s *stream, small bool) {
	c.turns++
	s.turn = c.turns
	c.inOrder = s.order.inOrder()
	if small {
		c.smalls++
	} else {
		c.smalls = 0
	}
}
