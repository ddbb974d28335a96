package bfd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// readBudget is how many packets of one socket are read before it has
	// to wait for readPause. The kernel drops and counts what does not
	// fit, so a flood costs a bounded part of one processor.
	readBudget = 64
	readPause  = time.Millisecond
	// drainBudget is how many packets may wait in a socket that is looked
	// at before a session is given up. It is more than the kernel keeps.
	drainBudget = 1024
	// bufferSize is more than the longest packet: its length is one byte.
	bufferSize = 256
)

// receiver is a socket that takes packets of port 3784 at one local
// address and interface.
type receiver interface {
	// wait returns when a packet may be there. It fails once the receiver
	// is closed, or broken for good.
	wait() error
	// read takes a packet that is there and does not wait for one. It
	// fails with errEmpty when there is none.
	read(b []byte) (n int, from netip.Addr, err error)
	// drops counts what the kernel dropped.
	drops() uint64
	close() error
}

// sender is a socket that sends to one peer.
type sender interface {
	// send does not wait and keeps nothing of b.
	send(b []byte) error
	close() error
}

// errEmpty says that no packet is there.
var errEmpty = errors.New("no packet")

// wires are the sockets of all sessions: senders in the order of the
// peers, receivers as many as there are local addresses and interfaces.
type wires struct {
	receivers []receiver
	senders   []sender
}

func (w *wires) close() error {
	var errs []error
	for _, r := range w.receivers {
		errs = append(errs, r.close())
	}
	for _, s := range w.senders {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// session is a machine with its sender and its counters.
type session struct {
	machine
	peer   netip.Addr
	sender sender // nil before Run

	flaps, received, sentCount, failed uint64
	discarded                          [numDiscards]uint64
}

// Server has the sessions with all routers.
type Server struct {
	// Static after New.
	log     *zap.Logger
	changed func(Status)
	open    func(peers []netip.Addr) (*wires, error)
	waiting chan struct{} // holds one when pending may have something

	// Guarded by mu, which is held for no system call that can block.
	mu        sync.Mutex
	sessions  []*session
	wires     *wires      // nil unless Run is at work
	timer     *time.Timer // of Run; fires at the earliest deadline
	buffer    [bufferSize]byte
	out       []byte
	unknown   uint64
	oldDrops  uint64 // of receivers that are closed
	pending   []change
	merged    uint64
	farewells []chan struct{} // closed when every peer was told of AdminDown
}

// New returns a server at rest, its sessions down. It fails when cfg is
// not valid or its metrics are registered already.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("bfd: %w", err)
	}
	s := &Server{
		log: cfg.Log, changed: cfg.Changed, open: openWires,
		waiting: make(chan struct{}, 1), out: make([]byte, 0, packetSize),
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	now := time.Now()
	for _, p := range cfg.Peers {
		s.sessions = append(s.sessions, &session{
			machine: newMachine(p.withDefaults(), s.discriminator(), rand.Float64, now), peer: p.Address,
		})
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(newCollector(s)); err != nil {
			return nil, fmt.Errorf("bfd metrics: %w", err)
		}
	}
	return s, nil
}

// discriminator returns one that is not 0 and not in use. It is random, so
// that only who sees the packets can forge one that a session takes for
// an answer.
func (s *Server) discriminator() uint32 {
	for {
		d := rand.Uint32()
		taken := d == 0
		for _, other := range s.sessions {
			taken = taken || other.mine == d
		}
		if !taken {
			return d
		}
	}
}

// Run opens the sockets, calls ready, and keeps the sessions until ctx is
// done. It fails when a peer is on no network of this machine, when
// somebody else has port 3784, and where there are no such sockets.
//
// It ends without a word to the routers, and they notice within their
// detection time: before a planned end withdraw the routes, then call
// AdminDown. Run is called once.
func (s *Server) Run(ctx context.Context, ready func()) error {
	wires, err := s.open(s.peers())
	if err != nil {
		return fmt.Errorf("bfd: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.NewTimer(0)
	defer timer.Stop()
	s.attach(wires, timer)

	var work sync.WaitGroup
	for _, r := range wires.receivers {
		work.Go(func() {
			if err := s.receive(ctx, r); ctx.Err() == nil {
				cancel(fmt.Errorf("bfd: receive: %w", err))
			}
		})
	}
	reports := make(chan struct{})
	var reporter sync.WaitGroup
	reporter.Go(func() { s.report(reports) })
	ready()
	s.pace(ctx)

	s.detach()
	err = wires.close()
	work.Wait()
	close(reports)
	reporter.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return err
}

func (s *Server) peers() (out []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.sessions {
		out = append(out, x.peer)
	}
	return out
}

func (s *Server) attach(w *wires, timer *time.Timer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wires, s.timer = w, timer
	for i, x := range s.sessions {
		x.sender = w.senders[i]
	}
}

// detach takes the sockets from the sessions, so that they can be closed.
func (s *Server) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.wires.receivers {
		s.oldDrops += r.drops()
	}
	s.wires, s.timer = nil, nil
	for _, x := range s.sessions {
		x.sender = nil
	}
	s.wakeFarewells()
}

// pace does what is due whenever something is.
func (s *Server) pace(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.timer.C:
			s.mu.Lock()
			s.tick(time.Now())
			s.mu.Unlock()
		}
	}
}

// tick steps every session. Before one is given up, what waits in the
// sockets is read: this process may have been kept from running for
// longer than the detection time, and so may its peer not have been.
// Receivers are read under the lock only, so no packet is between its
// socket and its session here.
func (s *Server) tick(now time.Time) {
	for _, x := range s.sessions {
		if due(x.expiry(), now) {
			for _, r := range s.wires.receivers {
				s.take(r, now, drainBudget)
			}
			break
		}
	}
	for _, x := range s.sessions {
		s.step(x, now)
	}
	s.arm(now)
}

// step does what is due in one session.
func (s *Server) step(x *session, now time.Time) {
	before := x.state
	p, send := x.step(now)
	s.note(x, before)
	if !send || x.sender == nil {
		return
	}
	s.out = p.appendTo(s.out[:0])
	if err := x.sender.send(s.out); err != nil {
		x.failed++ // the next one is under way soon; a router that misses them acts
		return
	}
	x.sentCount++
}

// arm sets the timer to the earliest deadline and wakes who waits for the
// end of a farewell.
func (s *Server) arm(now time.Time) {
	var at time.Time
	leaving := false
	for _, x := range s.sessions {
		at = earliest(at, x.deadline())
		leaving = leaving || x.state == AdminDown && x.farewell > 0
	}
	if !leaving {
		s.wakeFarewells()
	}
	switch {
	case s.timer == nil:
	case at.IsZero():
		s.timer.Stop()
	default:
		s.timer.Reset(at.Sub(now))
	}
}

func (s *Server) wakeFarewells() {
	for _, c := range s.farewells {
		close(c)
	}
	s.farewells = nil
}

// receive reads a socket until it is closed.
func (s *Server) receive(ctx context.Context, r receiver) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	for {
		if err := r.wait(); err != nil {
			return err
		}
		s.mu.Lock()
		now := time.Now()
		more := s.take(r, now, readBudget)
		s.arm(now)
		s.mu.Unlock()
		if !more {
			continue
		}
		pause.Reset(readPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take reads up to budget packets and has each do its work. It tells
// whether more may be there.
func (s *Server) take(r receiver, now time.Time, budget int) (more bool) {
	for range budget {
		n, from, err := r.read(s.buffer[:])
		if err != nil {
			return !errors.Is(err, errEmpty)
		}
		s.deliver(now, from, s.buffer[:n])
	}
	return true
}

// deliver gives a packet to its session. That is the one of the sender's
// address; the machine sees to it that Your Discriminator is of the same
// one (RFC 5880 section 6.8.6, RFC 5881 section 3).
func (s *Server) deliver(now time.Time, from netip.Addr, b []byte) {
	x := s.sessionOf(from)
	if x == nil {
		s.unknown++
		return
	}
	before := x.state
	p, discard := parse(b)
	if discard == kept {
		discard = x.receive(now, p)
	}
	if discard != kept {
		x.discarded[discard]++
		return
	}
	x.received++
	s.note(x, before)
	s.step(x, now)
}

func (s *Server) sessionOf(peer netip.Addr) *session {
	for _, x := range s.sessions {
		if x.peer == peer {
			return x
		}
	}
	return nil
}

// AdminDown takes all sessions down on purpose, until Resume, and returns
// when every router was told three times, or ctx is done. It is for a
// planned stop, after the routes were withdrawn: BIRD and FRR drop the
// routes of a router that says so at once, against RFC 5882 section 4.2.
// Without Run at work it tells nobody and does not wait.
func (s *Server) AdminDown(ctx context.Context) error {
	told := make(chan struct{})
	s.each(func(x *session, now time.Time) {
		x.hold(now)
	}, told)
	select {
	case <-told:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("bfd: not every router was told of the stop: %w", ctx.Err())
	}
}

// Resume lets the sessions come up again after AdminDown.
func (s *Server) Resume() {
	s.each(func(x *session, now time.Time) { x.release(now) }, nil)
}

// each applies a change to all sessions and sends what follows from it.
// done, unless nil, is closed once no session has a farewell to send.
func (s *Server) each(change func(*session, time.Time), done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, x := range s.sessions {
		before := x.state
		change(x, now)
		s.note(x, before)
		s.step(x, now)
	}
	if done != nil {
		s.farewells = append(s.farewells, done)
	}
	s.arm(now)
	if s.wires == nil {
		s.wakeFarewells()
	}
}
