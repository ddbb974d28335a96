package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/relay"
	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// mesh is a PoP in memory: nodes that ask one another without a network.
type mesh struct {
	t     *testing.T
	nodes map[affinity.NodeID]*meshNode

	mu sync.Mutex
	// Guarded by mu.
	fetched map[string][]affinity.NodeID // by path: the nodes that asked the origin
	hops    int
	dead    map[affinity.NodeID]bool
}

type meshNode struct {
	*under
	id    affinity.NodeID
	mesh  *mesh
	mu    sync.Mutex
	table *affinity.Table
	since time.Time
}

// newMesh returns n nodes with one site; change may alter it.
func newMesh(t *testing.T, n int, change func(*site.Site)) *mesh {
	t.Helper()
	m := &mesh{t: t, nodes: map[affinity.NodeID]*meshNode{}, fetched: map[string][]affinity.NodeID{}, dead: map[affinity.NodeID]bool{}}
	for i := range n {
		m.add(affinity.NodeID(i+1), change)
	}
	m.view(nil)
	return m
}

func (m *mesh) add(id affinity.NodeID, change func(*site.Site)) {
	shop := &site.Site{Origin: fillFunc(func(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
		m.mu.Lock()
		m.fetched[r.Path] = append(m.fetched[r.Path], id)
		m.mu.Unlock()
		resp, err := answering("from the origin")(ctx, r)
		resp.Endpoint = "one"
		if r.Method != "GET" || r.Query == "?private" {
			resp.Header.Set("cache-control", "no-store")
		}
		return resp, err
	})}
	if change != nil {
		change(shop)
	}
	n := &meshNode{id: id, mesh: m, under: serving(m.t, shop, &site.Site{})}
	n.conf.Pop = &Pop{
		Self: id, Name: "here", Table: n.current, Relay: n,
		Sessions:   sessions.New(limits.Default(), nil, nil),
		CookieKeys: func(string, time.Time) [][32]byte { return [][32]byte{{1}, {2}, {3}} },
	}
	m.nodes[id] = n
}

// view gives every node the table of those in states; nil is all active.
func (m *mesh) view(states map[affinity.NodeID]affinity.State) {
	m.t.Helper()
	var v affinity.View
	for id := range m.nodes {
		state := affinity.Active
		if s, ok := states[id]; ok {
			state = s
		}
		v.Members = append(v.Members, affinity.Member{Node: affinity.Node{ID: id, Name: fmt.Sprint("node-", id)}, L4: state, L7: state})
	}
	for _, n := range m.nodes {
		n.see(m.t, v)
	}
}

func (n *meshNode) see(t *testing.T, v affinity.View) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	next, err := affinity.Build(n.id, v, n.table)
	if err != nil {
		t.Fatal(err)
	}
	n.table, n.since = next, time.Now()
}

func (n *meshNode) current() (*affinity.Table, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.table, n.since
}

// Ask implements Relay: the other node's own path, with a writer that makes
// its answer a response.
func (n *meshNode) Ask(ctx context.Context, to affinity.NodeID, r *exchange.Request) (*exchange.Response, error) {
	m := n.mesh
	m.mu.Lock()
	m.hops++
	other, dead := m.nodes[to], m.dead[to]
	m.mu.Unlock()
	if r.Asked == exchange.AskNothing || to == n.id {
		m.t.Errorf("node %d asks %d for %q", n.id, to, r.Asked)
	}
	if other == nil || dead {
		return nil, &relay.Unreached{Node: to}
	}
	w := &peerWriter{answer: make(chan *exchange.Response, 1)}
	w.body, w.in = io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		other.ServeExchange(ctx, w, r)
		_ = w.in.Close()
		close(w.answer)
	}()
	resp, ok := <-w.answer
	switch {
	case ok:
		return resp, nil
	case w.failed != nil:
		return nil, w.failed
	case w.declined != nil:
		return nil, w.declined
	}
	<-done
	return nil, &exchange.Error{Cause: exchange.ConnectionTerminated, Err: relay.ErrLost}
}

// peerWriter is the other end of an ask.
type peerWriter struct {
	client
	copy     exchange.Copy
	body     *io.PipeReader
	in       *io.PipeWriter
	answer   chan *exchange.Response
	failed   error
	declined error
}

func (w *peerWriter) Head(status int, h exchange.Header, length int64) error {
	w.answer <- &exchange.Response{Status: status, Header: h.Clone(), Length: length, Body: w.body, Copy: &w.copy}
	return nil
}
func (w *peerWriter) Write(p []byte) (int, error) { return w.in.Write(p) }
func (w *peerWriter) Abort()                      { _ = w.in.CloseWithError(errors.New("aborted")) }
func (w *peerWriter) Copy(c exchange.Copy)        { w.copy = c }
func (w *peerWriter) Fail(e *exchange.Error)      { w.failed = e }
func (w *peerWriter) Decline(owner uint8) {
	w.declined = &relay.Declined{Owner: affinity.NodeID(owner)}
}

// fetches returns who asked the origin for a path.
func (m *mesh) fetches(path string) []affinity.NodeID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fetched[path]
}

// alone is the PoP of a node that has no others.
func alone(t testing.TB) *Pop {
	t.Helper()
	self := affinity.Member{Node: affinity.Node{ID: 1, Name: "alone"}, L4: affinity.Active, L7: affinity.Active}
	table, err := affinity.Build(1, affinity.View{Members: []affinity.Member{self}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Pop{
		Self: 1, Table: func() (*affinity.Table, time.Time) { return table, time.Time{} },
		Sessions: sessions.New(limits.Default(), nil, nil),
	}
}

// records is an access log that any number of requests may write to.
type records struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func (r *records) Len() int { return len(r.String()) }

func (r *records) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf.Reset()
}
