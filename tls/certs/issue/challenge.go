package issue

import (
	"crypto/tls"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// ChallengePath is where a CA asks for the answer to an HTTP-01 challenge
// (RFC 8555, 8.3).
const ChallengePath = "/.well-known/acme-challenge/"

// answer is the certificate that answers one TLS-ALPN challenge.
type answer struct {
	token string
	cert  *tls.Certificate
}

// HandleHTTPChallenge returns the body, a key authorization, to answer a
// GET for path at host with, in text/plain. It is false for all that an
// order in flight does not ask for, and costs a map read then.
func (i *Issuer) HandleHTTPChallenge(host, path string) (keyAuthorization string, ok bool) {
	if !strings.HasPrefix(path, ChallengePath) {
		return "", false
	}
	_, c, ok := i.challenge(host, acme.ChallengeTypeHTTP01)
	if !ok || path != c.HTTP01ResourcePath() {
		return "", false
	}
	i.met.answers[overHTTP].Inc()
	return c.KeyAuthorization, true
}

// ChallengeCertificate returns the certificate that answers the TLS-ALPN
// challenge (RFC 8737) of a name, or false when no order asks for one.
func (i *Issuer) ChallengeCertificate(name string) (*tls.Certificate, bool) {
	s, c, ok := i.challenge(name, acme.ChallengeTypeTLSALPN01)
	if !ok {
		return nil, false
	}
	i.met.answers[overTLS].Inc()
	if a := s.answer.Load(); a != nil && a.token == c.Token {
		return a.cert, true
	}
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		i.log.Error("cannot answer a TLS-ALPN challenge", zap.String("name", name), zap.Error(err))
		return nil, false
	}
	s.answer.Store(&answer{token: c.Token, cert: cert})
	return cert, true
}

// challenge returns the challenge of an order in flight for a name that is
// managed. Certmagic keeps challenges in memory that the whole process
// shares; names of strangers do not get there.
func (i *Issuer) challenge(name, kind string) (*slot, acme.Challenge, bool) {
	canonical, s := i.find(name)
	if s == nil {
		return nil, acme.Challenge{}, false
	}
	c, ok := certmagic.GetACMEChallenge(canonical)
	if !ok || c.Type != kind {
		return nil, acme.Challenge{}, false
	}
	return s, c.Challenge, true
}
