package issue

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// role is what this node has to do with a name.
type role uint8

const (
	none    role = iota // no site has it any more
	follows             // a peer orders it; what the peer publishes is served
	orders              // certificates are obtained and renewed here
)

// task is the work for one name since its role last changed.
type task struct {
	role   role
	cancel context.CancelFunc
	done   chan struct{} // closed when the work is over
}

func (t *task) over() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// reconcile starts and stops work so that each name has the role it should.
// The caller holds Issuer.mu.
func (r *run) reconcile(slots map[string]*slot) {
	for name := range r.tasks {
		if slots[name] == nil {
			r.assign(name, none)
		}
	}
	for name := range slots {
		wanted := orders
		if share := r.issuer.conf.Share; share != nil && !share.Orders(name) {
			wanted = follows
		}
		r.assign(name, wanted)
	}
}

// assign gives a name a role. What was done for it in another one is
// stopped, and waited for, before anything new begins: certmagic must not
// be told to drop a name after it was told to keep it.
func (r *run) assign(name string, wanted role) {
	old := r.tasks[name]
	if old != nil && old.role == wanted {
		if wanted == none && old.over() {
			old.cancel()
			delete(r.tasks, name)
		}
		return
	}
	if old != nil {
		old.cancel()
		if old.role == orders {
			r.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
		}
		if old.role == orders && wanted == follows {
			// Whoever orders it now may have come without it.
			r.outbox.add(name)
		}
	}
	ctx, cancel := context.WithCancel(r.ctx)
	t := &task{role: wanted, cancel: cancel, done: make(chan struct{})}
	r.tasks[name] = t
	if ctx.Err() != nil {
		close(t.done)
		return
	}
	r.work.Go(func() {
		defer close(t.done)
		if old != nil {
			<-old.done
		}
		switch wanted {
		case orders:
			r.keep(ctx, name)
		case follows:
			r.serveStored(ctx, name)
		case none:
		}
	})
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
		rest(ctx, retryAfter)
	}
}

// rest returns after d, or when ctx is done.
func rest(ctx context.Context, d time.Duration) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-wait.C:
	}
}

// bring loads the certificate of a name or obtains it. Certmagic tries
// that for 30 days, at growing distances, before it is an error.
func (r *run) bring(ctx context.Context, name string) error {
	s := r.issuer.find(name)
	if s == nil {
		return nil // no site has it any more
	}
	select {
	case <-s.pushed: // of an earlier time
	default:
	}
	cert, err := r.magic.CacheManagedCertificate(ctx, name)
	if err == nil {
		r.issuer.serve(name, &cert.Certificate)
	}
	if r.issuer.conf.Share != nil && (errors.Is(err, fs.ErrNotExist) || err == nil && cert.NeedsRenewal(r.magic)) {
		r.awaitPush(ctx, s)
		cert, err = r.recache(ctx, name)
	}
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

// awaitPush waits for a peer that has a name's certificate.
func (r *run) awaitPush(ctx context.Context, s *slot) {
	wait := time.NewTimer(r.issuer.grace)
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-s.pushed:
	case <-wait.C:
	}
}

// recache has certmagic's maintenance go by what is in storage.
func (r *run) recache(ctx context.Context, name string) (certmagic.Certificate, error) {
	r.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
	return r.magic.CacheManagedCertificate(ctx, name)
}

// recacheOrdered is recache for a name that may be a peer's to order, which
// certmagic must then not maintain here.
func (r *run) recacheOrdered(ctx context.Context, name string) error {
	r.issuer.mu.Lock()
	defer r.issuer.mu.Unlock()
	if t := r.tasks[name]; t == nil || t.role != orders {
		return nil
	}
	_, err := r.recache(ctx, name)
	return err
}

// serveStored serves what a peer published earlier, or what this node had
// before a peer ordered the name.
func (r *run) serveStored(ctx context.Context, name string) {
	t, err := r.storage.load(ctx, r.issuerKey, name)
	if errors.Is(err, fs.ErrNotExist) {
		return // whoever orders it publishes it
	}
	var cert *tls.Certificate
	if err == nil {
		cert, err = t.pair()
	}
	if err == nil {
		err = fit(name, cert)
	}
	if err != nil {
		r.issuer.log.Warn("a stored certificate is not served", zap.String("name", name), zap.Error(err))
		return
	}
	if s := r.issuer.find(name); s != nil {
		// What a peer has published since is newer.
		s.cert.CompareAndSwap(nil, cert)
	}
}
