package issue

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// outbox is the names whose certificates are to be published.
type outbox struct {
	wake chan struct{} // holds one when there is something new

	mu sync.Mutex
	// Guarded by mu.
	names map[string]struct{}
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), names: map[string]struct{}{}}
}

func (o *outbox) add(name string) {
	o.mu.Lock()
	o.names[name] = struct{}{}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take empties the outbox.
func (o *outbox) take() map[string]struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := o.names
	o.names = map[string]struct{}{}
	return names
}

// publish sends what is in the outbox until the run ends. What fails is
// kept for the next check.
func (r *run) publish() {
	if r.issuer.conf.Share == nil {
		return
	}
	tick := time.NewTicker(renewCheck)
	defer tick.Stop()
	failed := map[string]struct{}{}
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.outbox.wake:
		case <-tick.C:
			for name := range failed {
				r.outbox.add(name)
			}
		}
		for name := range r.outbox.take() {
			delete(failed, name)
			if err := r.tell(r.ctx, name); err != nil && r.ctx.Err() == nil {
				failed[name] = struct{}{}
				r.issuer.log.Warn("a certificate did not reach every node of the PoP",
					zap.String("name", name), zap.Error(err), zap.Duration("again_in", renewCheck))
			}
		}
	}
}
