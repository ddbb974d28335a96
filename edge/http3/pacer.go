package http3

import (
	"time"

	"github.com/landfall-cdn/landfall/edge/wire"
)

// smallWrite is how much quic-go takes at once without waiting for the
// client, on a stream to which nothing else was written: less than a
// packet.
const smallWrite = 1400

// pacer writes to a stream as long as the client keeps the pace.
type pacer struct {
	s    stream
	pace wire.Pace

	sent int64   // bytes the stream took
	owed float64 // bytes it should have taken in the time spent waiting
}

// write writes b, piece by piece as the client takes it. wire.ErrTooSlow
// says that it does not.
func (p *pacer) write(b []byte) error {
	if p.sent == 0 && len(b) <= smallWrite || p.pace.Stall <= 0 {
		n, err := p.s.Write(b)
		p.sent += int64(n)
		return err
	}
	for len(b) > 0 {
		start := time.Now()
		_ = p.s.SetWriteDeadline(start.Add(p.pace.Stall)) // an error shows in Write
		n, err := p.s.Write(b)
		p.sent += int64(n)
		b = b[n:]
		if err == nil {
			return nil
		}
		if !timedOut(err) {
			return err
		}
		p.owed += float64(p.pace.Rate) * time.Since(start).Seconds()
		if n == 0 || float64(p.sent) < p.owed {
			return wire.ErrTooSlow
		}
	}
	return nil
}
