package speaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/bgp"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func config() bgp.Config {
	return bgp.Config{
		ASN: 65001, RouterID: netip.MustParseAddr("10.0.0.11"),
		VIPs:  []netip.Prefix{prefix("198.51.100.10/32"), prefix("192.0.2.0/24")},
		Peers: []bgp.PeerConfig{{Address: netip.MustParseAddr("10.0.0.1"), ASN: 64500}},
	}
}

func links() ([]netip.Prefix, error) { return []netip.Prefix{prefix("10.0.0.11/24")}, nil }

// fakeRouter is a router whose table can be looked at.
type fakeRouter struct {
	// Static after the order that starts it.
	startErr  error
	announces error         // what Announce returns
	hang      chan struct{} // Announce waits for it; nil: it does not
	obeys     int           // it does not for so many changes

	// Guarded by mu.
	mu      sync.Mutex
	started int
	opened  []netip.Addr
	table   map[netip.Prefix]bgp.Attrs
	changes int
	stopped bool
	message string
}

func (r *fakeRouter) Start(bgp.Config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started++
	r.table = map[netip.Prefix]bgp.Attrs{}
	return r.startErr
}

func (r *fakeRouter) Open(p bgp.PeerConfig) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = append(r.opened, p.Address)
	return nil
}

func (r *fakeRouter) Announce(p netip.Prefix, a announcement) error {
	if _, changes := r.count(); r.hang != nil && changes >= r.obeys {
		<-r.hang
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.announces != nil {
		return r.announces
	}
	r.table[p] = a.Attrs
	r.changes++
	return nil
}

func (r *fakeRouter) Withdraw(p netip.Prefix, _ announcement) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.table[p]; !ok {
		return fmt.Errorf("%s is not announced", p)
	}
	delete(r.table, p)
	r.changes++
	return nil
}

func (r *fakeRouter) Status() (int, []bgp.PeerStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.table), []bgp.PeerStatus{{Address: netip.MustParseAddr("10.0.0.1"), ASN: 64500, State: bgp.Established}}, nil
}

func (r *fakeRouter) Stop(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped, r.message = true, message
	clear(r.table)
}

// view returns a copy of the table.
func (r *fakeRouter) view() map[netip.Prefix]bgp.Attrs {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.table)
}

// sessions returns the peers that sessions were opened to.
func (r *fakeRouter) sessions() []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.opened)
}

func (r *fakeRouter) count() (prefixes, changes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.table), r.changes
}

func (r *fakeRouter) end() (stopped bool, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped, r.message
}

var errKilled = errors.New("killed")

// process runs a speaker in memory over r.
func process(r *fakeRouter) *Process {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	errR, errW := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := serve(inR, outW, r, zap.NewNop())
		outW.Close()
		errW.Close()
		ended <- err
	}()
	var once sync.Once
	return &Process{
		PID: 1, Stdin: inW, Stdout: outR, Stderr: errR,
		Kill: func() error {
			once.Do(func() {
				inR.CloseWithError(errKilled)
				outR.Close() // of the reader: what the child still writes is lost
				outW.Close()
				if r.hang != nil {
					close(r.hang)
				}
			})
			return nil
		},
		Wait: func() error { return <-ended },
	}
}

// bench is a running client whose speakers are in memory.
type bench struct {
	// Static after newBench.
	client *Client
	stop   func() error // ends the client and returns what its Run did

	// Guarded by mu.
	mu        sync.Mutex
	dead      bool // the data plane does not work
	routers   []*fakeRouter
	processes []*Process
	starts    []time.Time
}

// newBench runs a client; prepare, if any, breaks the nth speaker,
// counting from 0, before it starts, or fails its start.
func newBench(t *testing.T, prepare func(n int, r *fakeRouter) error) *bench {
	t.Helper()
	b := &bench{}
	var err error
	b.client, err = NewClient(ClientConfig{BGP: config(), Links: links, Alive: b.alive, Start: func() (*Process, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		r := &fakeRouter{}
		b.starts = append(b.starts, time.Now())
		if prepare != nil {
			if err := prepare(len(b.starts)-1, r); err != nil {
				return nil, err
			}
		}
		p := process(r)
		b.routers, b.processes = append(b.routers, r), append(b.processes, p)
		return p, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- b.client.Run(ctx) }()
	b.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return b
}

func (b *bench) alive() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.dead
}

func (b *bench) setDead(dead bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = dead
}

// last returns the newest speaker.
func (b *bench) last() (*fakeRouter, *Process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.routers[len(b.routers)-1], b.processes[len(b.processes)-1]
}

func (b *bench) startTimes() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]time.Time(nil), b.starts...)
}

// announce applies the generation with all VIPs and waits for it.
func (b *bench) announce(t *testing.T, generation uint64) {
	t.Helper()
	cfg := config()
	b.apply(t, bgp.Desired{Generation: generation, Announce: cfg.Announcement(bgp.Normal, bgp.Attrs{})})
}

// apply applies d and waits for it.
func (b *bench) apply(t *testing.T, d bgp.Desired) {
	t.Helper()
	if err := b.client.Apply(d); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.client.Applied(ctx, d.Generation); err != nil {
		t.Fatal(err)
	}
}

// pass lets virtual time go by, then lets everybody finish.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
