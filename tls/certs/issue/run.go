package issue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
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

	// Guarded by Issuer.mu.
	names map[string]context.CancelFunc // stops obtaining a name
}

func newRun(ctx context.Context, i *Issuer) (*run, error) {
	claim, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("acme: %w", err)
	}
	r := &run{issuer: i, ctx: ctx, claim: claim, names: map[string]context.CancelFunc{}}
	r.work.Go(r.holdClaim)
	r.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return r.magic, nil },
		RenewCheckInterval: renewCheck,
		Logger:             i.log,
	})
	r.magic = certmagic.New(r.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: i.conf.Storage},
		Logger:  i.log,
		// CAs have given up OCSP for CRLs.
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		OnEvent: r.event,
	})
	port := claim.Addr().(*net.TCPAddr).Port
	r.magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(r.magic, certmagic.ACMEIssuer{
		CA:                      i.conf.Directory,
		Email:                   i.conf.Email,
		Agreed:                  true,
		ExternalAccount:         i.conf.eab(),
		Profile:                 i.conf.Profile,
		TrustedRoots:            i.roots,
		DisableHTTPChallenge:    i.conf.NoHTTP,
		DisableTLSALPNChallenge: i.conf.NoTLSALPN,
		// Challenges are answered from memory, never from storage.
		DisableDistributedSolvers: true,
		ListenHost:                "127.0.0.1",
		AltHTTPPort:               port,
		AltTLSALPNPort:            port,
		Logger:                    i.log,
	})}
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

// reconcile starts and stops obtaining names. The caller holds Issuer.mu.
func (r *run) reconcile(slots map[string]*slot) {
	var gone []certmagic.SubjectIssuer
	for name, cancel := range r.names {
		if slots[name] == nil {
			cancel()
			delete(r.names, name)
			gone = append(gone, certmagic.SubjectIssuer{Subject: name})
		}
	}
	r.cache.RemoveManaged(gone)
	if r.ctx.Err() != nil {
		return
	}
	for name := range slots {
		if r.names[name] == nil {
			ctx, cancel := context.WithCancel(r.ctx)
			r.names[name] = cancel
			r.work.Go(func() { r.keep(ctx, name) })
		}
	}
}

// keep brings a name under certmagic's maintenance, which renews from then
// on. It returns when that is done or ctx is.
func (r *run) keep(ctx context.Context, name string) {
	for {
		err := r.bring(ctx, name)
		if ctx.Err() != nil {
			r.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
			return
		}
		if err == nil {
			return
		}
		r.issuer.met.results[abandoned].Inc()
		r.issuer.log.Error("cannot keep a certificate for a name", zap.String("name", name),
			zap.Error(err), zap.Duration("again_in", retryAfter))
		wait := time.NewTimer(retryAfter)
		select {
		case <-ctx.Done():
			wait.Stop()
		case <-wait.C:
		}
	}
}

// bring loads the certificate of a name or obtains it. Certmagic tries
// that for 30 days, at growing distances, before it is an error.
func (r *run) bring(ctx context.Context, name string) error {
	cert, err := r.magic.CacheManagedCertificate(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = r.magic.ObtainCertAsync(ctx, name); err == nil {
			cert, err = r.magic.CacheManagedCertificate(ctx, name)
		}
	}
	if err != nil {
		return err
	}
	r.issuer.serve(name, &cert.Certificate)
	if cert.NeedsRenewal(r.magic) {
		return r.magic.RenewCertAsync(ctx, name, false)
	}
	return nil
}

// renew gets a new certificate whatever the old one's age; event serves it.
func (r *run) renew(ctx context.Context, name string) error {
	if err := r.magic.RenewCertSync(ctx, name, true); err != nil {
		return fmt.Errorf("acme: renew %s: %w", name, err)
	}
	// Maintenance has to follow the new one, not the old.
	r.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
	if _, err := r.magic.CacheManagedCertificate(ctx, name); err != nil {
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
		certKey, _ := data["certificate_path"].(string)
		keyKey, _ := data["private_key_path"].(string)
		cert, err := r.load(ctx, certKey, keyKey)
		if err != nil {
			r.issuer.log.Error("a new certificate cannot be read", zap.String("name", name), zap.Error(err))
			return nil
		}
		r.issuer.serve(name, cert)
	}
	return nil
}

// load reads a certificate by its keys in storage. Its files are not
// written in one step, but whoever emits cert_obtained holds its lock.
func (r *run) load(ctx context.Context, certKey, keyKey string) (*tls.Certificate, error) {
	chain, err := r.magic.Storage.Load(ctx, certKey)
	if err != nil {
		return nil, err
	}
	key, err := r.magic.Storage.Load(ctx, keyKey)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.TrimSuffix(certKey, ".crt"), err)
	}
	return &cert, nil
}
