package scenario

import (
	"context"
	"sync"
	"time"
)

// watch tells all who look at a border's routes when they change.
type watch struct {
	mu sync.Mutex
	// Guarded by mu.
	subscribers []chan time.Time
}

// subscribe returns a channel that gets the time of changes from now on.
func (w *watch) subscribe() <-chan time.Time {
	c := make(chan time.Time, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscribers = append(w.subscribers, c)
	return c
}

func (w *watch) tell(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.subscribers {
		select {
		case <-c: // makes room for the newer
		default:
		}
		c <- at
	}
}

// watch begins to watch every border, before anything happens.
func (a *attempt) watch(ctx context.Context) (all map[string]*watch, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	var stops []func()
	stop = func() {
		cancel()
		telling.Wait()
		for _, s := range stops {
			s()
		}
	}
	all = map[string]*watch{}
	for _, pop := range a.lab.Plan.Pops() {
		changes, end, err := a.lab.WatchRoutes(ctx, pop)
		if err != nil {
			stop()
			return nil, nil, err
		}
		w := &watch{}
		all[pop] = w
		stops = append(stops, end)
		telling.Go(func() {
			for {
				select {
				case at := <-changes:
					w.tell(at)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return all, stop, nil
}
