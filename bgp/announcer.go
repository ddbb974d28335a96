package bgp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Speaker speaks BGP for the announcer.
type Speaker interface {
	// Run keeps the speaker at work until ctx is done, then ends all
	// sessions and returns; everything announced is gone by then. An
	// error says that it cannot work on this machine as configured. A
	// speaker that broke for good while running is no error: see
	// Status.Down.
	Run(ctx context.Context) error
	// Apply asks for d and does not wait. It refuses what is not the
	// node's to announce and a generation that is not newer than the last.
	Apply(d Desired) error
	// Applied waits until the generation, or a later one, is in force.
	Applied(ctx context.Context, generation uint64) error
	Status() Status
}

// StopTime is how long a Speaker's Run may take to return.
const StopTime = 3 * time.Second

// AnnouncerConfig is what an Announcer needs.
type AnnouncerConfig struct {
	// BGP is valid: its Validate returned nil.
	BGP     Config
	Speaker Speaker
	// Ready is closed when the node can serve its VIPs; nil: it can
	// when Run is called.
	Ready <-chan struct{}
	// Settle is how long the node keeps serving after the withdrawal, so
	// that traffic moves before anything stops; 0 means 1 s, negative none.
	Settle time.Duration
	// WithdrawLimit bounds how long a withdrawal may take to be applied
	// before the speaker is ended instead; 0 means 2 s.
	WithdrawLimit time.Duration
	Log           *zap.Logger           // nil: none
	Registerer    prometheus.Registerer // nil: the metrics are not registered
}

// Announcer announces a node's VIPs while the node is in service. It is
// the last part of a node to start and so the first to stop: the
// withdrawal is over before anything stops accepting.
type Announcer struct {
	// Static after NewAnnouncer.
	cfg AnnouncerConfig

	// Owned by Run.
	generation uint64
}

// NewAnnouncer returns an announcer at rest; it fails when its metrics
// are registered already.
func NewAnnouncer(cfg AnnouncerConfig) (*Announcer, error) {
	if cfg.Settle == 0 {
		cfg.Settle = time.Second
	}
	cfg.Settle = max(cfg.Settle, 0)
	if cfg.WithdrawLimit == 0 {
		cfg.WithdrawLimit = 2 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(NewCollector(cfg.Speaker.Status)); err != nil {
			return nil, fmt.Errorf("bgp metrics: %w", err)
		}
	}
	return &Announcer{cfg: cfg}, nil
}

// StopLimit is how long Run may take to return once its context is done.
func (a *Announcer) StopLimit() time.Duration {
	return a.cfg.WithdrawLimit + a.cfg.Settle + StopTime
}

// Run announces once the node is ready, until ctx is done; then it
// withdraws, waits until the speaker has done so and traffic has moved,
// and ends the speaker. It calls ready as soon as the speaker is
// starting: a node whose routers are away starts all the same.
func (a *Announcer) Run(ctx context.Context, ready func()) error {
	speakerCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- a.cfg.Speaker.Run(speakerCtx) }()
	ready()

	select {
	case err := <-ended:
		return speakerEnded(err)
	case <-ctx.Done():
		stop()
		return <-ended
	case <-a.readyC():
	}
	if err := a.apply(Desired{Announce: a.cfg.BGP.Announcement(Normal, Attrs{})}); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	a.cfg.Log.Info("announcing", zap.Int("prefixes", len(a.cfg.BGP.VIPs)))
	select {
	case err := <-ended:
		return speakerEnded(err)
	case <-ctx.Done():
	}
	if err := a.withdraw(ctx); err != nil {
		// Without its speaker nothing stays announced, so traffic is given
		// the time to move after that.
		a.cfg.Log.Error("withdrawal not confirmed, ending the speaker", zap.Error(err))
		stop()
		err = <-ended
		<-time.After(a.cfg.Settle)
		return err
	}
	<-time.After(a.cfg.Settle)
	stop()
	return <-ended
}

// Status returns what is known of the sessions.
func (a *Announcer) Status() Status { return a.cfg.Speaker.Status() }

func (a *Announcer) withdraw(ctx context.Context) error {
	a.cfg.Log.Info("withdrawing", zap.Int("prefixes", len(a.cfg.BGP.VIPs)))
	if err := a.apply(Desired{Rung: Withdrawn, Message: "node is shutting down"}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.WithdrawLimit)
	defer cancel()
	return a.cfg.Speaker.Applied(ctx, a.generation)
}

func (a *Announcer) apply(d Desired) error {
	a.generation++
	d.Generation = a.generation
	return a.cfg.Speaker.Apply(d)
}

func (a *Announcer) readyC() <-chan struct{} {
	if a.cfg.Ready != nil {
		return a.cfg.Ready
	}
	now := make(chan struct{})
	close(now)
	return now
}

func speakerEnded(err error) error {
	if err == nil {
		return errors.New("the speaker stopped by itself")
	}
	return err
}
