package bfd

import (
	"slices"

	"go.uber.org/zap"
)

// maxPending is how many changes of state may wait to be reported. What
// is beyond takes the place of the newest of the same session, so that
// the last word about it is always told.
const maxPending = 256

// change is a change of state that is to be reported.
type change struct {
	before State
	Status
}

// note has a change of state reported, if there was one.
func (s *Server) note(x *session, before State) {
	if x.state == before {
		return
	}
	if before == Up {
		x.flaps++
	}
	c := change{before, x.status()}
	if len(s.pending) >= maxPending {
		for i, p := range slices.Backward(s.pending) {
			if p.Peer == x.peer {
				c.before = p.before
				s.pending = slices.Delete(s.pending, i, i+1)
				s.merged++
				break
			}
		}
	}
	s.pending = append(s.pending, c)
	select {
	case s.waiting <- struct{}{}:
	default: // it will be seen with the one before
	}
}

// report tells of changes in order, until stop is closed and all are told.
func (s *Server) report(stop <-chan struct{}) {
	for {
		select {
		case <-s.waiting:
			s.reportPending()
		case <-stop:
			s.reportPending()
			return
		}
	}
}

func (s *Server) reportPending() {
	s.mu.Lock()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, c := range pending {
		s.logChange(c)
		if s.changed != nil {
			s.changed(c.Status)
		}
	}
}

// logChange logs what an operator has to know: that a session is up, and
// why it is no longer. What else happens somebody on the network can make
// happen as often as they like.
func (s *Server) logChange(c change) {
	level, what := zap.DebugLevel, "BFD session changed"
	switch {
	case c.State == Up:
		level, what = zap.InfoLevel, "BFD session is up"
	case c.State == AdminDown:
		level, what = zap.InfoLevel, "BFD session is held down"
	case c.before == Up:
		level, what = zap.WarnLevel, "BFD session is down"
	}
	s.log.Log(level, what,
		zap.Stringer("peer", c.Peer), zap.Stringer("state", c.State), zap.Stringer("diagnostic", c.Diagnostic),
		zap.Stringer("remote_state", c.RemoteState), zap.Stringer("remote_diagnostic", c.RemoteDiagnostic),
		zap.Duration("detection", c.Detection), zap.Duration("largest_gap", c.LargestGap))
}

// Status returns what is known of each session, in the order of
// Config.Peers.
func (s *Server) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Status, 0, len(s.sessions))
	for _, x := range s.sessions {
		out = append(out, x.status())
	}
	return out
}

// Drops returns what came to no session.
func (s *Server) Drops() Drops {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Drops{Kernel: s.oldDrops, Unknown: s.unknown, Merged: s.merged}
	if s.wires != nil {
		for _, r := range s.wires.receivers {
			d.Kernel += r.drops()
		}
	}
	return d
}

func (x *session) status() Status {
	discarded := map[Discard]uint64{}
	for reason, n := range x.discarded {
		if n > 0 {
			discarded[Discard(reason)] = n
		}
	}
	return Status{
		Peer: x.peer, State: x.state, Since: x.since, Diagnostic: x.diag,
		RemoteState: x.remote.state, RemoteDiagnostic: x.remote.diag,
		Detection: x.detection(), Interval: x.interval(), LargestGap: x.gap,
		Flaps: x.flaps, Received: x.received, Sent: x.sentCount, Failed: x.failed,
		Discarded: discarded,
	}
}
