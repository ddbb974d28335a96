package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxFile bounds a PEM file, in bytes.
const maxFile = 1 << 20

// Load returns the identity of a node whose certificates somebody else
// makes. Ca holds the roots that all nodes are signed under, certificate
// the chain of this node, leaf first, and key its key; all are PEM files.
// The leaf must name landfall://POP/node/ID and be good for both ends of a
// connection. Certificate and key are read again when they near their end.
func Load(ca, certificate, key, pop string, id uint8) (*Identity, error) {
	self := Peer{Pop: pop, ID: id}
	if err := self.validate(); err != nil {
		return nil, err
	}
	roots, err := readRoots(ca)
	if err != nil {
		return nil, err
	}
	f := files{certificate: certificate, key: key, ca: ca, roots: roots, self: self}
	i := &Identity{self: self, roots: roots, renew: f.read}
	first, err := i.renew(time.Now())
	if err != nil {
		return nil, err
	}
	i.current.Store(first)
	return i, nil
}

func readRoots(name string) (*x509.CertPool, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("CA of the nodes: %w", err)
	}
	roots, n := x509.NewCertPool(), 0
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("CA of the nodes: %s: %w", name, err)
		}
		if !c.IsCA {
			return nil, fmt.Errorf("CA of the nodes: %s holds the certificate of %q, which is no CA", name, c.Subject)
		}
		roots.AddCert(c)
		n++
	}
	if n == 0 {
		return nil, fmt.Errorf("CA of the nodes: %s holds no PEM certificate", name)
	}
	return roots, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(f, maxFile+1))
	if err == nil && n > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes: is it a PEM file?", name, maxFile)
	}
	return b.Bytes(), err
}

// files are the certificate and key of a node on disk.
type files struct {
	certificate, key, ca string
	roots                *x509.CertPool
	self                 Peer
}

// read returns what the files hold if other nodes would accept it at now.
func (f files) read(now time.Time) (*leaf, error) {
	chain, err := readFile(f.certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate of this node: %w", err)
	}
	key, err := readFile(f.key)
	if err != nil {
		return nil, fmt.Errorf("key of this node: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s and key %s: %w", f.certificate, f.key, err)
	}
	if err := f.check(&pair, now); err != nil {
		return nil, fmt.Errorf("certificate of this node: %s: %w", f.certificate, err)
	}
	life := pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore)
	return &leaf{cert: &pair, made: pair.Leaf.NotBefore, due: pair.Leaf.NotAfter.Add(-life / 3)}, nil
}

func (f files) check(pair *tls.Certificate, now time.Time) error {
	who, err := named(pair.Leaf)
	if err != nil {
		return err
	}
	if who != f.self {
		return fmt.Errorf("it is that of %s, this node is %s", who, f.self)
	}
	if now.Before(pair.Leaf.NotBefore) || now.After(pair.Leaf.NotAfter) {
		return fmt.Errorf("it is valid from %s to %s, and now is %s",
			pair.Leaf.NotBefore.Format(time.RFC3339), pair.Leaf.NotAfter.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(c)
	}
	for _, end := range []struct {
		name  string
		usage x509.ExtKeyUsage
	}{{"servers", x509.ExtKeyUsageServerAuth}, {"clients", x509.ExtKeyUsageClientAuth}} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{
			Roots: f.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{end.usage},
		})
		var unfit x509.CertificateInvalidError
		if errors.As(err, &unfit) && unfit.Reason == x509.IncompatibleUsage {
			return fmt.Errorf("it is not for %s: its extended key usage needs both serverAuth and clientAuth", end.name)
		}
		if err != nil {
			return fmt.Errorf("the CA in %s does not vouch for it: %w", f.ca, err)
		}
	}
	return nil
}
