// Package policy decides, from the server name that a client asks for, the
// terms of its TLS handshake: which site, hence which certificates,
// versions, client authentication and ticket keys, or a refusal. It owns
// the table of sites and the rotation of their ticket keys. It never gets
// or checks certificates, opens no socket and touches no storage.
package policy

import (
	"context"
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/landfall-cdn/landfall/tls/tickets"
)

// acmeProtocol is the only protocol that the validation handshake of a
// certificate authority offers (RFC 8737, 3).
const acmeProtocol = "acme-tls/1"

// rotationCheck bounds how late a rotation can be after the clock was set
// or the machine slept.
const rotationCheck = time.Minute

// Challenges answers the validation handshakes of certificate authorities.
// It must not wait for anything.
type Challenges interface {
	// ChallengeCertificate returns the certificate that proves control of
	// a name (RFC 8737, 3), or false when no order for it is in flight.
	ChallengeCertificate(name string) (*tls.Certificate, bool)
}

// Config is what New needs.
type Config struct {
	// Tickets derives the session ticket keys of the sites.
	Tickets *tickets.Ring
	// Challenges answers validation handshakes; nil refuses them.
	Challenges Challenges
	// ECH gives the keys for encrypted client hellos (RFC 9849) at a time;
	// nil opens none. It is called in every handshake and must not wait.
	// Sites are found by the name inside such a hello. The public name
	// that the keys are for needs a site and a certificate too: clients
	// with an outdated key are told the right one there.
	ECH func(now time.Time) []tls.EncryptedClientHelloKey
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
}

// Policy chooses the terms of each handshake.
type Policy struct {
	// Static after New.
	tickets    *tickets.Ring
	challenges Challenges
	ech        func(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) // nil: none
	met        *metrics
	refuse     *tls.Config

	// Swapped whole, read without a lock.
	table atomic.Pointer[Table]

	// mu orders Swap and rotation, so that no table that is served can
	// miss a rotation.
	mu sync.Mutex
}

// New returns a policy that refuses every handshake until the first Swap.
func New(c Config) *Policy {
	p := &Policy{
		tickets:    c.Tickets,
		challenges: c.Challenges,
		met:        newMetrics(c.Registerer),
		// A config with no certificate makes crypto/tls send
		// unrecognized_name (RFC 6066, 3). An error from
		// GetConfigForClient would send internal_error.
		refuse: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil },
		},
	}
	if c.ECH != nil {
		p.ech = func(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) { return c.ECH(time.Now()), nil }
	}
	p.table.Store(&Table{})
	return p
}

// Swap serves new handshakes from t, which must come from p.Build.
// Connections that are open keep the terms they have.
func (p *Policy) Swap(t *Table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setKeys(t, time.Now())
	p.table.Store(t)
}

// Lookup returns the site that a server name leads to in the table that is
// served now; see Table.Lookup.
func (p *Policy) Lookup(serverName string) (site string, ok bool) {
	return p.table.Load().Lookup(serverName)
}

// Run rotates the ticket keys of the sites that are served until ctx is
// done.
func (p *Policy) Run(ctx context.Context, ready func()) error {
	ready()
	for {
		now := time.Now()
		due := p.tickets.Rotation(now)
		wait := time.NewTimer(min(due.Sub(now), rotationCheck))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		if now := time.Now(); !now.Before(due) {
			p.rotate(now)
		}
	}
}

func (p *Policy) rotate(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setKeys(p.table.Load(), now)
	p.met.rotations.Inc()
}

// setKeys gives every site its own keys. A config without any would take
// the base config's, and tickets of one site would resume at another. It
// is the sites' configs that get them, as QUIC clones the base config once
// and would never see a later key there.
func (p *Policy) setKeys(t *Table, now time.Time) {
	for _, s := range t.sites {
		s.tls.SetSessionTicketKeys(p.tickets.Keys(s.name, now))
	}
}

// ServerConfig returns the config for a listener on TCP; for QUIC, pass it
// through http3.ConfigureTLSConfig. It follows every Swap and rotation and
// may be called any number of times.
func (p *Policy) ServerConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		GetConfigForClient: p.choose,
		// Here it opens hellos, in the sites' configs it tells clients
		// whose hello could not be opened what to use.
		GetEncryptedClientHelloKeys: p.ech,
	}
}

// choose is the way of every handshake: one load, one map read (two for a
// wildcard), and a config that was built beforehand.
func (p *Policy) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s := p.table.Load().find(hello.ServerName)
	if s == nil {
		if hello.ServerName == "" {
			p.met.refused[noName].Inc()
		} else {
			p.met.refused[unknownName].Inc()
		}
		return p.refuse, nil
	}
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeProtocol {
		return p.validation(hello.ServerName), nil
	}
	return s.tls, nil
}

// validation answers a certificate authority that checks control of name.
func (p *Policy) validation(name string) *tls.Config {
	if p.challenges != nil {
		if cert, ok := p.challenges.ChallengeCertificate(name); ok {
			return &tls.Config{
				MinVersion:             tls.VersionTLS12,
				NextProtos:             []string{acmeProtocol},
				Certificates:           []tls.Certificate{*cert},
				SessionTicketsDisabled: true,
			}
		}
	}
	p.met.refused[noChallenge].Inc()
	return p.refuse
}

// siteConfig builds the config that all handshakes of a site share.
func (p *Policy) siteConfig(c *SiteConfig) *tls.Config {
	return &tls.Config{
		MinVersion: max(c.MinVersion, tls.VersionTLS12),
		NextProtos: []string{"h2", "http/1.1"},
		// TLS 1.2 with forward secrecy and authenticated encryption only
		// (RFC 9325, 4.2). TLS 1.3 and the key exchanges, of which the
		// post-quantum hybrid comes first, are crypto/tls's own choice.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		ClientAuth:     c.ClientAuth,
		ClientCAs:      c.ClientCAs,
		GetCertificate: p.certificate(c.Certificates),

		GetEncryptedClientHelloKeys: p.ech,
	}
}

// certificate counts the handshakes that find no certificate. They end
// with internal_error: the name is known, it is us who cannot serve it.
func (p *Policy) certificate(from Source) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := from.Certificate(hello)
		if err != nil {
			p.met.refused[noCertificate].Inc()
		}
		return cert, err
	}
}
