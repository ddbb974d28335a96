// Package certs owns the certificates that sites are served with: it reads
// them from files and follows their changes, issues them from the node's
// own CA, and names to the ACME issuer what it has to obtain. A certificate
// that is broken, expired or not yet valid never replaces one that works.
// The package opens no socket and knows nothing of requests.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"time"
)

// ErrNoCertificate says that a site is known but has no certificate yet.
var ErrNoCertificate = errors.New("the site has no certificate yet")

// Source gives the certificate that answers a client hello. It never waits
// and is safe for concurrent use. Nobody may change what it returns.
type Source interface {
	// Certificate returns ErrNoCertificate while there is none.
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Kind is where a site's certificates come from.
type Kind uint8

const (
	// Auto are certificates of a public CA, by ACME.
	Auto Kind = iota
	// Internal are certificates of the node's own CA.
	Internal
	// Files are a certificate and a key that somebody else keeps fresh.
	Files
)

// String returns the name that site documents and metrics use.
func (k Kind) String() string { return [...]string{"auto", "internal", "files"}[k] }

// Spec is what a site wants.
type Spec struct {
	// Site tells sites apart, in logs and metrics.
	Site string
	// Hostnames are the site's canonical names; wildcards as "*.name".
	Hostnames []string
	Kind      Kind
	// CertFile and KeyFile are PEM files, for Files only. CertFile holds
	// the chain, leaf first.
	CertFile, KeyFile string
}

func (s Spec) equal(o Spec) bool {
	return s.Site == o.Site && s.Kind == o.Kind && s.CertFile == o.CertFile && s.KeyFile == o.KeyFile &&
		slices.Equal(s.Hostnames, o.Hostnames)
}

// Issuer obtains certificates by ACME in the background; see package issue.
type Issuer interface {
	Source
	// Manage replaces the set of names to keep certificates for.
	Manage(names []string)
	// Leaf returns the certificate served for a name, or nil.
	Leaf(name string) *x509.Certificate
}

// Problem is why a site cannot get a certificate as it asked to. Its
// source refuses handshakes until the cause is gone.
type Problem struct {
	Site string
	Err  error
}

// source is a Source as the Manager keeps it.
type source interface {
	Source
	// refresh looks for a newer certificate, and returns when to look
	// again; zero means when something changes. It may read files.
	refresh(now time.Time) (again time.Time)
	// leaf returns the certificate that expires first of those served,
	// or nil.
	leaf() *x509.Certificate
	// stale reports that a newer certificate was refused.
	stale() bool
}
