package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"
)

const (
	alertProtocolVersion  = 70
	alertInternalError    = 80
	alertUnrecognizedName = 112
)

// validators answers challenges of the names it holds.
type validators map[string]*tls.Certificate

func (v validators) ChallengeCertificate(name string) (*tls.Certificate, bool) {
	cert, ok := v[name]
	return cert, ok
}

func TestRefusals(t *testing.T) {
	ca := authority(t)
	order := issued(t, ca, "a.test").cert
	for _, tc := range []struct {
		name   string
		client *tls.Config
		alert  int
		counts refusal
	}{
		{"unknown name", &tls.Config{ServerName: "stranger.test"}, alertUnrecognizedName, unknownName},
		{"no name", &tls.Config{InsecureSkipVerify: true}, alertUnrecognizedName, noName},
		{"no certificate yet", &tls.Config{ServerName: "empty.test"}, alertInternalError, noCertificate},
		{"validation, no order", &tls.Config{ServerName: "b.test", NextProtos: []string{"acme-tls/1"}}, alertUnrecognizedName, noChallenge},
		{"validation, stranger", &tls.Config{ServerName: "stranger.test", NextProtos: []string{"acme-tls/1"}}, alertUnrecognizedName, unknownName},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tc.name+" "+tls.VersionName(version), func(t *testing.T) {
				p := newPolicy(t, validators{"a.test": order, "stranger.test": order})
				swap(t, p, "", SiteConfig{Name: "a", Hostnames: []string{"a.test", "b.test"}, Certificates: issued(t, ca, "a.test")},
					SiteConfig{Name: "empty", Hostnames: []string{"empty.test"}, Certificates: fixed{err: errors.New("none yet")}})
				client := tc.client.Clone()
				client.MinVersion, client.MaxVersion = version, version
				_, w, err := handshake(p.ServerConfig(), client)
				if err == nil || w.alert() != tc.alert {
					t.Errorf("handshake = %v with alert %d, want alert %d", err, w.alert(), tc.alert)
				}
				for r := range numRefusals {
					want := 0.0
					if r == tc.counts {
						want = 1
					}
					if got := p.refusals(r); got != want {
						t.Errorf("refused for %s: %v times, want %v", refusals[r], got, want)
					}
				}
			})
		}
	}
}

func TestNothingIsServedBeforeTheFirstSwap(t *testing.T) {
	if _, w, err := handshake(newPolicy(t, nil).ServerConfig(), &tls.Config{ServerName: "a.test"}); err == nil || w.alert() != alertUnrecognizedName {
		t.Errorf("handshake = %v with alert %d, want alert %d", err, w.alert(), alertUnrecognizedName)
	}
}

func TestSitesAreServedTheirOwn(t *testing.T) {
	ca := authority(t)
	p := newPolicy(t, nil)
	sites := []string{"a.test", "b.test", "*.w.test"}
	var configs []SiteConfig
	for _, s := range sites {
		configs = append(configs, SiteConfig{Name: s, Hostnames: []string{s}, Certificates: issued(t, ca, s)})
	}
	swap(t, p, "b.test", configs...)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Root())
	for name, want := range map[string]string{"a.test": "a.test", "B.Test": "b.test", "x.w.test": "*.w.test"} {
		cs, _, err := handshake(p.ServerConfig(), &tls.Config{ServerName: name, RootCAs: roots})
		if err != nil || cs.PeerCertificates[0].DNSNames[0] != want {
			t.Errorf("%s: handshake = %v with a certificate for %v, want %s", name, err, cs.PeerCertificates, want)
		}
	}
	// A client that dials an address sends no name; crypto/tls then checks
	// the certificate's IP addresses.
	cs, _, err := handshake(p.ServerConfig(), &tls.Config{ServerName: "127.0.0.1", RootCAs: roots})
	if err != nil || cs.PeerCertificates[0].DNSNames[0] != "b.test" {
		t.Errorf("no name: handshake = %v, want the default site", err)
	}
}

func TestTerms(t *testing.T) {
	ca := authority(t)
	cert := issued(t, ca, "a.test", "strict.test")
	p := newPolicy(t, nil)
	swap(t, p, "", SiteConfig{Name: "a", Hostnames: []string{"a.test"}, Certificates: cert},
		SiteConfig{Name: "strict", Hostnames: []string{"strict.test"}, Certificates: cert, MinVersion: tls.VersionTLS13})
	dial := func(name string, c *tls.Config) (tls.ConnectionState, int, error) {
		c.ServerName, c.InsecureSkipVerify = name, true
		cs, w, err := handshake(p.ServerConfig(), c)
		return cs, w.alert(), err
	}
	cs, _, err := dial("a.test", &tls.Config{NextProtos: []string{"h2", "http/1.1"}})
	if err != nil || cs.Version != tls.VersionTLS13 || cs.CurveID != tls.X25519MLKEM768 || cs.NegotiatedProtocol != "h2" {
		t.Errorf("a modern client gets %s, %v, %q, %v; want TLS 1.3, X25519MLKEM768, h2", tls.VersionName(cs.Version), cs.CurveID, cs.NegotiatedProtocol, err)
	}
	modern := []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	cs, _, err = dial("a.test", &tls.Config{MaxVersion: tls.VersionTLS12})
	if err != nil || cs.Version != tls.VersionTLS12 || !slices.Contains(modern, cs.CipherSuite) {
		t.Errorf("a TLS 1.2 client gets %s, %s, %v", tls.VersionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite), err)
	}
	if _, _, err := dial("a.test", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}); err == nil {
		t.Error("a cipher suite without authenticated encryption is accepted")
	}
	for _, tc := range []struct {
		name    string
		version uint16
	}{{"a.test", tls.VersionTLS11}, {"strict.test", tls.VersionTLS12}} {
		_, alert, err := dial(tc.name, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tc.version})
		if err == nil || alert != alertProtocolVersion {
			t.Errorf("%s with %s: %v with alert %d, want alert %d", tc.name, tls.VersionName(tc.version), err, alert, alertProtocolVersion)
		}
	}
}

func TestValidation(t *testing.T) {
	ca := authority(t)
	order := issued(t, ca, "order.test").cert
	p := newPolicy(t, validators{"a.test": order})
	swap(t, p, "", SiteConfig{Name: "a", Hostnames: []string{"a.test"}, Certificates: issued(t, ca, "a.test")})
	dial := func(protos ...string) tls.ConnectionState {
		t.Helper()
		cs, _, err := handshake(p.ServerConfig(), &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, NextProtos: protos})
		if err != nil {
			t.Fatal(err)
		}
		return cs
	}
	if cs := dial("acme-tls/1"); cs.NegotiatedProtocol != "acme-tls/1" || cs.PeerCertificates[0].DNSNames[0] != "order.test" {
		t.Errorf("validation gets %q and a certificate for %v", cs.NegotiatedProtocol, cs.PeerCertificates[0].DNSNames)
	}
	if cs := dial("acme-tls/1", "h2"); cs.NegotiatedProtocol != "h2" || cs.PeerCertificates[0].DNSNames[0] != "a.test" {
		t.Errorf("a client that also offers h2 gets %q and a certificate for %v, want the site's", cs.NegotiatedProtocol, cs.PeerCertificates[0].DNSNames)
	}
}

func TestClientAuth(t *testing.T) {
	ca, friends, strangers := authority(t), newClientCA(t), newClientCA(t)
	roots := x509.NewCertPool()
	roots.AddCert(friends.root)
	p := newPolicy(t, nil)
	swap(t, p, "",
		SiteConfig{Name: "open", Hostnames: []string{"open.test"}, Certificates: issued(t, ca, "open.test")},
		SiteConfig{
			Name: "closed", Hostnames: []string{"closed.test"}, Certificates: issued(t, ca, "closed.test"),
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		})
	for _, tc := range []struct {
		name, host string
		certs      []tls.Certificate
		ok         bool
	}{
		{"open, without", "open.test", nil, true},
		{"closed, without", "closed.test", nil, false},
		{"closed, of another CA", "closed.test", []tls.Certificate{strangers.issue(t)}, false},
		{"closed, of its CA", "closed.test", []tls.Certificate{friends.issue(t)}, true},
	} {
		c := &tls.Config{ServerName: tc.host, InsecureSkipVerify: true, Certificates: tc.certs}
		if _, _, err := handshake(p.ServerConfig(), c); (err == nil) != tc.ok {
			t.Errorf("%s: handshake = %v, want ok %v", tc.name, err, tc.ok)
		}
	}
}

// clientCA signs client certificates.
type clientCA struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newClientCA(t *testing.T) clientCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := clientCA{key: key, root: &x509.Certificate{
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	ca.root.Subject.CommonName = rand.Text()
	ca.root = ca.sign(t, ca.root)
	return ca
}

func (c clientCA) sign(t *testing.T, template *x509.Certificate) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, c.root, c.key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (c clientCA) issue(t *testing.T) tls.Certificate {
	t.Helper()
	leaf := c.sign(t, &x509.Certificate{
		NotBefore: c.root.NotBefore, NotAfter: c.root.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: c.key}
}
