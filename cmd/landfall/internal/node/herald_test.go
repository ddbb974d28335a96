package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// heralding returns a herald that runs to the end of the test.
func heralding(t *testing.T, tell func(ctx context.Context, payload []byte) error) *herald {
	t.Helper()
	h := &herald{tell: tell, limit: time.Second, untold: prometheus.NewCounter(prometheus.CounterOpts{Name: "x"}), wake: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = h.Run(ctx, func() {}) }()
	t.Cleanup(func() { cancel(); <-ended })
	return h
}

// TestWhatGathersIsToldTogether: while one telling is on its way, others
// wait for the next, all of them for the same one. Each is told twice.
func TestWhatGathersIsToldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told [][]string
		h := heralding(t, func(_ context.Context, payload []byte) error {
			var keys []string
			if err := json.Unmarshal(payload, &keys); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond) // of virtual time
			mu.Lock()
			defer mu.Unlock()
			told = append(told, keys)
			return nil
		})
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				key := fmt.Sprint("shop https://shop.example/", i)
				h.announce([]string{key})
				mu.Lock()
				defer mu.Unlock()
				if !slices.ContainsFunc(told, func(keys []string) bool { return slices.Contains(keys, key) }) {
					t.Errorf("the client of %s was answered before the nodes were told", key)
				}
			})
		}
		all.Wait()
		if len(told) != 4 || len(told[0]) != 1 || len(told[3]) != 49 || !slices.Equal(told[2], told[3]) {
			t.Errorf("%d tellings", len(told))
		}
	})
}

// TestNodesThatDoNotListen: a client waits for them no longer than the
// limit, and what they were not told is counted.
func TestNodesThatDoNotListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := heralding(t, func(ctx context.Context, _ []byte) error { <-ctx.Done(); return ctx.Err() })
		began := time.Now()
		h.announce([]string{"a", "b"})
		if took := time.Since(began); took != h.limit {
			t.Errorf("waited for %v", took)
		}
		if n := testutil.ToFloat64(h.untold); n != 2 {
			t.Errorf("%v keys are counted", n)
		}
	})
}

// TestMessagesAreBounded: many long keys go in several messages.
func TestMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that no machine is too slow for the limit
		var sizes []int
		h := heralding(t, func(_ context.Context, payload []byte) error { sizes = append(sizes, len(payload)); return nil })
		keys := slices.Repeat([]string{strings.Repeat(`"<`, 4<<10)}, 40)
		h.announce(keys)
		if len(sizes) != 20 || slices.Max(sizes) > 256<<10 {
			t.Errorf("messages of %v bytes", sizes)
		}
	})
}
