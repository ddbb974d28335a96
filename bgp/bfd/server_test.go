package bfd

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	addrA = netip.MustParseAddr("10.0.0.1")
	addrB = netip.MustParseAddr("10.0.0.2")
)

// fakeSocket is both kinds of socket, in memory.
type fakeSocket struct {
	arrived chan struct{} // holds one when queue may have something
	closed  chan struct{}

	mu    sync.Mutex
	queue []datagram
	hung  bool // packets come and the reader does not learn of it
	reads int
	junk  []byte // there is always another one of these
	fault error  // of send and wait
	peer  func(b []byte)
	sent  []packet
}

type datagram struct {
	from netip.Addr
	b    []byte
}

func newFakeSocket() *fakeSocket {
	return &fakeSocket{arrived: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (f *fakeSocket) put(from netip.Addr, b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, datagram{from, slices.Clone(b)})
	select {
	case f.arrived <- struct{}{}:
	default:
	}
}

func (f *fakeSocket) ready() (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.hung && (len(f.queue) > 0 || f.junk != nil), f.fault
}

func (f *fakeSocket) wait() error {
	for {
		if ok, err := f.ready(); ok || err != nil {
			return err
		}
		select {
		case <-f.arrived:
		case <-f.closed:
			return errors.New("closed")
		}
	}
}

func (f *fakeSocket) read(b []byte) (int, netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.junk != nil {
		return copy(b, f.junk), addrB, nil
	}
	if len(f.queue) == 0 {
		return 0, netip.Addr{}, errEmpty
	}
	d := f.queue[0]
	f.queue = f.queue[1:]
	return copy(b, d.b), d.from, nil
}

func (f *fakeSocket) send(b []byte) error {
	f.mu.Lock()
	p, _ := parse(b)
	f.sent = append(f.sent, p)
	fault, peer := f.fault, f.peer
	f.mu.Unlock()
	if fault == nil && peer != nil {
		peer(b)
	}
	return fault
}

func (f *fakeSocket) change(change func(*fakeSocket)) {
	f.mu.Lock()
	change(f)
	f.mu.Unlock()
	select {
	case f.arrived <- struct{}{}:
	default:
	}
}

func (f *fakeSocket) drops() uint64 { return 3 }
func (f *fakeSocket) close() error  { close(f.closed); return nil }

// end is a server with one peer.
type end struct {
	*Server
	in, out *fakeSocket

	mu      sync.Mutex
	changes []State
}

func newEnd(t *testing.T, peer netip.Addr, changed func(Status)) *end {
	t.Helper()
	e := &end{in: newFakeSocket(), out: newFakeSocket()}
	if changed == nil {
		changed = func(s Status) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.changes = append(e.changes, s.State)
		}
	}
	s, err := New(Config{Peers: []Peer{{Address: peer}}, Changed: changed})
	if err != nil {
		t.Fatal(err)
	}
	s.open = func([]netip.Addr) (*wires, error) {
		return &wires{receivers: []receiver{e.in}, senders: []sender{e.out}}, nil
	}
	e.Server = s
	return e
}

func (e *end) told() []State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.changes)
}

// run runs the server until the returned function is called, which
// returns what Run did.
func (e *end) run(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- e.Run(ctx, func() { close(ready) }) }()
	<-ready
	return func() error { cancel(); return <-ended }
}

// pair returns two servers on one link that are at work, and what stops
// them.
func pair(t *testing.T) (a, b *end, stop func()) {
	t.Helper()
	a, b = newEnd(t, addrB, nil), newEnd(t, addrA, nil)
	a.out.peer = func(p []byte) { b.in.put(addrA, p) }
	b.out.peer = func(p []byte) { a.in.put(addrB, p) }
	stopA, stopB := a.run(t), b.run(t)
	return a, b, func() {
		for _, stop := range []func() error{stopA, stopB} {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
	}
}

func (e *end) status() Status { return e.Status()[0] }

func TestTwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, stop := pair(t)
		time.Sleep(3 * time.Second)
		for _, e := range []*end{a, b} {
			s := e.status()
			if s.State != Up || s.RemoteState != Up || s.Detection != 300*time.Millisecond || s.Interval != DefaultInterval || s.Flaps != 0 {
				t.Errorf("status %+v", s)
			}
			if s.Received == 0 || s.Sent == 0 || s.LargestGap > DefaultInterval || s.LargestGap < DefaultInterval/2 {
				t.Errorf("status %+v", s)
			}
		}

		from := time.Now()
		if err := a.AdminDown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(from); d < 2*DefaultInterval*3/4 || d > 2*DefaultInterval {
			t.Errorf("AdminDown returned after %v, want it after three packets at the pace of the session", d)
		}
		a.out.mu.Lock()
		for _, p := range a.out.sent[len(a.out.sent)-farewells:] {
			if p.state != AdminDown || p.diag != HeldDown {
				t.Errorf("sent %+v", p)
			}
		}
		a.out.mu.Unlock()
		time.Sleep(10 * time.Second)
		if s := b.status(); s.State != Down || s.RemoteState != AdminDown || s.RemoteDiagnostic != HeldDown || s.Diagnostic != NeighborDown || s.Flaps != 1 {
			t.Errorf("the peer's status %+v", s)
		}

		a.Resume()
		time.Sleep(3 * time.Second)
		if got := b.told(); got[len(got)-1] != Up {
			t.Errorf("the peer was told of %v", got)
		}
		stop()
		// Who speaks first is up to the scheduler; a comes from down in any case.
		got := a.told()
		ups := slices.DeleteFunc(got, func(s State) bool { return s == Init })
		if want := []State{Up, AdminDown, Down, Up}; !slices.Equal(ups, want) {
			t.Errorf("told of %v, want %v", ups, want)
		}
		if d := a.Drops(); d.Kernel != 3 || d.Unknown != 0 || d.Merged != 0 {
			t.Errorf("drops %+v after the end", d)
		}
	})
}

func TestWhatWaitsInTheSocketIsReadBeforeASessionIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, stop := pair(t)
		time.Sleep(3 * time.Second)
		// The reader is not run any more; its packets wait.
		a.in.change(func(f *fakeSocket) { f.hung = true })
		time.Sleep(10 * time.Second)
		if s := a.status(); s.State != Up || s.Flaps != 0 {
			t.Errorf("status %+v, want up", s)
		}
		a.in.change(func(f *fakeSocket) { f.hung = false })
		stop()
	})
}

func TestAFloodIsReadAtABoundedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnd(t, addrB, nil)
		stop := e.run(t)
		synctest.Wait()
		e.in.change(func(f *fakeSocket) { f.junk = []byte("junk") })
		time.Sleep(time.Second)
		e.in.change(func(f *fakeSocket) { f.junk = nil })
		synctest.Wait()
		if most := readBudget * int(time.Second/readPause+1); e.in.reads > most || e.in.reads < most/2 {
			t.Errorf("%d reads in a second, want at most %d", e.in.reads, most)
		}
		if s := e.status(); s.Discarded[BadLength] < uint64(e.in.reads)-2 || s.Received != 0 || s.Sent > 2 {
			t.Errorf("%d reads, status %+v", e.in.reads, s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestManyChangesWaitForASlowListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan Status)
		e := newEnd(t, addrB, func(s Status) { slow <- s })
		stop := e.run(t)
		const flips = 2 * maxPending
		for i := range flips {
			p := packet{state: Down, mine: 9, multiplier: 3, minTx: time.Second, minRx: time.Second}
			if i%2 == 1 {
				p.state = AdminDown
			}
			e.in.put(addrB, p.appendTo(nil))
			synctest.Wait()
			time.Sleep(readPause)
		}
		last := e.status()
		var told []Status
		for {
			synctest.Wait()
			select {
			case s := <-slow:
				told = append(told, s)
				continue
			default:
			}
			break
		}
		merged := int(e.Drops().Merged)
		if len(told)+merged != flips || len(told) < maxPending || merged == 0 {
			t.Errorf("told %d times, merged %d, of %d", len(told), merged, flips)
		}
		if told[0].State != Init || told[1].State != Down || told[1].Since.Sub(told[0].Since) != readPause {
			t.Errorf("told of %+v first, then of %+v: want the oldest first and whole", told[0], told[1])
		}
		if got := told[len(told)-1]; got.State != last.State || !got.Since.Equal(last.Since) {
			t.Errorf("the last word was %+v, the session is %+v", got, last)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestPacketsOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, stop := pair(t)
		time.Sleep(3 * time.Second)
		p := packet{state: Down, mine: 9, yours: 12345, multiplier: 3}
		a.in.put(netip.MustParseAddr("10.0.0.3"), p.appendTo(nil))
		a.in.put(addrB, p.appendTo(nil)) // of another session
		synctest.Wait()
		if s, d := a.status(), a.Drops(); s.State != Up || d.Unknown != 1 || s.Discarded[BadYourDiscriminator] != 1 || len(s.Discarded) != 1 {
			t.Errorf("drops %+v, status %+v", d, s)
		}
		stop()
	})
}

func TestSendFailuresAreCountedAndNotMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnd(t, addrB, nil)
		e.out.fault = errors.New("no buffer space")
		stop := e.run(t)
		time.Sleep(10 * time.Second)
		if s := e.status(); s.Failed < 10 || s.Failed > 15 || s.Sent != 0 {
			t.Errorf("status %+v", s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRunFails(t *testing.T) {
	t.Run("without sockets", func(t *testing.T) {
		e := newEnd(t, addrB, nil)
		e.open = func([]netip.Addr) (*wires, error) { return nil, errors.ErrUnsupported }
		if err := e.Run(t.Context(), func() { t.Error("ready") }); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	})
	t.Run("when a socket breaks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := newEnd(t, addrB, nil)
			stop := e.run(t)
			synctest.Wait()
			e.in.change(func(f *fakeSocket) { f.fault = errors.New("broken") })
			synctest.Wait()
			if err := stop(); err == nil || !strings.Contains(err.Error(), "receive: broken") {
				t.Error(err)
			}
		})
	})
}

func TestAdminDownWithoutAListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnd(t, addrB, nil)
		if err := e.AdminDown(t.Context()); err != nil || e.status().State != AdminDown {
			t.Errorf("before Run: %v, %v", err, e.status().State)
		}
		e.Resume()
		stop := e.run(t)
		if err := e.AdminDown(t.Context()); err != nil {
			t.Errorf("with nobody there: %v", err)
		}
		e.Resume()
		// A peer that wants no packets is told of nothing.
		for _, s := range []State{Down, Init} {
			p := packet{state: s, mine: 9, yours: e.sessions[0].mine, multiplier: 255, minTx: time.Minute}
			e.in.put(addrB, p.appendTo(nil))
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.AdminDown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("state %v, error %v", e.status().State, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestAPacketAllocatesNothing is about both ways through a session that
// is up.
func TestAPacketAllocatesNothing(t *testing.T) {
	e := newEnd(t, addrB, nil)
	sink := discardSender{}
	now := time.Now()
	e.timer = time.NewTimer(time.Hour)
	x := e.sessions[0]
	x.sender = sink
	in := packet{state: Down, mine: 9, multiplier: 3, minTx: time.Second, minRx: 1}
	e.deliver(now, addrB, in.appendTo(nil))
	in.state, in.yours, in.poll = Up, x.mine, true
	b := in.appendTo(nil)
	n := testing.AllocsPerRun(1000, func() {
		now = now.Add(100 * time.Millisecond)
		e.deliver(now, addrB, b)
		e.arm(now)
	})
	if s := e.status(); n != 0 || s.State != Up || s.Sent < 1000 {
		t.Errorf("%v allocations for a packet and its answer, status %+v", n, s)
	}
}

type discardSender struct{}

func (discardSender) send([]byte) error { return nil }
func (discardSender) close() error      { return nil }
