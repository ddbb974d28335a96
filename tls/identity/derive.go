package identity

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/landfall-cdn/landfall/internal/must"
)

// MinSecret is the length of the shortest secret, in bytes.
const MinSecret = 32

// What every certificate of the derived CA says, whenever and wherever it
// is made: nodes that share a secret then have the same CA, byte for byte,
// and no clock can be so wrong that it is not valid.
var (
	caBegins = time.Unix(0, 0).UTC()
	// caEnds says that it has no end (RFC 5280, 4.1.2.5): it lives as long
	// as the secret.
	caEnds = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

const (
	// leafLife is how long a derived certificate of a node is valid from
	// when it is made; it is replaced with a third of that left.
	leafLife = 7 * 24 * time.Hour
	// backdate lets nodes whose clocks are behind accept a new one.
	backdate = 24 * time.Hour
)

// CheckSecret says why secret cannot be a PoP's, or nil.
func CheckSecret(secret []byte) error {
	if len(secret) < MinSecret {
		return fmt.Errorf("the PoP's secret has %d bytes: use at least %d random ones, as from `openssl rand -hex 32`", len(secret), MinSecret)
	}
	return nil
}

// Derive returns the identity of a node in a PoP whose nodes share secret,
// at least MinSecret random bytes. Whoever knows the secret can be any
// node. All PoPs with one secret trust each other's nodes.
func Derive(secret []byte, pop string, id uint8, now time.Time) (*Identity, error) {
	self := Peer{Pop: pop, ID: id}
	if err := self.validate(); err != nil {
		return nil, err
	}
	if err := CheckSecret(secret); err != nil {
		return nil, err
	}
	ca, err := newAuthority(secret)
	if err != nil {
		return nil, err
	}
	i := &Identity{self: self, roots: x509.NewCertPool(), renew: func(now time.Time) (*leaf, error) { return ca.issue(self, now) }}
	i.roots.AddCert(ca.root)
	first, err := i.renew(now)
	if err != nil {
		return nil, err
	}
	i.current.Store(first)
	return i, nil
}

// GossipKey returns the key, 32 bytes, with which the nodes of a PoP
// encrypt their gossip. Each PoP has its own, so that two PoPs with one
// secret do not become one by mistake.
func GossipKey(secret []byte, pop string) []byte {
	return derived(secret, "landfall gossip "+pop)
}

func derived(secret []byte, info string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, info, 32)
	must.True(err == nil, "derive a key: %v", err)
	return key
}

// authority is the CA that a secret implies.
type authority struct {
	root *x509.Certificate
	key  ed25519.PrivateKey
}

func newAuthority(secret []byte) (*authority, error) {
	// Ed25519 signatures depend on nothing but key and message (RFC 8032).
	key := ed25519.NewKeyFromSeed(derived(secret, "landfall node ca"))
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Organization: []string{"Landfall"}, CommonName: "Landfall nodes"},
		NotBefore:             caBegins,
		NotAfter:              caEnds,
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("derive the CA of the nodes: %w", err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("derive the CA of the nodes: %w", err)
	}
	return &authority{root: root, key: key}, nil
}

// issue makes a new key and certificate of a node.
func (a *authority) issue(node Peer, now time.Time) (*leaf, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %s: %w", node, err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"Landfall"}, CommonName: node.URI()},
		URIs:        []*url.URL{{Scheme: scheme, Host: node.Pop, Path: node.path()}},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %s: %w", node, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %s: %w", node, err)
	}
	return &leaf{
		cert: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed},
		made: now,
		due:  now.Add(leafLife * 2 / 3),
	}, nil
}
