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
	"sync"
	"syscall"

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
	// Start opens the sessions; it announces nothing yet. A refusedError
	// says that no other attempt will do better.
	Start(cfg bgp.Config) error
	Announce(prefix netip.Prefix, attrs bgp.Attrs) error
	Withdraw(prefix netip.Prefix, attrs bgp.Attrs) error
	// Status returns how many prefixes are in the table, wherever they
	// came from, and the sessions in the order of the configuration.
	Status() (prefixes int, peers []bgp.PeerStatus, err error)
	// Stop ends all sessions, telling the routers why.
	Stop(message string)
}

// refusedError says why the speaker must not work as configured.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

// Main is the speaker process: it serves the orders on standard input
// until they end. Only that ends it: signals to a whole process group or
// control group reach it too, and a drain wants its announcements to go
// in order, not at once.
func Main(log *zap.Logger) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
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

	s := &server{out: out, router: r, log: log, lease: newLease(), table: map[netip.Prefix]bgp.Attrs{}}
	defer s.lease.timer.Stop()
	for {
		select {
		case o, ok := <-orders:
			if !ok {
				s.stop()
				if errors.Is(readErr, io.EOF) {
					return nil
				}
				return readErr
			}
			s.obey(o)
		case <-s.lease.timer.C:
			if s.lease.expired() {
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
	failed     error // why the router did not start; not tried again here
	message    string
	applied    uint64
	leasesLost uint64
	table      map[netip.Prefix]bgp.Attrs // what the router announces
}

// obey brings the router to what o says, and reports.
func (s *server) obey(o order) {
	if !s.lease.held && s.leasesLost > 0 {
		s.log.Info("lease renewed")
	}
	s.lease.renew()
	s.report(s.apply(o))
}

func (s *server) apply(o order) error {
	if !s.started {
		s.started, s.failed = true, s.start(o.Config)
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
	if err := s.reconcile(o.Desired.Announce); err != nil {
		return err
	}
	s.applied, s.message = o.Desired.Generation, o.Desired.Message
	return nil
}

// start opens the sessions. There is one attempt in a process; a failure
// is reported until the data plane ends it.
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

// reconcile makes the router announce want and nothing else.
func (s *server) reconcile(want map[netip.Prefix]bgp.Attrs) error {
	var errs []error
	for prefix, attrs := range maps.Clone(s.table) {
		if _, keep := want[prefix]; keep {
			continue
		}
		if err := s.router.Withdraw(prefix, attrs); err != nil {
			errs = append(errs, fmt.Errorf("withdraw %s: %w", prefix, err))
			continue
		}
		delete(s.table, prefix)
	}
	for prefix, attrs := range want {
		if has, ok := s.table[prefix]; ok && has.Equal(attrs) {
			continue
		}
		if err := s.router.Announce(prefix, attrs); err != nil {
			errs = append(errs, fmt.Errorf("announce %s: %w", prefix, err))
			continue
		}
		s.table[prefix] = attrs
	}
	return errors.Join(errs...)
}

func (s *server) leaseLost() {
	s.leasesLost++
	s.applied = 0
	s.log.Error("no order for the time of the lease, withdrawing everything", zap.Duration("lease", leaseTime))
	s.report(s.reconcile(nil))
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

func (s *server) stop() {
	if s.works() {
		s.router.Stop(s.message)
	}
}

func (s *server) works() bool { return s.started && s.failed == nil }
