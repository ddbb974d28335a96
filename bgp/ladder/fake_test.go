package ladder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

// fakeSpeaker has what it is told in force at once, and notes it with the
// time since its making.
type fakeSpeaker struct {
	// Static after newFakeSpeaker.
	applies bool          // desired states are applied
	fails   error         // what Run returns, at once
	end     chan struct{} // closed to end Run by itself
	start   time.Time

	// Guarded by mu.
	mu     sync.Mutex
	log    []string
	status bgp.Status
}

func newFakeSpeaker() *fakeSpeaker {
	return &fakeSpeaker{
		applies: true, end: make(chan struct{}), start: time.Now(),
		status: bgp.Status{Peers: []bgp.PeerStatus{{Address: netip.MustParseAddr("10.0.0.1"), State: bgp.Established}}},
	}
}

func (f *fakeSpeaker) note(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf("%v ", time.Since(f.start))+fmt.Sprintf(format, args...))
}

func (f *fakeSpeaker) Run(ctx context.Context) error {
	if f.fails != nil {
		return f.fails
	}
	select {
	case <-ctx.Done():
	case <-f.end:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("speaker stopped")
	return nil
}

func (f *fakeSpeaker) Apply(d bgp.Desired) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("%s, %d prefixes, %q", d.Rung, len(d.Announce), d.Message)
	f.status.WantedGeneration = d.Generation
	if f.applies {
		f.status.AppliedGeneration = d.Generation
	}
	return nil
}

func (f *fakeSpeaker) Applied(ctx context.Context, _ uint64) error {
	if !f.applies {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (f *fakeSpeaker) Status() bgp.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// seen returns what the speaker was told, without the times.
func (f *fakeSpeaker) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.log...)
}

// testBGP is a configuration of one VIP and one router.
func testBGP() bgp.Config {
	return bgp.Config{
		ASN: 65001, RouterID: netip.MustParseAddr("10.0.0.11"), VIPs: []netip.Prefix{vip},
		Peers: []bgp.PeerConfig{{Address: netip.MustParseAddr("10.0.0.1"), ASN: 64500}},
	}
}

// world is a fleet of announcers with a network between them that delays
// and loses, in virtual time.
type world struct {
	t     *testing.T
	loss  int // of ten messages, how many are lost; static
	nodes []*worldNode
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	rng *rand.Rand
	cut map[[2]uint8]bool // messages between these two are lost
}

// intN draws a number below n.
func (w *world) intN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// worldNode is a node of a world. It implements Fleet.
type worldNode struct {
	*Announcer
	world   *world
	id      uint8
	speaker *fakeSpeaker

	mu  sync.Mutex
	ill map[string]bool // by check
}

func (n *worldNode) set(check string, ill bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ill[check] = ill
}

func (n *worldNode) check(name string, class Class) Check {
	return Check{Name: name, Class: class, Run: func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.ill[name] {
			return errors.New("does not answer")
		}
		return nil
	}}
}

// newWorld starts nodes, each in the PoP that is named. They stop with the
// test's bubble: call close.
func newWorld(t *testing.T, seed uint64, loss int, pops ...string) *world {
	ctx, stop := context.WithCancel(t.Context())
	w := &world{t: t, loss: loss, rng: rand.New(rand.NewPCG(seed, 3)), stop: stop, cut: map[[2]uint8]bool{}}
	for i, pop := range pops {
		n := &worldNode{world: w, id: uint8(i + 1), speaker: newFakeSpeaker(), ill: map[string]bool{}}
		var err error
		n.Announcer, err = New(Config{
			BGP: testBGP(), Speaker: n.speaker, Node: n.id, Name: fmt.Sprintf("%s-%d", pop, n.id), Pop: pop,
			Checks: []Check{n.check("vip", SelfHard), n.check("load", SelfSoft), n.check("uplink", Pop), n.check("origin", Shared)},
			Fleet:  n, Rules: DefaultRules(),
		})
		if err != nil {
			t.Fatal(err)
		}
		w.nodes = append(w.nodes, n)
	}
	for _, n := range w.nodes {
		w.ended.Go(func() {
			if err := n.Run(ctx, func() {}); err != nil {
				t.Errorf("node %d: %v", n.id, err)
			}
		})
	}
	return w
}

func (w *world) close() {
	w.stop()
	w.ended.Wait()
}

// lost tells whether a message between two gets lost, and else takes a while.
func (w *world) lost(a, b uint8) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.IntN(300)) * time.Millisecond, w.cut[[2]uint8{min(a, b), max(a, b)}] || w.rng.IntN(10) < w.loss
}

// each does something with all others at once, after a delay there and
// before one back, as far as messages arrive.
func (n *worldNode) each(ctx context.Context, with func(o *worldNode)) {
	var all sync.WaitGroup
	for _, o := range n.world.nodes {
		if o == n {
			continue
		}
		all.Go(func() {
			for _, leg := range []func(){func() { with(o) }, func() {}} {
				delay, lost := n.world.lost(n.id, o.id)
				select {
				case <-ctx.Done():
					return
				case <-time.After(delay):
				}
				if lost {
					return
				}
				leg()
			}
		})
	}
	all.Wait()
}

func (n *worldNode) Exchange(ctx context.Context, mine Record) []Record {
	var mu sync.Mutex
	var out []Record
	n.each(ctx, func(o *worldNode) {
		o.Hear(mine)
		r := o.Record()
		mu.Lock()
		defer mu.Unlock()
		out = append(out, r)
	})
	return out
}

func (n *worldNode) Ask(ctx context.Context, ask Ask) []Answer {
	var mu sync.Mutex
	var out []Answer
	n.each(ctx, func(o *worldNode) {
		answer := o.Asked(ask)
		mu.Lock()
		defer mu.Unlock()
		out = append(out, answer)
	})
	return out
}

// rungs are those of all nodes, one letter each: n, d, g, w.
func (w *world) rungs() (out string) {
	for _, n := range w.nodes {
		out += n.Status().Rung.String()[:1]
	}
	return out
}
