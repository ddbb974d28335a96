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
	// while it does not, the lease is not renewed. It is asked 25 times a
	// second and must return at once. Nil: it works while this process
	// runs.
	Alive func() bool
	// Quarantine is how long the first quarantine of a peer lasts; 0 means
	// 1 minute.
	Quarantine time.Duration
	// Links lists the networks of this machine; nil asks the system.
	Links func() ([]netip.Prefix, error)
	Log   *zap.Logger // nil: none
}

// Client is the data plane's half of the speaker. It implements
// bgp.Speaker.
type Client struct {
	// Static after NewClient.
	cfg    ClientConfig
	wake   chan struct{} // holds a token when there is a new order to send
	repeat []byte        // framed: the order that nothing changed

	// Owned by Run.
	docket *docket
	seen   []bgp.PeerStatus // what the last speaker said in the end; nil: nothing

	// Guarded by mu.
	mu        sync.Mutex
	status    bgp.Status
	desired   bgp.Desired
	without   []netip.Addr
	order     []byte        // both, framed
	edition   uint64        // of order
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
	if cfg.Quarantine == 0 {
		cfg.Quarantine = quarantineFirst
	}
	c := &Client{cfg: cfg, wake: make(chan struct{}, 1), docket: newDocket(cfg.BGP.Peers, cfg.Quarantine), changed: make(chan struct{})}
	for _, p := range cfg.BGP.Peers {
		c.status.Peers = append(c.status.Peers, bgp.PeerStatus{Address: p.Address, ASN: p.ASN})
	}
	var err error
	if c.repeat, err = appendFrame(nil, order{Repeat: true}); err != nil {
		return nil, err
	}
	return c, c.setOrder(c.desired, nil)
}

// Run implements bgp.Speaker. It fails at once when a peer is on no
// network of this machine, or is to be authenticated and cannot be.
func (c *Client) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	var crashes []time.Time // that no peer is to blame for
	for {
		err := c.runOne(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var refusal *refusedError
		if errors.As(err, &refusal) {
			return c.stayDown(ctx, err)
		}
		delay := restartFirst
		if !c.blame(err) {
			if crashes = append(crashes, time.Now()); len(crashes) > crashesMax+1 {
				crashes = crashes[1:]
			}
			var again bool
			if delay, again = backoff(crashes, rand.Float64()); !again {
				return c.stayDown(ctx, fmt.Errorf("ended more than %d times in %v, the last time: %w", crashesMax, crashWindow, err))
			}
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
	var err error
	c.update(func(s *bgp.Status) {
		if d.Generation <= s.WantedGeneration {
			err = fmt.Errorf("apply generation %d: the newest is %d", d.Generation, s.WantedGeneration)
			return
		}
		if err = c.setOrder(d, c.without); err == nil {
			s.WantedGeneration = d.Generation
		}
	})
	c.wakeUp()
	return err
}

// setOrder makes the order for speakers. It is called with mu held.
func (c *Client) setOrder(d bgp.Desired, without []netip.Addr) error {
	frame, err := appendFrame(nil, order{Config: c.cfg.BGP, Desired: d, Without: without})
	if err != nil {
		return fmt.Errorf("apply generation %d: %w", d.Generation, err)
	}
	c.desired, c.without, c.order = d, without, frame
	c.edition++
	return nil
}

func (c *Client) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default: // a token is there
	}
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
