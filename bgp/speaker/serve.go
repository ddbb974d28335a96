package speaker

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/bgp"
)

// memoryLimit is what the runtime of a speaker process aims to stay
// under, in bytes. A router that sends a full table exceeds it and slows
// the speaker down; it harms no other process.
const memoryLimit = 256 << 20

// router is a BGP implementation. Its methods are called by one
// goroutine.
type router interface {
	// Start gets ready; it opens no session and announces nothing yet. A
	// refusedError of this or of Open says that no other attempt will do
	// better.
	Start(cfg bgp.Config) error
	// Open opens the session to one of the peers of the configuration.
	Open(p bgp.PeerConfig) error
	// Announce announces to each peer what bgp.Config.ToPeer says, in place
	// of what it announced before for the prefix.
	Announce(prefix netip.Prefix, a announcement) error
	// Withdraw takes back what was announced.
	Withdraw(prefix netip.Prefix, a announcement) error
	// Status returns how many prefixes are in the table, wherever they
	// came from, and the sessions in the order of the configuration.
	Status() (prefixes int, peers []bgp.PeerStatus, err error)
	// Stop ends all sessions, telling the routers why.
	Stop(message string)
}

// announcement is what is announced for one prefix.
type announcement struct {
	bgp.Attrs
	Rung bgp.Rung
}

func (a announcement) equal(b announcement) bool { return a.Rung == b.Rung && a.Attrs.Equal(b.Attrs) }

// refusedError says why the speaker must not work as configured.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

// Needs are the privileges that a speaker process cannot do without.
type Needs struct {
	// Listen is to listen at port 179: some of bgp.Config.Listen is set.
	Listen bool
}

// Main is the speaker process: it serves the orders on standard input
// until they end. Only that ends it: signals to a whole process group or
// control group reach it too, and a drain wants its announcements to go
// in order, not at once. On Linux it first gives away all privileges but
// what it needs, for which it executes its own file again, with the same
// arguments.
func Main(log *zap.Logger, needs Needs) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	if err := confine(needs.Listen); err != nil {
		// Announcing is worth more than a second line of defence.
		log.Error("speaker keeps privileges that it does not need", zap.Error(err))
	}
	debug.SetMemoryLimit(memoryLimit)
	out := os.Stdout
	os.Stdout = os.Stderr // frames alone go to the data plane
	return Serve(os.Stdin, out, log)
}

// Serve follows the orders on in and answers on out until in ends; then
// it ends the sessions and returns. It may be called once in the life of
// a process: GoBGP keeps state in package variables and a goroutine for
// good. Log may be nil.
func Serve(in io.Reader, out io.Writer, log *zap.Logger) error {
	if log == nil {
		log = zap.NewNop()
	}
	return serve(in, out, newGoBGP(log), log)
}

func serve(in io.Reader, out io.Writer, r router, log *zap.Logger) error {
	orders := make(chan order)
	var readErr error // published by the close of orders
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() {
		defer close(orders)
		for {
			var o order
			if readErr = readFrame(in, &o); readErr != nil {
				return
			}
			orders <- o
		}
	})

	s := &server{out: out, router: r, log: log, lease: newLease(), open: map[netip.Addr]bool{}, table: map[netip.Prefix]announcement{}}
	defer s.lease.timer.Stop()
	for {
		select {
		case o, ok := <-orders:
			if !ok {
				return s.stop(readErr)
			}
			s.obey(o)
		case <-s.lease.timer.C:
			if !s.lease.expired(time.Now()) {
				continue
			}
			select {
			case o, ok := <-orders: // select takes any of two that are ready
				if !ok {
					return s.stop(readErr)
				}
				s.obey(o)
			default:
				s.leaseLost()
			}
		}
	}
}

// server is the state of a speaker. Owned by serve.
type server struct {
	out    io.Writer
	router router
	log    *zap.Logger
	lease  *lease

	started    bool
	failed     error               // why the router did not start; not tried again here
	open       map[netip.Addr]bool // the peers that sessions were opened to
	order      order               // the last one that was not a repetition
	message    string
	applied    uint64
	leasesLost uint64
	table      map[netip.Prefix]announcement // what the router announces
}

// obey brings the router to what o says, and reports.
func (s *server) obey(o order) {
	if !s.lease.held && s.leasesLost > 0 {
		s.log.Info("lease renewed")
	}
	s.lease.renew(time.Now())
	s.report(s.apply(o))
}

func (s *server) apply(o order) error {
	if o.Repeat {
		o = s.order
	}
	s.order = o
	if !s.started {
		s.started, s.failed = true, s.start(o.Config)
	}
	if s.failed == nil {
		s.failed = s.openSessions(o)
	}
	if s.failed != nil {
		return s.failed
	}
	if s.applied != 0 && s.applied == o.Desired.Generation {
		return nil
	}
	if err := o.Config.CheckDesired(o.Desired); err != nil {
		return err
	}
	if err := s.reconcile(o.Desired); err != nil {
		return err
	}
	s.applied, s.message = o.Desired.Generation, o.Desired.Message
	return nil
}

// start gets the router ready. There is one attempt in a process; a
// failure is reported until the data plane ends it.
func (s *server) start(cfg bgp.Config) error {
	if err := cfg.Validate(); err != nil {
		return &refusedError{err.Error()}
	}
	if err := s.router.Start(cfg); err != nil {
		s.router.Stop("")
		return fmt.Errorf("start BGP: %w", err)
	}
	return nil
}

// openSessions opens those that are not open, to all peers but the ones
// that the order says to do without.
func (s *server) openSessions(o order) error {
	for _, p := range o.Config.Peers {
		if s.open[p.Address] || slices.Contains(o.Without, p.Address) {
			continue
		}
		if err := s.router.Open(p); err != nil {
			s.router.Stop("")
			return fmt.Errorf("start BGP: %w", err)
		}
		s.open[p.Address] = true
	}
	return nil
}

// reconcile makes the router announce what d says and nothing else.
func (s *server) reconcile(d bgp.Desired) error {
	var errs []error
	for prefix, has := range maps.Clone(s.table) {
		if _, keep := d.Announce[prefix]; keep {
			continue
		}
		if err := s.router.Withdraw(prefix, has); err != nil {
			errs = append(errs, fmt.Errorf("withdraw %s: %w", prefix, err))
			continue
		}
		delete(s.table, prefix)
	}
	for prefix, attrs := range d.Announce {
		want := announcement{Attrs: attrs, Rung: d.Rung}
		if has, ok := s.table[prefix]; ok && has.equal(want) {
			continue
		}
		if err := s.router.Announce(prefix, want); err != nil {
			errs = append(errs, fmt.Errorf("announce %s: %w", prefix, err))
			continue
		}
		s.table[prefix] = want
	}
	return errors.Join(errs...)
}

func (s *server) leaseLost() {
	s.leasesLost++
	s.applied = 0
	s.log.Error("no order for the time of the lease, withdrawing everything", zap.Duration("lease", leaseTime))
	s.report(s.reconcile(bgp.Desired{}))
}

// report tells the data plane how things are. A report that cannot be
// written is lost: orders end too when the data plane is gone, and that
// is what counts.
func (s *server) report(err error) {
	r := report{Applied: s.applied, LeasesLost: s.leasesLost}
	if s.works() {
		var statusErr error
		r.Announced, r.Peers, statusErr = s.router.Status()
		err = errors.Join(err, statusErr)
	}
	if err != nil {
		var refusal *refusedError
		r.Error, r.Refused = err.Error(), errors.As(err, &refusal)
	}
	frame, err := appendFrame(nil, r)
	if err == nil {
		_, err = s.out.Write(frame)
	}
	if err != nil {
		s.log.Warn("report lost", zap.Error(err))
	}
}

// stop ends the sessions. Why the orders ended is an error unless they
// did so between two.
func (s *server) stop(why error) error {
	if s.works() {
		s.router.Stop(s.message)
	}
	if errors.Is(why, io.EOF) {
		return nil
	}
	return why
}

func (s *server) works() bool { return s.started && s.failed == nil }
