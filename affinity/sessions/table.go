package sessions

import (
	"hash/maphash"
	"sync"
	"time"
	"unique"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// shardCount is a power of two, and many more than the processors that
// touch a session at once.
const shardCount = 64

// Table remembers the sessions that this node has served lately, and the
// endpoint each is on. Sessions are told apart by a keyed hash of 64 bits,
// so that no client can aim at another's. Its methods may be called by any
// number of goroutines.
type Table struct {
	// Static after New.
	seed     maphash.Seed
	start    time.Time
	idle     time.Duration
	capacity int // of one generation of one shard
	counters *limits.Counters
	met      *metrics

	shards [shardCount]shard
}

// shard holds a share of the sessions in two generations: those used since
// the last turn, and those used between that and the one before. What has
// not been used for a whole generation goes when the shard turns: so the
// least recently used make room, without a list of them.
type shard struct {
	mu sync.Mutex
	// Guarded by mu.
	young, old map[uint64]entry
	turned     time.Duration // when young was begun, since Table.start
}

// entry is one session.
type entry struct {
	endpoint unique.Handle[string]
	used     time.Duration // since Table.start
}

// New returns an empty table that holds at most l.Sessions sessions, each
// for l.SessionIdle after its last use. It registers its metrics with r,
// unless r is nil. counters may be nil.
func New(l limits.Limits, counters *limits.Counters, r prometheus.Registerer) *Table {
	t := &Table{
		seed: maphash.MakeSeed(), start: time.Now(), idle: l.SessionIdle,
		capacity: max(1, l.Sessions/(2*shardCount)), counters: counters,
	}
	t.met = newMetrics(t, r)
	for i := range t.shards {
		t.shards[i].young, t.shards[i].old = make(map[uint64]entry), make(map[uint64]entry)
	}
	return t
}

// Touch notes that a session is used now, if it is held. It returns the
// endpoint that the session is on, "" when none was named.
func (t *Table) Touch(session string, now time.Time) (endpoint string, held bool) {
	h, s, at := t.find(session, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, held := s.get(h, at, t.idle)
	if !held {
		return "", false
	}
	t.put(s, h, entry{e.endpoint, max(at, e.used)}, at)
	return e.endpoint.Value(), true
}

// Hold notes that a session is used now, here and at this endpoint.
func (t *Table) Hold(session, endpoint string, now time.Time) {
	h, s, at := t.find(session, now)
	e := entry{unique.Make(endpoint), at}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, held := s.get(h, at, t.idle); !held {
		t.met.begun.Inc()
	}
	t.put(s, h, e, at)
}

// Held reports whether a session is held, and does not count as a use.
func (t *Table) Held(session string, now time.Time) bool {
	h, s, at := t.find(session, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, held := s.get(h, at, t.idle)
	return held
}

// Forget gives a session up: another node has it now.
func (t *Table) Forget(session string) {
	h, s, _ := t.find(session, t.start)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, h)
	delete(s.old, h)
}

// Clear gives all sessions up.
func (t *Table) Clear() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		clear(s.young)
		clear(s.old)
		s.mu.Unlock()
	}
}

// Len forgets the sessions that have been idle for too long, and returns
// how many are held. It looks at every one.
func (t *Table) Len(now time.Time) int {
	n, at := 0, now.Sub(t.start)
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		t.sweep(s.young, at)
		t.sweep(s.old, at)
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}

func (t *Table) sweep(generation map[uint64]entry, at time.Duration) {
	for h, e := range generation {
		if at-e.used >= t.idle {
			delete(generation, h)
			t.counters.Hit(limits.SessionIdle)
		}
	}
}

func (t *Table) find(session string, now time.Time) (h uint64, s *shard, at time.Duration) {
	h = maphash.String(t.seed, session)
	return h, &t.shards[h%shardCount], now.Sub(t.start)
}

// get returns a session that has been used within idle. The caller holds mu.
func (s *shard) get(h uint64, at, idle time.Duration) (entry, bool) {
	e, ok := s.young[h]
	if !ok {
		e, ok = s.old[h]
	}
	return e, ok && at-e.used < idle
}

// put makes a session one of the young. The caller holds mu.
func (t *Table) put(s *shard, h uint64, e entry, at time.Duration) {
	if _, ok := s.young[h]; !ok && (len(s.young) >= t.capacity || at-s.turned >= t.idle) {
		t.turn(s, at)
	}
	delete(s.old, h)
	s.young[h] = e
}

// turn forgets the old generation and begins a young one. The caller holds
// mu.
func (t *Table) turn(s *shard, at time.Duration) {
	for _, e := range s.old {
		if at-e.used < t.idle {
			t.counters.Hit(limits.Sessions)
			t.met.crowded.Inc()
		} else {
			t.counters.Hit(limits.SessionIdle)
		}
	}
	clear(s.old)
	s.young, s.old = s.old, s.young
	s.turned = at
}
