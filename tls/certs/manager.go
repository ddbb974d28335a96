package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/tls/certs/local"
)

// Config is what New needs.
type Config struct {
	// Authority signs for sites of kind Internal; nil refuses them.
	Authority *local.Authority
	// Issuer obtains certificates for sites of kind Auto; nil refuses
	// them. Its life is not the Manager's.
	Issuer Issuer
	// Log is required.
	Log *zap.Logger
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
}

// Manager keeps the certificates of all sites fresh. A new set of sites is
// prepared aside, so that its problems are known before anything changes,
// and then committed.
type Manager struct {
	// Static after New.
	authority *local.Authority
	issuer    Issuer
	log       *zap.Logger
	met       *metrics

	// Swapped whole by Commit.
	live atomic.Pointer[Set]

	// work orders refreshing sources with preparing and committing them.
	work sync.Mutex
	// committed wakes Run; its one slot never blocks the sender.
	committed chan struct{}
}

// New returns a manager of no sites.
func New(c Config) *Manager {
	m := &Manager{authority: c.Authority, issuer: c.Issuer, log: c.Log, committed: make(chan struct{}, 1)}
	m.live.Store(&Set{})
	m.met = newMetrics(c.Registerer, m.live.Load)
	return m
}

// Set is the certificates of a set of sites.
type Set struct {
	specs    map[string]Spec
	sources  map[string]source
	problems []Problem
}

func (s *Set) problem(site string) bool {
	return slices.ContainsFunc(s.problems, func(p Problem) bool { return p.Site == site })
}

// Source returns the source of a site that was prepared, or nil.
func (s *Set) Source(site string) Source {
	if src := s.sources[site]; src != nil {
		return src
	}
	return nil
}

// Problems returns the sites that cannot get a certificate as they asked
// to, in the order of their specs. Their sources can be used: they refuse
// handshakes until the cause is gone.
func (s *Set) Problems() []Problem { return s.problems }

// Prepare reads or issues the certificates of specs, one for each site,
// and changes nothing of what is served. A site whose spec did not change
// keeps its source and what that has loaded.
func (m *Manager) Prepare(specs []Spec) *Set {
	m.work.Lock()
	defer m.work.Unlock()
	set := &Set{specs: make(map[string]Spec, len(specs)), sources: make(map[string]source, len(specs))}
	old, now := m.live.Load(), time.Now()
	for _, s := range specs {
		set.specs[s.Site] = s
		if kept := old.sources[s.Site]; kept != nil && s.equal(old.specs[s.Site]) && !old.problem(s.Site) {
			set.sources[s.Site] = kept
			continue
		}
		src, err := m.open(s, now)
		set.sources[s.Site] = src
		if err != nil {
			set.problems = append(set.problems, Problem{Site: s.Site, Err: err})
		}
	}
	return set
}

// open returns the source of a spec, loaded if that is possible at once.
func (m *Manager) open(s Spec, now time.Time) (source, error) {
	switch {
	case s.Kind == Files && (s.CertFile == "" || s.KeyFile == ""):
		return none{}, errors.New("needs both a certificate and a key file")
	case s.Kind == Files:
		f := newFiles(s, m.log, m.met)
		return f, f.load(now)
	case s.Kind == Internal && m.authority == nil:
		return none{}, errors.New("certificates of the local CA are not available on this node")
	case s.Kind == Internal:
		o := newOwned(s, m.authority, m.log, m.met)
		return o, o.load(now)
	case m.issuer == nil:
		return none{}, errors.New("automatic certificates are not available on this node: configure ACME, or use files")
	}
	names, err := provable(s.Hostnames)
	return &automatic{issuer: m.issuer, names: names}, err
}

// provable returns the hostnames of which a CA can be shown control over
// HTTP or TLS. A wildcard needs DNS (RFC 8555, 8.4).
func provable(hostnames []string) (names []string, err error) {
	var errs []error
	for _, h := range hostnames {
		if strings.HasPrefix(h, "*") {
			errs = append(errs, fmt.Errorf("hostname %q: a wildcard cannot be had automatically; name the hosts, or use files", h))
		} else if _, err := netip.ParseAddr(h); err == nil {
			errs = append(errs, fmt.Errorf("hostname %q: an IP address cannot be had automatically; use files or the internal CA", h))
		} else {
			names = append(names, h)
		}
	}
	return names, errors.Join(errs...)
}

// Commit makes a prepared set the one that is kept fresh. Sources of sites
// that are not in it are no longer refreshed.
func (m *Manager) Commit(s *Set) {
	m.work.Lock()
	defer m.work.Unlock()
	m.live.Store(s)
	if m.issuer != nil {
		var names []string
		for _, src := range s.sources {
			if a, ok := src.(*automatic); ok {
				names = append(names, a.names...)
			}
		}
		m.issuer.Manage(names)
	}
	select {
	case m.committed <- struct{}{}:
	default: // Run will look at the live set anyway
	}
}

// Run follows files and renews certificates until ctx is done.
func (m *Manager) Run(ctx context.Context, ready func()) error {
	n := newNotifier(m.log)
	newWatcher(m, n).run(ctx, ready)
	return n.Close()
}

// automatic serves what the issuer obtained, by name.
type automatic struct {
	issuer Issuer
	names  []string
}

func (a *automatic) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "" && len(a.names) > 0 {
		named := *hello
		named.ServerName = a.names[0]
		hello = &named
	}
	return a.issuer.Certificate(hello)
}

func (a *automatic) refresh(time.Time) time.Time { return time.Time{} }
func (a *automatic) stale() bool                 { return false }

// leaf returns nil when any name has no certificate.
func (a *automatic) leaf() *x509.Certificate {
	var first *x509.Certificate
	for _, name := range a.names {
		leaf := a.issuer.Leaf(name)
		if leaf == nil {
			return nil
		}
		if first == nil || leaf.NotAfter.Before(first.NotAfter) {
			first = leaf
		}
	}
	return first
}

// none is the source of a site that cannot have a certificate.
type none struct{}

func (none) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return nil, ErrNoCertificate
}
func (none) refresh(time.Time) time.Time { return time.Time{} }
func (none) leaf() *x509.Certificate     { return nil }
func (none) stale() bool                 { return false }
