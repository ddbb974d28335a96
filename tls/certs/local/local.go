// Package local is a small CA for laboratories and development: a root key
// in a directory of the node, or one that follows from a secret that nodes
// share, and short-lived certificates signed by it. Clients that are told
// to trust the root trust whoever can read the directory or the secret, so
// it is no CA for the public. It renews nothing by itself.
package local

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	rootFile = "root.crt"
	keyFile  = "root.key"

	rootLife = 10 * 365 * 24 * time.Hour
	leafLife = 7 * 24 * time.Hour
	// backdate lets clients whose clocks are behind accept a new leaf.
	backdate = time.Hour
)

// Authority is a root certificate and its key. It is immutable and safe to
// share.
type Authority struct {
	file string
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Open returns the CA kept in dir, which must be of its own; it is made
// when absent. Processes that make it at the same time end up with one.
func Open(dir string, now time.Time) (*Authority, error) {
	a, err := load(dir, now)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if err := create(dir, now); err != nil {
		return nil, fmt.Errorf("create the local CA in %s: %w", dir, err)
	}
	return load(dir, now)
}

// RootFile returns the path of the root certificate in PEM, as clients
// take it: curl --cacert.
func (a *Authority) RootFile() string { return a.file }

// Root returns the root certificate. It must not be changed.
func (a *Authority) Root() *x509.Certificate { return a.root }

func load(dir string, now time.Time) (*Authority, error) {
	name := filepath.Join(dir, keyFile)
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("local CA: others may read %s (mode %#o): chmod 600 it, or remove %s for a new CA", name, mode, dir)
	}
	a := &Authority{file: filepath.Join(dir, rootFile)}
	pair, err := tls.LoadX509KeyPair(a.file, name)
	if err != nil {
		return nil, fmt.Errorf("local CA in %s: %w; remove the directory for a new CA", dir, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	switch {
	case !ok || !pair.Leaf.IsCA:
		return nil, fmt.Errorf("local CA: %s is not a CA made by Landfall: remove the directory for a new one", a.file)
	case now.After(pair.Leaf.NotAfter):
		return nil, fmt.Errorf("local CA: %s expired at %s: remove the directory for a new one", a.file, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	a.root, a.key = pair.Leaf, key
	return a, nil
}

// create makes key and certificate aside and moves them into place in one
// step: whoever comes second finds dir taken, which is as good.
func create(dir string, now time.Time) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	aside, err := os.MkdirTemp(parent, ".ca-*") // mode 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := rootTemplate(now.Add(-backdate), now.Add(rootLife))
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(aside, rootFile), "CERTIFICATE", der); err != nil {
		return err
	}
	if err := writePEM(filepath.Join(aside, keyFile), "PRIVATE KEY", keyDER); err != nil {
		return err
	}
	if err := os.Rename(aside, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func rootTemplate(begins, ends time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Landfall"}, CommonName: "Landfall local CA"},
		NotBefore:             begins,
		NotAfter:              ends,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
}

func writePEM(name, kind string, der []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := pem.Encode(f, &pem.Block{Type: kind, Bytes: der}); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// Issue signs a new certificate and key for hostnames, which may be
// wildcards and IP addresses. It also covers the loopback addresses, by
// which a node on the same machine is reached. The chain ends with the
// leaf, as clients have the root.
func (a *Authority) Issue(hostnames []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"Landfall"}},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, h := range hostnames {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	if a.root.NotAfter.Before(template.NotAfter) {
		template.NotAfter = a.root.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("local CA: sign for %q: %w", hostnames, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// RenewAt returns when a leaf is to be replaced: with a third of its life
// left.
func RenewAt(leaf *x509.Certificate) time.Time {
	return leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3)
}
