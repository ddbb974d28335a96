package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestHeatAgainstTheTruth: what was added in the last half of the window
// counts, and what is older than the window does not, for keys that are
// not in each other's way.
func TestHeatAgainstTheTruth(t *testing.T) {
	type event struct {
		key string
		at  time.Time
	}
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1000, 0)
		h := newHeat(1<<20, now)
		var events []event
		for range 2000 {
			now = now.Add(time.Duration(rnd.IntN(40)) * time.Millisecond)
			if rnd.IntN(200) == 0 {
				now = now.Add(time.Duration(rnd.IntN(25)) * time.Second)
			}
			e := event{fmt.Sprint("key", rnd.IntN(50)), now}
			events = append(events, e)
			got := h.add(e.key, 1, now)
			least, most := 0, 0
			for _, o := range events {
				if o.key != e.key {
					continue
				}
				if now.Sub(o.at) < hotWindow/heatHalves {
					least++
				}
				if now.Sub(o.at) < hotWindow {
					most++
				}
			}
			if got < least || got > most {
				t.Fatalf("seed %d: %s counts %d, want %d to %d", seed, e.key, got, least, most)
			}
		}
	}
}

func TestHeatTurns(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		name  string
		after time.Duration
		want  int
	}{
		{"at once", 0, 3},
		{"in the next half", 6 * time.Second, 3},
		{"after the window", 10 * time.Second, 1},
		{"long after", time.Hour, 1},
		{"before, by a clock that went back", -time.Hour, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHeat(0, start)
			h.add("key", 2, start.Add(time.Second))
			if got := h.add("key", 1, start.Add(c.after)); got != c.want {
				t.Errorf("counts %d, want %d", got, c.want)
			}
		})
	}
}

func TestHeatSaturates(t *testing.T) {
	now := time.Unix(1000, 0)
	h := newHeat(0, now)
	h.add("key", 10000, now)
	if got := h.add("key", 1, now); got < 255 {
		t.Errorf("counts %d after 10000", got)
	}
}

// TestHeatMistakes: at the rate that the largest sketch is for, hardly a key
// that was asked for once looks hot.
func TestHeatMistakes(t *testing.T) {
	now := time.Unix(1000, 0)
	h := newHeat(maxHeat, now)
	if n := len(h.current) + len(h.last); n > maxHeat {
		t.Errorf("the sketch takes %d bytes, more than %d", n, maxHeat)
	}
	mistaken := 0
	for i := range 200_000 {
		if h.add(fmt.Sprint("key", i), 1, now) >= hotRequests {
			mistaken++
		}
	}
	if mistaken > 200 {
		t.Errorf("%d of 200000 keys look hot and are not", mistaken)
	}
	t.Logf("%d of 200000 mistaken", mistaken)
}
