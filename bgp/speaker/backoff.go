package speaker

import "time"

// A speaker that ends is started again, soon at first. A hostile or
// broken router would end it each time, and the speakers of all other
// nodes too, so there is an end to that.
const (
	restartFirst = 100 * time.Millisecond
	restartMax   = 5 * time.Second
	crashWindow  = 10 * time.Minute
	crashesMax   = 5 // within crashWindow; one more and the speaker stays down
)

// backoff decides on the next start from the times of the crashes so far,
// the latest last. Spread is from 0 to 1 and moves the delay by up to a
// quarter either way, so that the nodes of a PoP do not start in step.
func backoff(crashes []time.Time, spread float64) (delay time.Duration, again bool) {
	if len(crashes) == 0 {
		return 0, true
	}
	now := crashes[len(crashes)-1]
	recent := 0
	for _, at := range crashes {
		if now.Sub(at) < crashWindow {
			recent++
		}
	}
	if recent > crashesMax {
		return 0, false
	}
	delay = min(restartFirst<<(recent-1), restartMax)
	return time.Duration(float64(delay) * (0.75 + spread/2)), true
}
