// Package node puts one node together: it turns the node file and the site
// documents into the parts' own configurations, starts the parts in order
// and stops them in reverse. It is the only place that knows them all.
package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/edge"
	"github.com/landfall-cdn/landfall/edge/front"
	"github.com/landfall-cdn/landfall/internal/admin"
	"github.com/landfall-cdn/landfall/internal/group"
	"github.com/landfall-cdn/landfall/internal/health"
	"github.com/landfall-cdn/landfall/internal/limits"
	"github.com/landfall-cdn/landfall/internal/obs"
	"github.com/landfall-cdn/landfall/origin"
	"github.com/landfall-cdn/landfall/tls/certs"
	"github.com/landfall-cdn/landfall/tls/certs/issue"
	"github.com/landfall-cdn/landfall/tls/certs/local"
	"github.com/landfall-cdn/landfall/tls/policy"
	"github.com/landfall-cdn/landfall/tls/tickets"
)

// Options are what a node file does not say.
type Options struct {
	Log *zap.Logger
	// Fallback names the site for clients without SNI, "" for none.
	Fallback string
	// Before are parts to start ahead of the node's own.
	Before []group.Part
	// Started is called once everything serves. May be nil.
	Started func()
}

// Node is a node that was put together and holds its sockets.
type Node struct {
	// Static after New.
	conf     *configs.Node
	opts     Options
	log      *zap.Logger
	metrics  *prometheus.Registry
	counters *limits.Counters
	checks   *health.Set

	access    *obs.AccessLog
	authority *local.Authority
	issuer    *issue.Issuer
	certs     *certs.Manager
	policy    *policy.Policy
	store     *cache.Store
	edge      *edge.Server
	front     *front.Front
	admin     *admin.Server
	sites     *sites
	announcer *announcer // nil without bgp

	draining atomic.Bool
}

// New opens what a node needs: folders, keys, sockets. An error says what
// an operator can do; nothing is left open then.
func New(conf *configs.Node, opts Options) (*Node, error) {
	n := &Node{
		conf: conf, opts: opts, log: opts.Log,
		metrics:  prometheus.NewRegistry(),
		counters: &limits.Counters{},
		checks:   &health.Set{},
	}
	n.metrics.MustRegister(n.counters, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []func() error{n.openState, n.openTLS, n.openPath, n.openSites, n.openBGP, n.openSockets} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *Node) openState() (err error) {
	if err := os.MkdirAll(n.conf.State, 0o700); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if n.access, err = obs.OpenAccess(n.conf.Log.Access); err != nil {
		return err
	}
	promauto.With(n.metrics).NewCounterFunc(prometheus.CounterOpts{
		Name: "landfall_access_log_lost_total", Help: "Access records that could not be written.",
	}, func() float64 { lost, _ := n.access.Lost(); return float64(lost) })
	n.checks.Report("access log", func() []string {
		if lost, err := n.access.Lost(); err != nil {
			return []string{fmt.Sprintf("%d records are lost: %v", lost, err)}
		}
		return nil
	})
	return nil
}

func (n *Node) openTLS() error {
	ring, err := tickets.New(tickets.Config{})
	if err != nil {
		return err
	}
	if n.authority, err = local.Open(filepath.Join(n.conf.State, "ca"), time.Now()); err != nil {
		return err
	}
	issue.SetProcessDefaults(n.log.Named("acme"), "landfall")
	if n.issuer, err = n.newIssuer(); err != nil {
		return err
	}
	n.certs = certs.New(certs.Config{Authority: n.authority, Issuer: n.issuer, Log: n.log.Named("certs"), Registerer: n.metrics})
	n.policy = policy.New(policy.Config{Tickets: ring, Challenges: n.issuer, Registerer: n.metrics})
	return nil
}

func (n *Node) newIssuer() (*issue.Issuer, error) {
	c := issue.Config{
		Storage:    filepath.Join(n.conf.State, "acme"),
		Directory:  n.conf.ACME.Directory.String(),
		RootFile:   n.conf.ACME.CARoot,
		Email:      n.conf.ACME.Email,
		NoHTTP:     len(n.conf.Listen.HTTP) == 0,
		NoTLSALPN:  len(n.conf.Listen.HTTPS) == 0,
		Log:        n.log,
		Registerer: n.metrics,
	}
	if eab := n.conf.ACME.EAB; eab != nil {
		key, err := eab.MACKey.Read()
		if err != nil {
			return nil, fmt.Errorf("acme.eab.mac_key: %w", err)
		}
		c.EAB = &issue.EAB{KeyID: eab.KeyID, MACKey: string(key)}
	}
	return issue.New(c)
}

func (n *Node) openPath() (err error) {
	n.store, err = cache.New(cache.Config{Memory: n.conf.Cache.Memory, Limits: n.conf.Limits, Log: n.log.Named("cache")}, n.counters, n.metrics)
	if err != nil {
		return err
	}
	n.edge, err = edge.New(edge.Config{
		Limits: n.conf.Limits, Counters: n.counters, HTTPSPort: n.httpsPort,
		Challenge: n.issuer.HandleHTTPChallenge,
		Access:    n.access.Writer(), Log: n.log.Named("edge"),
	}, n.store, n.metrics)
	return err
}

// httpsPort is where plain requests are sent on to. It is asked once the
// sockets are open.
func (n *Node) httpsPort() uint16 {
	if https := n.front.HTTPSAddrs(); len(https) > 0 {
		return https[0].Port()
	}
	return 443
}

func (n *Node) openSites() (err error) {
	n.sites, err = newSites(n, origin.NewMetrics(n.metrics))
	return err
}

func (n *Node) openSockets() (err error) {
	if n.admin, err = admin.Listen(n.conf.Admin.Listen, n.checks, n.metrics, n.log.Named("admin")); err != nil {
		return err
	}
	ring, err := tickets.New(tickets.Config{})
	if err != nil {
		return err
	}
	n.front, err = front.Listen(front.Config{
		HTTPS: n.conf.Listen.HTTPS, HTTP: n.conf.Listen.HTTP, TLS: n.policy.ServerConfig(),
		ResetKey: ring.ResetKey(), TokenKey: ring.TokenKey(),
		Handler: n.edge, Limits: n.conf.Limits, Counters: n.counters, Drain: n.conf.Drain.Timeout, Log: n.log.Named("front"),
	}, n.metrics)
	if err != nil {
		return errors.Join(err, n.admin.Close())
	}
	return nil
}

// stopSlack is what a part that has nothing to wait for may take to stop.
const stopSlack = 5 * time.Second

// parts is the order in which a node starts; it stops in reverse. What
// announces it comes last, so that the world is told first.
func (n *Node) parts() []group.Part {
	parts := append([]group.Part{}, n.opts.Before...)
	parts = append(parts,
		group.Part{Name: "access log", Run: n.access.Run, Stop: stopSlack},
		group.Part{Name: "ticket keys", Run: n.policy.Run, Stop: stopSlack},
		group.Part{Name: "acme", Run: n.issuer.Run, Stop: stopSlack},
		group.Part{Name: "certificates", Run: n.certs.Run, Stop: stopSlack},
		group.Part{Name: "cache", Run: n.store.Run, Stop: stopSlack},
		group.Part{Name: "sites", Run: n.sites.Run, Stop: stopSlack},
		group.Part{Name: "admin", Run: n.admin.Run, Stop: stopSlack},
		group.Part{Name: "edge", Run: n.front.Run, Stop: n.conf.Drain.Timeout + stopSlack},
	)
	if n.announcer != nil {
		parts = append(parts, group.Part{Name: "bgp", Run: n.announcer.Run, Stop: n.announcer.stopLimit()})
	}
	return append(parts, group.Part{Name: "started", Run: n.started, Stop: stopSlack})
}

func (n *Node) started(ctx context.Context, ready func()) error {
	n.log.Info("serving", zap.Int("node", int(n.conf.Node.ID)), zap.String("name", n.conf.Node.Name),
		zap.Stringers("https", n.front.HTTPSAddrs()), zap.Stringers("http", n.front.HTTPAddrs()), zap.Stringer("admin", n.admin.Addr()))
	if n.opts.Started != nil {
		n.opts.Started()
	}
	ready()
	<-ctx.Done()
	return nil
}

// Run serves until ctx is done, then drains. Closing urgent ends the
// drain.
func (n *Node) Run(ctx context.Context, urgent <-chan struct{}) error {
	n.checks.Require("draining", func() error {
		if n.draining.Load() {
			return errors.New("the node is draining")
		}
		return nil
	})
	stop := context.AfterFunc(ctx, func() {
		n.draining.Store(true)
		n.log.Info("draining", zap.Duration("limit", n.conf.Drain.Timeout))
	})
	defer stop()
	err := group.Run(ctx, urgent, n.parts())
	n.log.Info("stopped", zap.Error(err))
	return err
}

// HTTPS returns the addresses that the node serves https on.
func (n *Node) HTTPS() []netip.AddrPort { return n.front.HTTPSAddrs() }

// HTTP returns the addresses that the node serves plain HTTP on.
func (n *Node) HTTP() []netip.AddrPort { return n.front.HTTPAddrs() }

// Admin returns the address of the operator's side.
func (n *Node) Admin() netip.AddrPort { return n.admin.Addr() }

// RootFile returns the root certificate of the node's own CA.
func (n *Node) RootFile() string { return n.authority.RootFile() }
