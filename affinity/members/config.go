package members

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
)

// keySize is the length of Config.Key: AES-256.
const keySize = 32

// Config is what a node needs to be a member of its PoP.
type Config struct {
	// Self is this node, with the states it begins in.
	Self affinity.Member

	// Pop is the name of the PoP, 1 to 64 bytes. Nodes of two PoPs do not
	// hear each other.
	Pop string

	// Version is that of the program, at most 64 bytes.
	Version string

	// Listen is the address that others reach this node at, by UDP and TCP.
	// It must be a specific one, because it is what others are told. With
	// port 0 the system chooses one.
	Listen netip.AddrPort

	// Join are "host:port" of nodes to begin with; a name may have several
	// addresses, and this node may be among them. They are asked until they
	// answer, and again whenever they are not members.
	Join []string

	// Key encrypts and authenticates all that is said, 32 bytes. All nodes of
	// the PoP have the same.
	Key []byte

	// Publish is given whole views, each different from the one before, this
	// node included. One goroutine calls it, from Run; it may take its time.
	// The members are the receiver's.
	Publish func(affinity.View)

	// Sites returns a hash of the sites this node serves, 0 when it does not
	// know; nil is 0. It must not block.
	Sites func() uint64

	// Purges returns how far this node has carried out purges; nil is 0. It
	// must not block.
	Purges func() uint64

	Log        *zap.Logger           // nil: silent
	Registerer prometheus.Registerer // nil: not registered
	Tuning     Tuning                // zero: the defaults

	// wrap stands between tests and the network.
	wrap func(memberlist.NodeAwareTransport) memberlist.NodeAwareTransport
	// lookup is the resolver of tests.
	lookup lookup
}

// Tuning is how fast things are noticed. Zero fields have their defaults;
// all nodes of a PoP should agree on the first three.
//
// A node that stops without a word is out of the views within about 2 s.
// Each node probes one other in each ProbeInterval, in a shuffled order, so
// that of five the silent one is probed after 0.3 s on average and after
// 0.8 s in 99 of 100 cases; the probe ends after a ProbeInterval, 0.2 s;
// then the node is suspected for 3 ProbeIntervals, 0.6 s (0.9 s of 32 nodes,
// 1.2 s of 100), in which it can object; and that it is dead is told within
// two GossipIntervals, 0.1 s. Together 1.2 s, and 1.7 s in 99 of 100 cases.
// Turned round: who cannot run for 0.8 s on end may be taken for dead. It
// objects as soon as it hears of that, and is back within another second.
//
// The data path notices sooner, and more: see Reach.
type Tuning struct {
	ProbeInterval  time.Duration // default 200 ms
	ProbeTimeout   time.Duration // for an answer by UDP, before others and TCP are tried; default 80 ms, at most 2/5 of ProbeInterval
	GossipInterval time.Duration // default 50 ms
	SyncInterval   time.Duration // between exchanges of all that is known, with a random node; default 10 s

	Coalesce time.Duration // changes within it become one view; default 20 ms
	Rise     time.Duration // how long the data path must reach a node again before it is back; default 1 s

	// Quarantine is how long a node that went is listed as gone, and nobody
	// else gets its id; default 60 s.
	Quarantine time.Duration

	JoinWait    time.Duration // Run is ready after it, if the first joins still wait; default 2 s
	JoinTimeout time.Duration // for one address to answer, and one name to resolve; default 2 s
	RejoinFirst time.Duration // between two attempts at an address; doubled up to RejoinMost; default 500 ms
	RejoinMost  time.Duration // default 10 s
	Remember    time.Duration // how long the address of a node that went is tried; default 10 min

	SitesDiffer    time.Duration // until it is a problem that nodes have different sites; default 1 min
	VersionsDiffer time.Duration // until it is a problem that nodes run different versions; default 1 h
}

func (t Tuning) withDefaults() Tuning {
	t.ProbeInterval = cmp.Or(t.ProbeInterval, 200*time.Millisecond)
	t.ProbeTimeout = cmp.Or(t.ProbeTimeout, t.ProbeInterval*2/5)
	t.GossipInterval = cmp.Or(t.GossipInterval, 50*time.Millisecond)
	t.SyncInterval = cmp.Or(t.SyncInterval, 10*time.Second)
	t.Coalesce = cmp.Or(t.Coalesce, 20*time.Millisecond)
	t.Rise = cmp.Or(t.Rise, time.Second)
	t.Quarantine = cmp.Or(t.Quarantine, time.Minute)
	t.JoinWait = cmp.Or(t.JoinWait, 2*time.Second)
	t.JoinTimeout = cmp.Or(t.JoinTimeout, 2*time.Second)
	t.RejoinFirst = cmp.Or(t.RejoinFirst, 500*time.Millisecond)
	t.RejoinMost = cmp.Or(t.RejoinMost, 10*time.Second)
	t.Remember = cmp.Or(t.Remember, 10*time.Minute)
	t.SitesDiffer = cmp.Or(t.SitesDiffer, time.Minute)
	t.VersionsDiffer = cmp.Or(t.VersionsDiffer, time.Hour)
	return t
}

// validate returns all that is wrong, joined.
func (c *Config) validate() error {
	errs := []error{affinity.View{Members: []affinity.Member{c.Self}}.Validate()}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := len(c.Self.Name); n > maxText {
		bad("node name: %d bytes, at most %d", n, maxText)
	}
	if c.Self.Peer.Addr().Zone() != "" {
		bad("peer address: %s has a zone, which means nothing to other nodes", c.Self.Peer)
	}
	if n := len(c.Pop); n == 0 || n > maxText {
		bad("pop name: %d bytes, want 1 to %d", n, maxText)
	}
	if n := len(c.Version); n > maxText {
		bad("version: %d bytes, at most %d", n, maxText)
	}
	switch a := c.Listen.Addr(); {
	case !a.IsValid():
		bad("listen address: missing; give the address that other nodes reach this node at")
	case a.IsUnspecified():
		bad("listen address: %s is every address, and others are told where to reach this node: give one", c.Listen)
	case a.IsMulticast() || a.Zone() != "":
		bad("listen address: %s cannot be used; give an address of this node without a zone", c.Listen)
	}
	if len(c.Key) != keySize {
		bad("key: %d bytes, want %d", len(c.Key), keySize)
	}
	if c.Publish == nil {
		bad("publish: missing")
	}
	for _, join := range c.Join {
		if _, err := parseSeed(join); err != nil {
			errs = append(errs, err)
		}
	}
	if t := c.Tuning; t.ProbeTimeout > t.ProbeInterval*2/5 {
		bad("probe timeout: %v is more than 2/5 of the probe interval %v, and leaves others no time to try", t.ProbeTimeout, t.ProbeInterval)
	}
	return errors.Join(errs...)
}

// seed is where a node to begin with may be.
type seed struct {
	host string // a name or an address
	port uint16
}

func (s seed) String() string { return net.JoinHostPort(s.host, strconv.Itoa(int(s.port))) }

func parseSeed(text string) (seed, error) {
	host, port, err := net.SplitHostPort(text)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || n == 0 || host == "" {
		return seed{}, fmt.Errorf(`join: %q is no address of a node; write "host:port"`, text)
	}
	return seed{host: host, port: uint16(n)}, nil
}
