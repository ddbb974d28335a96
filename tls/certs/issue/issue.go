// Package issue obtains and renews certificates by ACME (RFC 8555) with
// certmagic, which owns orders, retries, renewal and storage. What is
// served comes from this package's own map, so a handshake never reaches
// storage, whatever name a stranger asks for. Issuers of several nodes work
// as one when they can reach each other. The package opens no public
// socket: who listens passes challenges on to it, and who relays passes on
// what issuers tell each other.
package issue

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/internal/hostname"
	"github.com/landfall-cdn/landfall/tls/certs"
)

// renewCheck is how often certificates are checked for renewal; it must be
// well below a third of the shortest lifetime a CA gives, six days.
const renewCheck = 10 * time.Minute

// EAB ties the ACME account to one that the CA knows (RFC 8555, 7.3.4).
type EAB struct {
	KeyID  string
	MACKey string // base64url
}

// Config is what New needs.
type Config struct {
	// Storage is the directory of account keys, certificates and their
	// keys. Several processes may share it.
	Storage string
	// Directory is the URL of the CA's ACME directory; "" is Let's Encrypt.
	Directory string
	// RootFile is a PEM file of the roots to trust when talking to the CA;
	// "" means the system's. It says nothing on whom the CA signs under.
	RootFile string
	// Email is where the CA can reach the operator; it may be empty.
	Email string
	// EAB is needed by some CAs; nil for none.
	EAB *EAB
	// Profile is one of the CA's certificate profiles; "" for its default.
	Profile string
	// NoHTTP and NoTLSALPN turn off a type of challenge, because nothing
	// listens on port 80 or 443. Not both.
	NoHTTP, NoTLSALPN bool
	// Share makes the issuers of several nodes work as one; nil for a node
	// that is alone.
	Share Share
	// Log is required.
	Log *zap.Logger
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
}

// SetProcessDefaults makes certmagic log to log where it has no other
// logger, and name userAgent to CAs. These are globals of certmagic: main
// calls it once, before New.
func SetProcessDefaults(log *zap.Logger, userAgent string) {
	certmagic.Default.Logger = log
	certmagic.DefaultACME.Logger = log
	certmagic.UserAgent = userAgent
}

// Issuer keeps certificates for a set of names.
type Issuer struct {
	// Static after New.
	conf  Config
	roots *x509.CertPool // nil: the system's
	log   *zap.Logger
	met   *metrics
	// grace is takeoverGrace, or what a test makes of it.
	grace time.Duration

	challenges *challenges

	// Swapped whole by Manage; a slot is shared by successive maps.
	slots atomic.Pointer[map[string]*slot]

	// mu orders Manage with the start and end of Run.
	mu   sync.Mutex
	live *run // nil unless running
}

// slot is one name.
type slot struct {
	cert   atomic.Pointer[tls.Certificate] // nil: none yet
	pushed chan struct{}                   // holds one when a peer gave a certificate
}

var _ certs.Issuer = (*Issuer)(nil)

// New checks c and returns an issuer of no names.
func New(c Config) (*Issuer, error) {
	var errs []error
	if c.Storage == "" {
		errs = append(errs, errors.New("acme: no storage directory: name one that survives restarts"))
	}
	if c.NoHTTP && c.NoTLSALPN {
		errs = append(errs, errors.New("acme: both types of challenge are turned off: allow one"))
	}
	if c.Directory == "" {
		c.Directory = certmagic.LetsEncryptProductionCA
	}
	if u, err := url.Parse(c.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		errs = append(errs, fmt.Errorf("acme: directory %q is not an https URL", c.Directory))
	}
	i := &Issuer{
		conf: c, log: c.Log.Named("acme"), met: newMetrics(c.Registerer),
		grace: takeoverGrace, challenges: newChallenges(),
	}
	if c.RootFile != "" {
		pem, err := os.ReadFile(c.RootFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("acme: roots: %w", err))
		}
		i.roots = x509.NewCertPool()
		if err == nil && !i.roots.AppendCertsFromPEM(pem) {
			errs = append(errs, fmt.Errorf("acme: roots: %s holds no PEM certificate", c.RootFile))
		}
	}
	i.slots.Store(&map[string]*slot{})
	return i, errors.Join(errs...)
}

// Certificate implements certs.Source. A name that is not managed, or has
// no certificate yet, is certs.ErrNoCertificate.
func (i *Issuer) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := i.serving(hello.ServerName); cert != nil {
		return cert, nil
	}
	return nil, certs.ErrNoCertificate
}

// Leaf implements certs.Issuer.
func (i *Issuer) Leaf(name string) *x509.Certificate {
	if cert := i.serving(name); cert != nil {
		return cert.Leaf
	}
	return nil
}

func (i *Issuer) serving(name string) *tls.Certificate {
	if s := i.find(name); s != nil {
		return s.cert.Load()
	}
	return nil
}

// find returns the slot of a name that is managed, or nil.
func (i *Issuer) find(name string) *slot {
	canonical, err := hostname.Wire(name)
	if err != nil {
		return nil
	}
	return (*i.slots.Load())[canonical]
}

// Manage implements certs.Issuer: names, which must be canonical, replace
// those managed before. Certificates are obtained and renewed while Run
// runs; those of names that are gone stay in storage.
func (i *Issuer) Manage(names []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	old := *i.slots.Load()
	slots := make(map[string]*slot, len(names))
	for _, name := range names {
		if slots[name] = old[name]; slots[name] == nil {
			slots[name] = &slot{pushed: make(chan struct{}, 1)}
		}
	}
	i.slots.Store(&slots)
	if i.live != nil {
		i.live.reconcile(slots)
	}
}

// Run obtains and renews certificates until ctx is done. Orders in flight
// are then given up, to be taken up by the next Run.
func (i *Issuer) Run(ctx context.Context, ready func()) error {
	r, err := newRun(ctx, i)
	if err != nil {
		return err
	}
	r.work.Go(r.publish)
	i.mu.Lock()
	i.live = r
	r.reconcile(*i.slots.Load())
	i.mu.Unlock()
	ready()
	r.adopt()
	i.mu.Lock()
	i.live = nil
	i.mu.Unlock()
	return r.stop()
}

// Renew replaces the certificate of a name now, as after a key was
// compromised. It tries once. The new one is served here when Renew
// returns, and by the peers a moment later; any node of a PoP can do it.
func (i *Issuer) Renew(ctx context.Context, name string) error {
	i.mu.Lock()
	r := i.live
	i.mu.Unlock()
	if r == nil || i.Leaf(name) == nil {
		return fmt.Errorf("acme: this node has no certificate of %s to renew", name)
	}
	return r.renew(ctx, name)
}

// serve puts a certificate in its name's slot, unless it is not fit.
func (i *Issuer) serve(name string, cert *tls.Certificate) {
	s := i.find(name)
	if s == nil {
		return // no longer managed
	}
	if old := s.cert.Load(); old != nil && bytes.Equal(old.Certificate[0], cert.Certificate[0]) {
		return
	}
	if err := fit(name, cert); err != nil {
		i.log.Error("a certificate is not served", zap.String("name", name), zap.Error(err))
		return
	}
	i.put(name, s, cert)
}

// fit returns why a certificate, with its Leaf parsed, must not begin to be
// served for a name.
func fit(name string, cert *tls.Certificate) error {
	if err := certs.Usable(cert, time.Now()); err != nil {
		return err
	}
	return cert.Leaf.VerifyHostname(name)
}

// put has a certificate served that is fit for it.
func (i *Issuer) put(name string, s *slot, cert *tls.Certificate) {
	s.cert.Store(cert)
	i.log.Info("serving a certificate", zap.String("name", name),
		zap.String("serial", cert.Leaf.SerialNumber.Text(16)), zap.Time("not_after", cert.Leaf.NotAfter))
}

func (c *Config) eab() *acme.EAB {
	if c.EAB == nil {
		return nil
	}
	return &acme.EAB{KeyID: c.EAB.KeyID, MACKey: c.EAB.MACKey}
}
