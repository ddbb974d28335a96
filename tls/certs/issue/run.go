package issue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// retryAfter is how long a name rests that certmagic gave up on, or whose
// files in storage are broken.
const retryAfter = 10 * time.Minute

// run is certmagic at work, from the start of Run to its end.
type run struct {
	// Static after newRun.
	issuer *Issuer
	ctx    context.Context // ends with Run
	magic  *certmagic.Config
	cache  *certmagic.Cache
	claim  net.Listener
	work   sync.WaitGroup
	outbox *outbox

	storage   *storage
	issuerKey string // what storage calls the CA by

	// Guarded by Issuer.mu. A name keeps its task until the work is over.
	tasks map[string]*task

	// accepting orders certificates that come from peers.
	accepting sync.Mutex
	// Guarded by accepting: names that no site had when a peer's
	// certificate was stored.
	unmanaged map[string]bool
}

func newRun(ctx context.Context, i *Issuer) (*run, error) {
	claim, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("acme: %w", err)
	}
	r := &run{
		issuer: i, ctx: ctx, claim: claim, outbox: newOutbox(), storage: newStorage(i),
		tasks: map[string]*task{}, unmanaged: map[string]bool{},
	}
	r.work.Go(r.holdClaim)
	r.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return r.magic, nil },
		RenewCheckInterval: renewCheck,
		Logger:             i.log,
	})
	r.magic = certmagic.New(r.cache, certmagic.Config{
		Storage: r.storage,
		Logger:  i.log,
		// CAs have given up OCSP for CRLs.
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		OnEvent: r.event,
	})
	port := claim.Addr().(*net.TCPAddr).Port
	acme := certmagic.NewACMEIssuer(r.magic, certmagic.ACMEIssuer{
		CA:                      i.conf.Directory,
		Email:                   i.conf.Email,
		Agreed:                  true,
		ExternalAccount:         i.conf.eab(),
		Profile:                 i.conf.Profile,
		TrustedRoots:            i.roots,
		DisableHTTPChallenge:    i.conf.NoHTTP,
		DisableTLSALPNChallenge: i.conf.NoTLSALPN,
		ListenHost:              "127.0.0.1",
		AltHTTPPort:             port,
		AltTLSALPNPort:          port,
		Logger:                  i.log,
	})
	r.magic.Issuers, r.issuerKey = []certmagic.Issuer{acme}, acme.IssuerKey()
	return r, nil
}

// holdClaim keeps certmagic from listening for challenges: it does unless
// somebody else has the address, which it finds out by connecting. On the
// real addresses that would race with our own listeners.
func (r *run) holdClaim() {
	for {
		c, err := r.claim.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			c.Close()
		}
	}
}

// stop waits for all that run started; its context is done.
func (r *run) stop() error {
	r.cache.Stop()
	err := r.claim.Close()
	r.work.Wait()
	return err
}

// renew gets a new certificate whatever the old one's age; event serves it.
func (r *run) renew(ctx context.Context, name string) error {
	if err := r.magic.RenewCertSync(ctx, name, true); err != nil {
		return fmt.Errorf("acme: renew %s: %w", name, err)
	}
	// Maintenance has to follow the new one, not the old.
	if err := r.recacheOrdered(ctx, name); err != nil {
		return fmt.Errorf("acme: reload %s: %w", name, err)
	}
	return nil
}

// adopt serves what another process with the same storage has renewed,
// until ctx is done. Certmagic finds out but has no event for it.
func (r *run) adopt() {
	tick := time.NewTicker(renewCheck)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		for name, s := range *r.issuer.slots.Load() {
			served := s.cert.Load()
			for _, c := range r.cache.AllMatchingCertificates(name) {
				if served == nil || c.Leaf.NotBefore.After(served.Leaf.NotBefore) {
					served = &c.Certificate
				}
			}
			if served != nil {
				r.issuer.serve(name, served)
			}
		}
	}
}

// event takes note of what certmagic did. A certificate that it obtained is
// served at once: by itself it would serve the old one until that expires.
func (r *run) event(ctx context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	renewal, _ := data["renewal"].(bool)
	switch event {
	case "cert_failed":
		r.issuer.met.results[failed].Inc()
	case "cert_obtained":
		result := obtained
		if renewal {
			result = renewed
		}
		r.issuer.met.results[result].Inc()
		r.issuer.met.last.Set(float64(time.Now().Unix()))
		// Its files are not written in one step, but whoever emits this
		// event holds certmagic's lock.
		t, err := r.storage.load(ctx, r.issuerKey, name)
		var cert *tls.Certificate
		if err == nil {
			cert, err = t.pair()
		}
		if err != nil {
			r.issuer.log.Error("a new certificate cannot be read", zap.String("name", name), zap.Error(err))
			return nil
		}
		r.issuer.serve(name, cert)
		if r.issuer.conf.Share != nil {
			r.outbox.add(name)
		}
	}
	return nil
}
