package http2

import (
	"time"

	"github.com/landfall-cdn/landfall/internal/limits"
)

const (
	// progressBytes is how much content forgives one control frame.
	progressBytes = 4 << 10
	// forgiveEvery is how long it takes for one to be forgiven for nothing:
	// a connection that is kept for days sends PING all the time.
	forgiveEvery = time.Second
	// updatesPerFrame is how many WINDOW_UPDATEs a DATA frame is worth: one
	// for its stream, one for the connection.
	updatesPerFrame = 2
	// maxControl bounds what is queued in answer to control frames, for a
	// client that does not read.
	maxControl = 32 << 10
)

// budget counts what a client may do without anything coming of it: see
// limits.ControlFrames and limits.StreamResets.
type budget struct {
	frames   int       // control frames that nothing came of
	bytes    int       // of content, below progressBytes
	updates  int       // WINDOW_UPDATEs that content has earned
	since    time.Time // when frames were forgiven last
	resets   int       // streams that ended by a reset, less those that ended well
	exceeded *fault
}

// spend takes one control frame.
func (b *budget) spend(lim *limits.Limits, counters *limits.Counters, now time.Time) {
	if b.frames++; b.frames <= lim.ControlFrames || b.exceeded != nil {
		return
	}
	// The clock is only looked at when it matters.
	if forgiven := int(now.Sub(b.since) / forgiveEvery); forgiven > 0 {
		b.frames = max(0, b.frames-forgiven)
		b.since = now
		if b.frames <= lim.ControlFrames {
			return
		}
	}
	counters.Hit(limits.ControlFrames)
	b.exceeded = &fault{enhanceYourCalm, "too many frames that move nothing on"}
}

// progress takes n bytes of content, either way.
func (b *budget) progress(n int) {
	b.bytes += n
	b.frames = max(0, b.frames-b.bytes/progressBytes)
	b.bytes %= progressBytes
}

// flowed takes a DATA frame that a window did not cut short: the client owes
// its WINDOW_UPDATEs to the content.
func (b *budget) flowed(lim *limits.Limits) {
	b.updates = min(b.updates+updatesPerFrame, lim.ControlFrames)
}

// update takes a WINDOW_UPDATE.
func (b *budget) update(lim *limits.Limits, counters *limits.Counters, now time.Time) {
	if b.updates > 0 {
		b.updates--
		return
	}
	b.spend(lim, counters, now)
}

// ended takes a stream that ended well.
func (b *budget) ended() {
	b.frames = max(0, b.frames-1)
	b.resets = max(0, b.resets-1)
}

// reset takes n streams that ended by a reset, whoever sent it.
func (b *budget) reset(n int, lim *limits.Limits, counters *limits.Counters) {
	if b.resets += n; b.resets > lim.StreamResets && b.exceeded == nil {
		counters.Hit(limits.StreamResets)
		b.exceeded = &fault{enhanceYourCalm, "too many streams were reset"}
	}
}
