// Package node puts one node together: it turns the node file and the site
// documents into the parts' own configurations, starts the parts in order
// and stops them in reverse. It is the only place that knows them all.
package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	"github.com/landfall-cdn/landfall/internal/admin/pop"
	"github.com/landfall-cdn/landfall/internal/group"
	"github.com/landfall-cdn/landfall/internal/health"
	"github.com/landfall-cdn/landfall/internal/limits"
	"github.com/landfall-cdn/landfall/internal/obs"
	"github.com/landfall-cdn/landfall/origin"
	"github.com/landfall-cdn/landfall/tls/certs"
	"github.com/landfall-cdn/landfall/tls/certs/issue"
	"github.com/landfall-cdn/landfall/tls/certs/local"
	"github.com/landfall-cdn/landfall/tls/identity"
	"github.com/landfall-cdn/landfall/tls/policy"
	"github.com/landfall-cdn/landfall/tls/tickets"
)

// Options are what a node file does not say.
type Options struct {
	Log *zap.Logger
	// Version is the program's, for other nodes and operators.
	Version string
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

	// secret is what the nodes of the PoP share, nil alone; ring has the keys
	// that come from it.
	secret []byte
	ring   *tickets.Ring
	ech    *tickets.ECH // nil without tls.ech

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
	announcer *announcer    // nil without bgp
	selfLooks atomic.Uint64 // connections that the node made to itself
	pop       *popPart
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
	for _, step := range []func() error{n.openState, n.openKeys, n.openTLS, n.openPath, n.openSites, n.openBGP, n.openSockets} {
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

// openKeys derives what nodes of a PoP have in common from its secret. A
// node alone makes keys up, which end with the process.
func (n *Node) openKeys() (err error) {
	if n.conf.Pop != nil {
		if n.secret, err = n.conf.Pop.Secret.Read(); err == nil {
			err = identity.CheckSecret(n.secret)
		}
		if err != nil {
			return fmt.Errorf("pop.secret: %w", err)
		}
	}
	n.ring, err = tickets.New(tickets.Config{Secret: n.secret})
	return err
}

func (n *Node) openTLS() (err error) {
	dir := filepath.Join(n.conf.State, "ca")
	if n.secret != nil {
		n.authority, err = local.Derived(n.secret, dir, time.Now())
	} else {
		n.authority, err = local.Open(dir, time.Now())
	}
	if err != nil {
		return err
	}
	issue.SetProcessDefaults(n.log.Named("acme"), "landfall")
	if n.issuer, err = n.newIssuer(); err != nil {
		return err
	}
	n.certs = certs.New(certs.Config{Authority: n.authority, Issuer: n.issuer, Log: n.log.Named("certs"), Registerer: n.metrics})
	p := policy.Config{Tickets: n.ring, Challenges: n.issuer, Registerer: n.metrics}
	if c := n.conf.TLS.ECH; c != nil {
		if n.ech, err = n.ring.ECH(c.PublicName); err != nil {
			return fmt.Errorf("tls.ech: %w", err)
		}
		p.ECH = n.ech.Keys
	}
	n.policy = policy.New(p)
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
	if n.conf.Pop != nil {
		c.Share = sharing{n}
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
	n.store, err = cache.New(cache.Config{
		Memory: n.conf.Cache.Memory, Limits: n.conf.Limits, Log: n.log.Named("cache"),
		Invalidated: func(keys []string) { n.pop.invalidated(keys) },
	}, n.counters, n.metrics)
	if err != nil {
		return err
	}
	if err := n.openPop(); err != nil {
		return err
	}
	n.edge, err = edge.New(edge.Config{
		Limits: n.conf.Limits, Counters: n.counters, HTTPSPort: n.httpsPort,
		Challenge: n.issuer.HandleHTTPChallenge, Pop: n.pop.forEdge(),
		Self: n.isSelf, Access: n.access.Writer(), Log: n.log.Named("edge"),
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
	n.admin.Handle("/v1/", pop.Handler(operator{n.pop}))
	n.admin.Handle("GET /v1/ech", http.HandlerFunc(n.serveECH))
	n.admin.Handle("GET /healthz/announce", http.HandlerFunc(n.serveAnnounce))
	if err := n.pop.listen(); err != nil {
		return errors.Join(err, n.admin.Close())
	}
	n.front, err = front.Listen(front.Config{
		HTTPS: n.conf.Listen.HTTPS, HTTP: n.conf.Listen.HTTP, TLS: n.policy.ServerConfig(),
		ResetKey: n.ring.ResetKey(), TokenKey: n.ring.TokenKey(),
		Handler: n.edge, Limits: n.conf.Limits, Counters: n.counters, Drain: n.conf.Drain.Timeout, Log: n.log.Named("front"),
	}, n.metrics)
	if err != nil {
		return errors.Join(err, n.pop.close(), n.admin.Close())
	}
	n.pop.drain = &drain{
		log: n.log, front: n.front, state: n.pop.state, sessions: n.pop.sessions,
		accepted: func() uint64 { return n.front.Counts().Accepted - n.selfLooks.Load() },
	}
	if n.announcer != nil {
		n.pop.drain.routes = n.announcer
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
	)
	parts = append(parts, n.pop.parts()...)
	parts = append(parts,
		group.Part{Name: "edge", Run: n.front.Run, Stop: n.conf.Drain.Timeout + stopSlack},
	)
	if n.announcer != nil {
		parts = append(parts, n.announcer.parts()...)
	}
	return append(parts, group.Part{Name: "started", Run: n.started, Stop: stopSlack})
}

func (n *Node) started(ctx context.Context, ready func()) error {
	n.log.Info("serving", zap.Int("node", int(n.conf.Node.ID)), zap.String("name", n.conf.Node.Name),
		zap.Stringers("https", n.front.HTTPSAddrs()), zap.Stringers("http", n.front.HTTPAddrs()), zap.Stringer("admin", n.admin.Addr()))
	n.pop.takePart(ctx)
	if n.opts.Started != nil {
		n.opts.Started()
	}
	ready()
	<-ctx.Done()
	return nil
}

// drainCheck is the check that a node which drains is not ready by.
const drainCheck = "draining"

// Run serves until ctx is done, then drains. Closing urgent ends the
// drain.
func (n *Node) Run(ctx context.Context, urgent <-chan struct{}) error {
	n.checks.Require(drainCheck, func() error {
		if _, _, on := n.pop.drain.drains(); on {
			return errors.New("the node is draining")
		}
		return nil
	})
	stop := context.AfterFunc(ctx, func() {
		n.pop.drain.finish()
		n.log.Info("draining", zap.Duration("limit", n.conf.Drain.Timeout))
	})
	defer stop()
	err := group.Run(ctx, urgent, n.parts())
	n.pop.drain.walking.Wait()
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
