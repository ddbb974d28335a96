package speaker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/bgp"
)

// ClientConfig is what a Client needs.
type ClientConfig struct {
	// BGP is valid: its Validate returned nil.
	BGP bgp.Config
	// Start starts a speaker, for example Self("speaker").
	Start func() (*Process, error)
	// Alive tells whether the data plane works, as seen from outside;
	// while it does not, the lease is not renewed. It is asked 20 times a
	// second and must return at once. Nil: it works while this process
	// runs.
	Alive func() bool
	// Links lists the networks of this machine; nil asks the system.
	Links func() ([]netip.Prefix, error)
	Log   *zap.Logger // nil: none
}

// Client is the data plane's half of the speaker. It implements
// bgp.Speaker.
type Client struct {
	// Static after NewClient.
	cfg  ClientConfig
	wake chan struct{} // holds a token when there is a new order to send

	// Guarded by mu.
	mu        sync.Mutex
	status    bgp.Status
	order     []byte        // framed
	leaseBase uint64        // leases lost by earlier speakers
	changed   chan struct{} // closed and replaced when status changes
}

var _ bgp.Speaker = (*Client)(nil)

// errDown wraps the reason in Status.Down.
var errDown = errors.New("the speaker stays down")

// NewClient returns a client at rest, with nothing to announce. Its
// methods may be called before Run. It fails when the configuration is
// over its bounds.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Alive == nil {
		cfg.Alive = func() bool { return true }
	}
	if cfg.Links == nil {
		cfg.Links = localLinks
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	c := &Client{cfg: cfg, wake: make(chan struct{}, 1), changed: make(chan struct{})}
	c.status.Peers = idlePeers(cfg.BGP)
	var err error
	c.order, err = appendFrame(nil, order{Config: cfg.BGP})
	return c, err
}

// Run implements bgp.Speaker. It fails at once when a peer is on no
// network of this machine, or is to be authenticated and cannot be.
func (c *Client) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	var crashes []time.Time
	for {
		err := c.runOne(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var refusal *refusedError
		if errors.As(err, &refusal) {
			return c.stayDown(ctx, err)
		}
		crashes = append(crashes, time.Now())
		if len(crashes) > crashesMax+1 {
			crashes = crashes[1:]
		}
		delay, again := backoff(crashes, rand.Float64())
		if !again {
			return c.stayDown(ctx, fmt.Errorf("ended more than %d times in %v, the last time: %w", crashesMax, crashWindow, err))
		}
		c.cfg.Log.Error("speaker ended, starting another", zap.Error(err), zap.Duration("delay", delay))
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil
		}
		c.update(func(s *bgp.Status) { s.Restarts++ })
	}
}

// Apply implements bgp.Speaker.
func (c *Client) Apply(d bgp.Desired) error {
	if err := c.cfg.BGP.CheckDesired(d); err != nil {
		return fmt.Errorf("apply generation %d: %w", d.Generation, err)
	}
	frame, err := appendFrame(nil, order{Config: c.cfg.BGP, Desired: d})
	if err != nil {
		return fmt.Errorf("apply generation %d: %w", d.Generation, err)
	}
	c.update(func(s *bgp.Status) {
		if d.Generation <= s.WantedGeneration {
			err = fmt.Errorf("apply generation %d: the newest is %d", d.Generation, s.WantedGeneration)
			return
		}
		c.order, s.WantedGeneration = frame, d.Generation
	})
	select {
	case c.wake <- struct{}{}:
	default: // a token is there
	}
	return err
}

// Applied implements bgp.Speaker.
func (c *Client) Applied(ctx context.Context, generation uint64) error {
	for {
		c.mu.Lock()
		applied, down, changed := c.status.AppliedGeneration, c.status.Down, c.changed
		c.mu.Unlock()
		switch {
		case applied >= generation:
			return nil
		case down != "":
			return fmt.Errorf("%w: %s", errDown, down)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("generation %d is not applied, %d is: %w", generation, applied, ctx.Err())
		}
	}
}

// Status implements bgp.Speaker.
func (c *Client) Status() bgp.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status // Peers is replaced, never changed
}

func (c *Client) check() error {
	links, err := c.cfg.Links()
	if err != nil {
		return fmt.Errorf("list the networks of this machine: %w", err)
	}
	if err := c.cfg.BGP.CheckLinks(links); err != nil {
		return err
	}
	for _, local := range c.cfg.BGP.Listen {
		for i, p := range c.cfg.BGP.Peers {
			if p.Password == "" || p.Address.Is4() != local.Is4() {
				continue
			}
			if err := checkMD5(local, p.Address, p.Password); err != nil {
				return fmt.Errorf("peers[%d]: %w", i, err)
			}
		}
	}
	return nil
}

// stayDown reports why there is no speaker any more. It is no reason to
// end a node that serves well; a human has to look.
func (c *Client) stayDown(ctx context.Context, err error) error {
	c.cfg.Log.Error("speaker stays down until this node is started anew", zap.Error(err))
	c.update(func(s *bgp.Status) { s.Down = err.Error() })
	<-ctx.Done()
	return nil
}

// update changes what is guarded by mu, and wakes who waits for that.
func (c *Client) update(change func(*bgp.Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.status)
	close(c.changed)
	c.changed = make(chan struct{})
}

func idlePeers(cfg bgp.Config) []bgp.PeerStatus {
	out := make([]bgp.PeerStatus, len(cfg.Peers))
	for i, p := range cfg.Peers {
		out[i] = bgp.PeerStatus{Address: p.Address, ASN: p.ASN}
	}
	return out
}

func localLinks() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p)
		}
	}
	return out, nil
}
