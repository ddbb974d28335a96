package bfd

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Bounds and defaults of a Peer.
const (
	// MaxPeers is how many sessions a Server has at most.
	MaxPeers = 16
	// MinInterval and MaxInterval bound Peer.TX and Peer.RX. Below the
	// least a process that waits for its turn is taken for dead.
	MinInterval = 10 * time.Millisecond
	MaxInterval = 30 * time.Second
	// DefaultInterval and DefaultMultiplier notice a silent peer after
	// 300 ms. On a machine that does not get its processor when it needs
	// it 300 ms instead of 100 ms is wiser.
	DefaultInterval   = 100 * time.Millisecond
	DefaultMultiplier = 3
)

// Config is what a Server needs.
type Config struct {
	// Peers are the routers, one session each, at most MaxPeers.
	Peers []Peer
	// Changed is told of every change of state, one after the other and
	// in order, by one goroutine; nil: nobody is. It may call the Server,
	// and should not take long: while it does, changes of a session that
	// has many are merged into its newest.
	Changed    func(Status)
	Log        *zap.Logger           // nil: none
	Registerer prometheus.Registerer // nil: the metrics are not registered
}

// Peer is one router, on a network of this machine.
type Peer struct {
	// Address is not link-local: BGP is not spoken there either.
	Address netip.Addr
	// TX is how often to send once the session is up, if the router takes
	// that many; 0 means DefaultInterval.
	TX time.Duration
	// RX is how often the router may send; 0 means TX.
	RX time.Duration
	// Multiplier is how many packets in a row the router has to miss
	// before it gives this node up; 0 means DefaultMultiplier.
	Multiplier uint8
}

func (p Peer) withDefaults() Peer {
	if p.TX == 0 {
		p.TX = DefaultInterval
	}
	if p.RX == 0 {
		p.RX = p.TX
	}
	if p.Multiplier == 0 {
		p.Multiplier = DefaultMultiplier
	}
	return p
}

// Validate returns everything that is wrong with c, nil when nothing is.
// It looks at no interface: Run does.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Peers) == 0 {
		errs = append(errs, errors.New("peers: missing; name at least one router"))
	}
	if len(c.Peers) > MaxPeers {
		errs = append(errs, fmt.Errorf("peers: %d, at most %d", len(c.Peers), MaxPeers))
	}
	seen := make(map[netip.Addr]int, len(c.Peers))
	for i, p := range c.Peers {
		if err := p.withDefaults().validate(); err != nil {
			errs = append(errs, fmt.Errorf("peers[%d]: %w", i, err))
		}
		if first, dup := seen[p.Address]; dup {
			errs = append(errs, fmt.Errorf("peers[%d]: %s is peers[%d] again", i, p.Address, first))
			continue
		}
		seen[p.Address] = i
	}
	return errors.Join(errs...)
}

func (p Peer) validate() error {
	var errs []error
	switch a := p.Address; {
	case !a.IsValid():
		errs = append(errs, errors.New("address: missing; give the router's address"))
	case a.Is4In6():
		errs = append(errs, fmt.Errorf("address: %s is IPv4 in IPv6 form; write it as IPv4", a))
	case a.IsLinkLocalUnicast() || a.Zone() != "":
		errs = append(errs, fmt.Errorf("address: %s is link-local; use the router's global or private address", a))
	case a.IsUnspecified() || a.IsMulticast():
		errs = append(errs, fmt.Errorf("address: %s is not the address of a router", a))
	}
	for _, interval := range []struct {
		name string
		d    time.Duration
	}{{"tx", p.TX}, {"rx", p.RX}} {
		if d := interval.d; d < MinInterval || d > MaxInterval || d%time.Microsecond != 0 {
			errs = append(errs, fmt.Errorf("%s: %v; want %v to %v in whole microseconds", interval.name, d, MinInterval, MaxInterval))
		}
	}
	return errors.Join(errs...)
}
