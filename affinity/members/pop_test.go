package members

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/landfall-cdn/landfall/affinity"
)

// patience bounds waits for what should come; it says nothing about how
// soon that should be.
const patience = time.Minute

var testKey = []byte("0123456789abcdef0123456789abcdef")

// node is a node of a test, on a loopback address of its own.
type node struct {
	*Members
	t      *testing.T
	reg    *prometheus.Registry
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned

	// Guarded by mu.
	mu    sync.Mutex
	views []affinity.View
	moved chan struct{} // closed at the next view
}

func memberOf(id affinity.NodeID) affinity.Member {
	return affinity.Member{
		Node: affinity.Node{ID: id, Name: fmt.Sprintf("node-%d", id)},
		L4:   affinity.Active, L7: affinity.Active, Weight: 1,
		Peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(id)}), 7443),
	}
}

// configOf is of a node that joins others.
func configOf(t *testing.T, id affinity.NodeID, others ...*node) Config {
	c := Config{
		Self: memberOf(id), Pop: "fra", Version: "v1",
		Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 7, byte(id)}), 0),
		Key:    testKey, Log: zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel)),
		Tuning: Tuning{
			ProbeInterval: 400 * time.Millisecond, // a busy machine must not take nodes for dead
			SyncInterval:  500 * time.Millisecond, RejoinFirst: 50 * time.Millisecond, RejoinMost: 400 * time.Millisecond,
		},
	}
	for _, o := range others {
		c.Join = append(c.Join, o.Addr().String())
	}
	return c
}

// start runs a node until the test ends or the node is stopped, and waits
// until it is ready.
func start(t *testing.T, c Config) *node {
	t.Helper()
	n := &node{t: t, reg: prometheus.NewRegistry(), done: make(chan struct{}), moved: make(chan struct{})}
	c.Publish, c.Registerer = n.publish, n.reg
	var err error
	if n.Members, err = Listen(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	ready := make(chan struct{})
	go func() {
		defer close(n.done)
		if err := n.Run(ctx, func() { close(ready) }); err != nil {
			t.Errorf("node %d: %v", c.Self.ID, err)
		}
	}()
	t.Cleanup(n.stop)
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatalf("node %d does not become ready", c.Self.ID)
	}
	return n
}

// stop ends the node as SIGTERM does.
func (n *node) stop() {
	n.cancel()
	<-n.done
}

func (n *node) publish(v affinity.View) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.views = append(n.views, v)
	close(n.moved)
	n.moved = make(chan struct{})
}

// seen returns all views so far and what is closed at the next.
func (n *node) seen() ([]affinity.View, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.views), n.moved
}

// shape writes a view as "1 active, 2 gone": ids and L7 states.
func shape(v affinity.View) string {
	var parts []string
	for _, m := range v.Members {
		parts = append(parts, fmt.Sprintf("%d %s", m.ID, m.L7))
	}
	return strings.Join(parts, ", ")
}

// sees waits until the last view has a shape, and returns it.
func (n *node) sees(want string) affinity.View {
	n.t.Helper()
	limit := time.After(patience)
	for {
		views, moved := n.seen()
		if len(views) > 0 && shape(views[len(views)-1]) == want {
			return views[len(views)-1]
		}
		select {
		case <-moved:
		case <-limit:
			var shapes []string
			for _, v := range views {
				shapes = append(shapes, shape(v))
			}
			n.t.Fatalf("node %d saw %q, want %q at last; problems %q", n.conf.Self.ID, shapes, want, n.Problems())
		}
	}
}

// saw waits until any view so far has had a shape, which need not last, and
// returns the first.
func (n *node) saw(want string) affinity.View {
	n.t.Helper()
	limit := time.After(patience)
	for {
		views, moved := n.seen()
		if i := slices.IndexFunc(views, func(v affinity.View) bool { return shape(v) == want }); i >= 0 {
			return views[i]
		}
		select {
		case <-moved:
		case <-limit:
			n.t.Fatalf("node %d never saw %q; problems %q", n.conf.Self.ID, want, n.Problems())
		}
	}
}

// sawOnly fails unless all views from the one of a generation on had a
// shape.
func (n *node) sawOnly(since uint64, want string) {
	n.t.Helper()
	views, _ := n.seen()
	for _, v := range views {
		if v.Generation >= since && shape(v) != want {
			n.t.Errorf("node %d saw %q as view %d, want %q all the time", n.conf.Self.ID, shape(v), v.Generation, want)
		}
	}
}

// eventually waits for what no view tells of.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("still waiting: %s", what)
		}
	}
}

// complains waits until a problem has all the words.
func (n *node) complains(words ...string) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("node %d complains of %q", n.conf.Self.ID, words), func() bool {
		return slices.ContainsFunc(n.Problems(), func(p string) bool {
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(p, w) })
		})
	})
}

// content waits until the node has no problems.
func (n *node) content() {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("node %d has no problems", n.conf.Self.ID), func() bool { return len(n.Problems()) == 0 })
}

// metric returns a counter or gauge by name and value of its one label.
func (n *node) metric(name, label string) float64 {
	n.t.Helper()
	families, err := n.reg.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	n.t.Fatalf("no metric %s %q", name, label)
	return 0
}

// network can keep nodes from each other.
type network struct {
	// Guarded by mu.
	mu  sync.Mutex
	cut func(from, to netip.AddrPort) bool
}

var errCut = errors.New("dial tcp: the test has cut it")

func (w *network) set(cut func(from, to netip.AddrPort) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

func (w *network) wrap(inner memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
	return &wire{NodeAwareTransport: inner, from: inner.(*transport).addr, network: w}
}

// wire is what one node sends.
type wire struct {
	memberlist.NodeAwareTransport
	from    netip.AddrPort
	network *network
}

func (w *wire) isCut(to string) bool {
	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	return w.network.cut != nil && w.network.cut(w.from, netip.MustParseAddrPort(to))
}

func (w *wire) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if w.isCut(a.Addr) {
		return time.Now(), nil // lost on the way
	}
	return w.NodeAwareTransport.WriteToAddress(b, a)
}

func (w *wire) DialAddressTimeout(a memberlist.Address, limit time.Duration) (net.Conn, error) {
	if w.isCut(a.Addr) {
		return nil, errCut
	}
	return w.NodeAwareTransport.DialAddressTimeout(a, limit)
}
