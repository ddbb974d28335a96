package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// host is what clients call every server, in SNI and in requests.
const host = "localhost"

// object is what the origin serves at a path.
type object struct {
	path string
	size int
	// relayed is how many URLs of it relayed loads go round, of those that
	// -urls says; 0 when there are no such loads.
	relayed float64
}

// objects are random bytes, so that nobody can compress them.
var objects = [...]object{{"/o/1k", 1 << 10, 1}, {"/o/16k", 16 << 10, 0.5}, {"/o/1m", 1 << 20, 0}}

func objectPaths() (paths []string) {
	for _, o := range objects {
		paths = append(paths, o.path)
	}
	return paths
}

// stage is what the servers have in common: a folder, a certificate, the
// objects and their origin.
type stage struct {
	// Static after newStage.
	dir       string
	nginxPath string
	cert, key string // files
	roots     *x509.CertPool
	sums      map[string][sha256.Size]byte // of objects, by path
	origin    string                       // address

	// Owned by who runs the bench.
	running []*process
	count   int // servers started
}

// newStage prepares a folder and starts the origin.
func newStage(ctx context.Context) (s *stage, err error) {
	s = &stage{sums: map[string][sha256.Size]byte{}, roots: x509.NewCertPool()}
	if s.nginxPath, err = need("nginx", "nginx-light"); err != nil {
		return nil, err
	}
	for _, p := range [][2]string{{"taskset", "util-linux"}, {"wrk", "wrk"}, {"h2load", "nghttp2-client"}} {
		if _, err := need(p[0], p[1]); err != nil {
			return nil, err
		}
	}
	if s.dir, err = os.MkdirTemp("", "landfall-bench-"); err != nil {
		return nil, err
	}
	for _, step := range []func() error{s.writeObjects, s.writeCertificate, s.writeTLSConf, func() error { return s.startOrigin(ctx) }} {
		if err := step(); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// close ends all processes and removes the folder.
func (s *stage) close() error {
	for _, p := range slices.Backward(s.running) {
		p.stop()
	}
	return os.RemoveAll(s.dir)
}

func (s *stage) www() string { return filepath.Join(s.dir, "www") }

func (s *stage) writeObjects() error {
	if err := os.MkdirAll(filepath.Join(s.www(), "o"), 0o755); err != nil {
		return err
	}
	for _, o := range objects {
		data := make([]byte, o.size)
		_, _ = rand.Read(data) // never fails
		s.sums[o.path] = sha256.Sum256(data)
		if err := os.WriteFile(filepath.Join(s.www(), o.path), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeCertificate makes the certificate that all servers show: ECDSA
// P-256, so that handshakes cost all of them the same signature.
func (s *stage) writeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	s.cert, s.key = filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.roots.AppendCertsFromPEM(cert)
	return errors.Join(
		os.WriteFile(s.cert, cert, 0o644),
		os.WriteFile(s.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// tlsConf is for clients that use OpenSSL: one suite for all servers.
func (s *stage) tlsConf() string { return filepath.Join(s.dir, "openssl.cnf") }

func (s *stage) writeTLSConf() error {
	return os.WriteFile(s.tlsConf(), []byte(`openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
`), 0o644)
}

// startOrigin runs a plain server of the objects beside the clients.
func (s *stage) startOrigin(ctx context.Context) (err error) {
	if s.origin, err = freeAddr(); err != nil {
		return err
	}
	_, err = s.runNginx(ctx, "origin", clientCPU, s.origin, fmt.Sprintf(
		"server { listen %s backlog=4096; root %s; add_header Cache-Control \"public, max-age=3600\"; }", s.origin, s.www()))
	return err
}

// folder makes a folder for one more server.
func (s *stage) folder(name string) (string, error) {
	s.count++
	dir := filepath.Join(s.dir, fmt.Sprintf("%s-%d", name, s.count))
	return dir, os.Mkdir(dir, 0o755)
}

// launch starts a program that close ends at the latest.
func (s *stage) launch(dir, name, cpu string, args []string, env ...string) (*process, error) {
	p, err := launch(dir, name, cpu, args, env)
	if err == nil {
		s.running = append(s.running, p)
	}
	return p, err
}

// end stops one process before the others.
func (s *stage) end(p *process) {
	s.running = slices.DeleteFunc(s.running, func(q *process) bool { return q == p })
	p.stop()
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
