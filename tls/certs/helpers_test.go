package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/tls/certs/local"
)

// rig is a manager with the means to feed it.
type rig struct {
	*testing.T
	ca  *local.Authority
	m   *Manager
	reg *prometheus.Registry
	dir string
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	ca, err := local.Open(filepath.Join(dir, "ca"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, ca: ca, reg: prometheus.NewRegistry(), dir: dir}
	c := Config{Authority: ca, Log: zap.NewNop(), Registerer: r.reg}
	if change != nil {
		change(&c)
	}
	r.m = New(c)
	return r
}

// pem returns a new certificate and key for a.test, issued at a time.
func (r *rig) pem(at time.Time) (cert, key []byte, serial string) {
	r.Helper()
	c, err := r.ca.Issue([]string{"a.test"}, at)
	if err != nil {
		r.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		r.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), c.Leaf.SerialNumber.Text(16)
}

func (r *rig) write(name string, data []byte) {
	r.Helper()
	name = filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		r.Fatal(err)
	}
}

// fresh writes a new pair under two names and returns its serial number.
func (r *rig) fresh(certName, keyName string) string {
	r.Helper()
	cert, key, serial := r.pem(time.Now())
	r.write(certName, cert)
	r.write(keyName, key)
	return serial
}

func (r *rig) spec() Spec {
	return Spec{
		Site: "a", Hostnames: []string{"a.test"}, Kind: Files,
		CertFile: filepath.Join(r.dir, "live", "a.crt"), KeyFile: filepath.Join(r.dir, "live", "a.key"),
	}
}

// commit prepares and commits specs, and fails the test on a problem.
func (r *rig) commit(specs ...Spec) *Set {
	r.Helper()
	set := r.m.Prepare(specs)
	for _, p := range set.Problems() {
		r.Fatalf("site %s: %v", p.Site, p.Err)
	}
	r.m.Commit(set)
	return set
}

// serial returns the serial number that a site serves, or "none".
func serial(s Source) string {
	cert, err := s.Certificate(&tls.ClientHelloInfo{ServerName: "a.test"})
	if err != nil {
		return "none"
	}
	return cert.Leaf.SerialNumber.Text(16)
}

// told is a notifier that tells what the test says.
type told struct {
	deaf
	ch chan fsnotify.Event
}

func (t told) events() <-chan fsnotify.Event { return t.ch }
