package policy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/landfall-cdn/landfall/internal/hostname"
)

// Source gives the certificate that answers a client hello. It is called
// once for each full handshake and must not wait for anything. The
// certificate must not be changed by anyone afterwards.
type Source interface {
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// SiteConfig is how one site wants to be reached over TLS.
type SiteConfig struct {
	// Name tells sites apart: it is part of the keys of their session
	// tickets and is what Lookup returns.
	Name string
	// Hostnames are the names that lead to the site; "*.example.com"
	// covers exactly one label. No two sites may share one.
	Hostnames []string
	// Certificates gives the site's certificates.
	Certificates Source
	// MinVersion is the oldest version accepted: tls.VersionTLS12, which 0
	// means too, or tls.VersionTLS13.
	MinVersion uint16
	// ClientAuth says what the site asks of a client's certificate, and
	// ClientCAs who may have signed it. A mode that verifies needs CAs.
	ClientAuth tls.ClientAuthType
	ClientCAs  *x509.CertPool
}

// Table says which site a server name leads to. It is immutable, apart
// from the ticket keys that its Policy rotates.
type Table struct {
	exact    map[string]*site // by canonical name
	wildcard map[string]*site // by the name without its first label
	fallback *site            // for clients that send no name; may be nil
	sites    []*site
}

// site is a site with the config that all its handshakes share. Nothing of
// the config may change but its ticket keys.
type site struct {
	name string
	tls  *tls.Config
}

// Lookup returns the site that a server name leads to, or for the empty
// name the site for clients without one.
func (t *Table) Lookup(serverName string) (name string, ok bool) {
	s := t.find(serverName)
	if s == nil {
		return "", false
	}
	return s.name, true
}

func (t *Table) find(serverName string) *site {
	if serverName == "" {
		return t.fallback
	}
	name, err := hostname.Wire(serverName)
	if err != nil {
		return nil
	}
	if s := t.exact[name]; s != nil {
		return s
	}
	return t.wildcard[hostname.Parent(name)]
}

// Build compiles sites into a table. The site named fallback, when not
// empty, serves clients that send no server name. The error joins all that
// is wrong. Nothing is served from the table before Swap.
func (p *Policy) Build(sites []SiteConfig, fallback string) (*Table, error) {
	t := &Table{exact: map[string]*site{}, wildcard: map[string]*site{}}
	names := map[string]bool{}
	var errs []error
	for i := range sites {
		c := &sites[i]
		err := c.validate()
		if names[c.Name] {
			err = errors.New("is named twice")
		}
		names[c.Name] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("site %q: %w", c.Name, err))
			continue
		}
		s := &site{name: c.Name, tls: p.siteConfig(c)}
		t.sites = append(t.sites, s)
		if c.Name == fallback {
			t.fallback = s
		}
		for _, h := range c.Hostnames {
			if err := t.add(h, s); err != nil {
				errs = append(errs, fmt.Errorf("site %q: %w", c.Name, err))
			}
		}
	}
	if fallback != "" && t.fallback == nil {
		errs = append(errs, fmt.Errorf("default site %q is not among the sites: name one that is, or none", fallback))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

func (c *SiteConfig) validate() error {
	verifies := c.ClientAuth == tls.VerifyClientCertIfGiven || c.ClientAuth == tls.RequireAndVerifyClientCert
	switch {
	case c.Name == "":
		return errors.New("has no name")
	case c.Certificates == nil:
		return errors.New("has no source of certificates")
	case c.MinVersion != 0 && c.MinVersion != tls.VersionTLS12 && c.MinVersion != tls.VersionTLS13:
		return fmt.Errorf("minimum version %s is not supported: use TLS 1.2 or TLS 1.3", tls.VersionName(c.MinVersion))
	case verifies && c.ClientCAs == nil:
		return errors.New("client certificates are verified but no client CA is named")
	}
	return nil
}

func (t *Table) add(host string, s *site) error {
	name, err := hostname.Config(host)
	if err != nil {
		return fmt.Errorf("hostname %q: %w", host, err)
	}
	names := t.exact
	if name[0] == '*' {
		names, name = t.wildcard, hostname.Parent(name)
	}
	if other := names[name]; other != nil && other != s {
		return fmt.Errorf("hostname %q belongs to site %q already", host, other.name)
	}
	names[name] = s
	return nil
}
