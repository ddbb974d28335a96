// Package cache is a shared HTTP cache after RFC 9111, in memory. It owns
// what is stored, the decision whether a stored response may be used, and
// every fill, from the moment a request has missed until the last byte is
// stored: a fill belongs to the store and outlives the request that
// started it.
//
// It knows no network: where a response comes from is the Filler's
// business. And it evaluates no client's conditionals and ranges: it gives
// the whole response back, and what is done with it is the edge's.
//
// The decisions (key, storable, validity, selection, prepare) are pure
// functions with now as an argument. serve.go is a request's way through
// the cache, fill.go a fill's.
package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/internal/limits"
)

const (
	// MinMemory is the smallest usable Config.Memory.
	MinMemory = 1 << 20

	// missMemory is how long a key counts as not shareable after a response
	// that was not; missMemoryFailed is that for a failing origin, where
	// the next answer may well be another.
	missMemory       = 120 * time.Second
	missMemoryFailed = time.Second

	// finishAnyway is what may be missing of a body, in bytes, for its fill
	// to go on after the last reader has left.
	finishAnyway = 256 << 10
)

// Config is what a Store is made from.
type Config struct {
	// Memory bounds the content and the stored fields, in bytes, at least
	// MinMemory. Three quarters are for what is stored; the rest is for
	// fills and for readers of what has been evicted. A response larger
	// than a quarter is not stored.
	Memory int64
	Limits limits.Limits
	// Invalidated is told the keys that an unsafe request has invalidated,
	// once they are invalid here. It is called on the request's way and must
	// not wait. May be nil.
	Invalidated func(keys []string)
	Log         *zap.Logger // nil logs nothing
}

// Store is the cache. Its methods may be called by any number of
// goroutines.
type Store struct {
	// Static after New.
	limits    limits.Limits
	counters  *limits.Counters
	log       *zap.Logger
	met       *metrics
	maxObject int64 // largest body that is stored
	maxWeight int64 // largest resource that is stored
	seed      maphash.Seed

	invalidated func(keys []string)

	// Safe by themselves. marks remembers keys whose responses could not
	// be shared, and until when; known remembers the hashes of those that
	// could, of which only a copy went by. awaited and purges are how far
	// the purges are known, and carried out.
	objects         *otter.Cache[string, *resource]
	marks           *otter.Cache[string, time.Time]
	known           *otter.Cache[uint64, time.Time]
	content         budget
	awaited, purges atomic.Uint64

	// fills counts the goroutines of flights; mu orders its Add against
	// Run's Wait.
	fills sync.WaitGroup

	// mu is taken after no other lock, and before that of a body or of the
	// objects. No hit takes it.
	mu sync.Mutex
	// Guarded by mu.
	ctx     context.Context // that of all fills; nil while Run does not run
	flights map[string][]*flight
	flying  int
	heat    *heat
}

// New returns an empty store that registers its metrics with r, unless r
// is nil. It fills nothing, and passes every miss on, until Run runs.
func New(c Config, counters *limits.Counters, r prometheus.Registerer) (*Store, error) {
	if c.Memory < MinMemory {
		return nil, fmt.Errorf("cache: memory of %d bytes is too little: give at least %d", c.Memory, int64(MinMemory))
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	forMarks := c.Memory / 64 // and as much for what is known to be shareable, and what is hot
	forObjects := c.Memory*3/4 - 3*forMarks
	s := &Store{
		limits:      c.Limits,
		counters:    counters,
		log:         c.Log,
		invalidated: c.Invalidated,
		maxObject:   min(c.Limits.ObjectSize, c.Memory/4),
		maxWeight:   min(forObjects/2, 1<<32-1),
		seed:        maphash.MakeSeed(),
		content:     budget{limit: c.Memory},
		heat:        newHeat(forMarks, time.Now()),
		flights:     make(map[string][]*flight),
	}
	var err error
	if s.met, err = newMetrics(s, r); err != nil {
		return nil, fmt.Errorf("cache: register metrics: %w", err)
	}
	if err = s.furnish(forObjects, forMarks); err != nil {
		return nil, err
	}
	return s, nil
}

// furnish makes what the store keeps things in. All of it does its upkeep on
// the calling goroutine, so that none runs which nobody owns. That allows
// no call of a store from within its callbacks.
func (s *Store) furnish(forObjects, forMarks int64) (err error) {
	inline := func(fn func()) { fn() }
	s.objects, err = otter.New(&otter.Options[string, *resource]{
		MaximumWeight: uint64(forObjects),
		Weigher: func(key string, r *resource) uint32 {
			return uint32(min(r.weight+int64(len(key)), 1<<32-1))
		},
		OnAtomicDeletion: func(e otter.DeletionEvent[string, *resource]) {
			e.Value.drop()
			if e.WasEvicted() {
				s.met.evictions.Inc()
			}
		},
		Executor: inline,
		Logger:   otterLog{s.log},
	})
	if err != nil {
		return fmt.Errorf("cache: memory store: %w", err)
	}
	s.marks, err = otter.New(&otter.Options[string, time.Time]{
		MaximumWeight: uint64(forMarks),
		Weigher:       func(key string, _ time.Time) uint32 { return uint32(len(key) + resourceOverhead) },
		Executor:      inline,
		Logger:        otterLog{s.log},
	})
	if err != nil {
		return fmt.Errorf("cache: miss memory: %w", err)
	}
	s.known, err = otter.New(&otter.Options[uint64, time.Time]{
		MaximumSize: int(forMarks / resourceOverhead),
		Executor:    inline,
		Logger:      otterLog{s.log},
	})
	if err != nil {
		return fmt.Errorf("cache: share memory: %w", err)
	}
	return nil
}

// Run owns the fills. It calls ready once they may start, and returns when
// ctx is done and the last of them has ended; from then on misses are
// passed on again.
func (s *Store) Run(ctx context.Context, ready func()) error {
	s.mu.Lock()
	if s.ctx != nil {
		s.mu.Unlock()
		return errors.New("cache: Run runs already")
	}
	s.ctx = ctx
	s.mu.Unlock()
	ready()
	<-ctx.Done()
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	s.fills.Wait()
	return nil
}

// lookup returns what is stored under key, nil when nothing is.
func (s *Store) lookup(key string) *resource {
	r, _ := s.objects.GetIfPresent(key)
	return r
}

// put stores v in the place of old, which may be nil. The caller holds mu.
func (s *Store) put(key string, v, old *variant) {
	s.objects.Compute(key, func(r *resource, _ bool) (*resource, otter.ComputeOp) {
		if r.newerThan(v, old) {
			return r, otter.CancelOp
		}
		list, left := r.with(v, old, s.limits.VariantsPerKey, s.maxWeight)
		for range left {
			s.counters.Hit(limits.VariantsPerKey)
		}
		return newResource(list), otter.WriteOp
	})
}

// forget removes one variant.
func (s *Store) forget(key string, old *variant) {
	s.objects.ComputeIfPresent(key, func(r *resource) (*resource, otter.ComputeOp) {
		list := r.without(old)
		switch len(list) {
		case len(r.variants):
			return r, otter.CancelOp
		case 0:
			return nil, otter.InvalidateOp
		}
		return newResource(list), otter.WriteOp
	})
}

// mark remembers that responses of a key cannot be shared.
func (s *Store) mark(name string, until time.Time) { s.marks.Set(name, until) }

// marked reports whether requests of a key are not to wait for one
// another.
func (s *Store) marked(name string, now time.Time) bool {
	until, ok := s.marks.GetIfPresent(name)
	if !ok {
		return false
	}
	if now.Before(until) {
		return true
	}
	s.marks.Invalidate(name)
	return false
}

// otterLog passes what the library has to say on.
type otterLog struct{ log *zap.Logger }

// Warn implements otter.Logger.
func (l otterLog) Warn(_ context.Context, msg string, err error) {
	l.log.Warn("memory store: "+msg, zap.Error(err))
}

// Error implements otter.Logger.
func (l otterLog) Error(_ context.Context, msg string, err error) {
	l.log.Error("memory store: "+msg, zap.Error(err))
}
