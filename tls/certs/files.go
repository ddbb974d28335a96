package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// retries is how often a pair that cannot be served is read again before
// it is reported: whoever replaces it writes two files, one after the
// other, and may be between them.
var retries = [...]time.Duration{500 * time.Millisecond, 2 * time.Second, 5 * time.Second}

// files serves a pair of files and follows their changes.
type files struct {
	// Static after newFiles.
	spec Spec
	log  *zap.Logger
	met  *metrics

	// Written by refresh, read by handshakes and metrics.
	current atomic.Pointer[tls.Certificate]
	refused atomic.Bool

	// Owned by whoever calls refresh: the Manager, one call at a time.
	served   [sha256.Size]byte // content of current
	seen     [sha256.Size]byte // content last read; zero: unreadable
	attempt  int               // failed reads since the last good one
	reported string            // the last failure that was reported
}

func newFiles(s Spec, log *zap.Logger, met *metrics) *files {
	return &files{spec: s, met: met, log: log.With(zap.String("site", s.Site),
		zap.String("certificate", s.CertFile), zap.String("key", s.KeyFile))}
}

// Certificate implements Source.
func (f *files) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := f.current.Load(); cert != nil {
		return cert, nil
	}
	return nil, ErrNoCertificate
}

func (f *files) leaf() *x509.Certificate {
	if cert := f.current.Load(); cert != nil {
		return cert.Leaf
	}
	return nil
}

func (f *files) stale() bool { return f.refused.Load() }

// load reads the files and serves what they hold if it can be served.
func (f *files) load(now time.Time) error {
	before := f.seen
	f.seen = [sha256.Size]byte{}
	p, err := readPair(f.spec.CertFile, f.spec.KeyFile)
	if err != nil {
		return err
	}
	sum := p.sum()
	f.seen = sum
	if sum != before {
		f.attempt = 0
	}
	if sum == f.served {
		return nil
	}
	cert, err := p.parse(now)
	if err != nil {
		return err
	}
	f.served = sum
	f.current.Store(cert)
	f.met.loads.Inc()
	f.log.Info("serving a certificate from files", zap.Time("not_after", cert.Leaf.NotAfter),
		zap.String("serial", cert.Leaf.SerialNumber.Text(16)))
	f.warnUncovered(cert.Leaf)
	return nil
}

// warnUncovered names the hostnames for which browsers will refuse leaf.
// It is no reason to refuse it here: the operator may be on the way to
// other hostnames.
func (f *files) warnUncovered(leaf *x509.Certificate) {
	for _, h := range f.spec.Hostnames {
		if leaf.VerifyHostname(strings.Replace(h, "*", "any", 1)) != nil {
			f.log.Warn("the certificate does not cover a hostname of the site", zap.String("hostname", h))
		}
	}
}

// refresh implements source. A failure is reported once, after the retries.
func (f *files) refresh(now time.Time) (again time.Time) {
	err := f.load(now)
	if err == nil {
		f.attempt, f.reported = 0, ""
		f.refused.Store(false)
		return time.Time{}
	}
	if f.attempt < len(retries) {
		again = now.Add(retries[f.attempt])
		f.attempt++
		return again
	}
	f.report(err)
	return time.Time{}
}

func (f *files) report(err error) {
	f.refused.Store(f.current.Load() != nil)
	if err.Error() == f.reported {
		return
	}
	f.reported = err.Error()
	var refusal *pairError
	if errors.As(err, &refusal) {
		f.met.failed[refusal.failure].Inc()
	}
	f.log.Error("the certificate in the files is refused; the last good one stays",
		zap.Error(err), zap.Bool("have_last_good", f.current.Load() != nil))
}

// dirs returns the directories in which a replacement of the files shows:
// those of their names, where tools swap symbolic links, and those that the
// names lead to, where others write in place. Each is given by its one real
// path, as the kernel knows a directory only once.
func (f *files) dirs() []string {
	var out []string
	add := func(dir string, err error) {
		if err == nil && !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	for _, name := range []string{f.spec.CertFile, f.spec.KeyFile} {
		add(filepath.EvalSymlinks(filepath.Dir(name)))
		file, err := filepath.EvalSymlinks(name)
		add(filepath.Dir(file), err)
	}
	return out
}
