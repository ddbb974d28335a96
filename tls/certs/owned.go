package certs

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/tls/certs/local"
)

// owned serves certificates of the node's own CA and renews them in time.
type owned struct {
	// Static after newOwned.
	spec Spec
	ca   *local.Authority
	log  *zap.Logger
	met  *metrics

	// Written by refresh, read by handshakes and metrics.
	current atomic.Pointer[tls.Certificate]
	failing atomic.Bool
}

func newOwned(s Spec, ca *local.Authority, log *zap.Logger, met *metrics) *owned {
	return &owned{spec: s, ca: ca, met: met, log: log.With(zap.String("site", s.Site))}
}

// Certificate implements Source.
func (o *owned) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := o.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, ErrNoCertificate
}

func (o *owned) leaf() *x509.Certificate {
	if cert := o.current.Load(); cert != nil {
		return cert.Leaf
	}
	return nil
}

func (o *owned) stale() bool { return o.failing.Load() && o.current.Load() != nil }

// load issues a certificate when there is none or it is due.
func (o *owned) load(now time.Time) error {
	if leaf := o.leaf(); leaf != nil && now.Before(local.RenewAt(leaf)) {
		return nil
	}
	cert, err := o.ca.Issue(o.spec.Hostnames, now)
	if err != nil {
		return err
	}
	o.current.Store(cert)
	o.met.loads.Inc()
	return nil
}

// refresh implements source.
func (o *owned) refresh(now time.Time) (again time.Time) {
	err := o.load(now)
	if err != nil && !o.failing.Load() {
		o.met.failed[issuing].Inc()
		o.log.Error("the local CA cannot issue a certificate", zap.Error(err))
	}
	o.failing.Store(err != nil)
	if err != nil {
		return time.Time{}
	}
	return local.RenewAt(o.leaf())
}
