package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var secret = bytes.Repeat([]byte{5}, MinSecret)

func derive(t testing.TB, secret []byte, pop string, id uint8) *Identity {
	t.Helper()
	i, err := Derive(secret, pop, id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// result is how a handshake ended for each of its ends.
type result struct {
	server, client       error
	toServer, toClient   tls.ConnectionState // what each saw of the other
	serverPeer, dialPeer Peer
}

func (r result) ok() bool { return r.server == nil && r.client == nil }

// meet runs one connection over a pipe. A server writes as soon as it has
// accepted, as only then the client learns whether it was.
func meet(server, client *tls.Config) (r result) {
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		c := tls.Server(far, server)
		if r.server = c.Handshake(); r.server == nil {
			_, r.server = c.Write([]byte{1})
		}
		r.toServer = c.ConnectionState()
		_ = far.Close()
	}()
	c := tls.Client(near, client)
	if r.client = c.Handshake(); r.client == nil {
		_, r.client = io.ReadFull(c, make([]byte, 1))
	}
	r.toClient = c.ConnectionState()
	_ = near.Close()
	<-served
	r.serverPeer, _ = PeerOf(r.toServer)
	r.dialPeer, _ = PeerOf(r.toClient)
	return r
}

// signer is a CA that somebody else runs.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Somebody's CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{cert: cert, key: key}
}

// sign returns a certificate of a node for an hour, changed by edit.
func (s *signer) sign(t testing.TB, uri string, edit func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "a node"},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"node.test"},
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.cert, key.Public(), s.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// pki is the three files of a node, in a directory of their own.
type pki struct{ ca, cert, key string }

func newPKI(t testing.TB) pki {
	dir := t.TempDir()
	return pki{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "node.pem"), filepath.Join(dir, "node.key")}
}

func (p pki) write(t testing.TB, ca *signer, cert *tls.Certificate) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, p.ca, "CERTIFICATE", ca.cert.Raw)
	writePEM(t, p.cert, "CERTIFICATE", cert.Certificate[0])
	writePEM(t, p.key, "PRIVATE KEY", der)
}

func writePEM(t testing.TB, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
