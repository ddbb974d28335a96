package configs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func parseSite(t *testing.T, file, document string) *Site {
	t.Helper()
	s, diags := ParseSite(file, []byte(document), Options{})
	if s == nil {
		t.Fatal(diags)
	}
	return s
}

// expect compares the findings, one a line, with what they begin with.
func expect(t *testing.T, got Diagnostics, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d findings, want %d:\n%s", len(got), len(want), got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i].String(), want[i]) {
			t.Errorf("finding %d is\n%s\nwant it to begin with\n%s", i, got[i], want[i])
		}
	}
}

func TestCheckSetDuplicates(t *testing.T) {
	a := parseSite(t, "a.yaml", "hostnames: [one.example, two.example]\norigins: ['https://o.example']\n")
	b := parseSite(t, "b.yaml", "name: a\nhostnames:\n  - three.example\n  - TWO.example\norigins: ['https://o.example']\n")
	expect(t, CheckSet([]*Site{a, b}, &Node{}),
		`b.yaml:1: name: "a" is the name of the site in a.yaml too`,
		`b.yaml:4: hostnames[1]: two.example belongs to the site "a" already, at a.yaml:1`)
	expect(t, CheckSet([]*Site{a}, &Node{}))
}

func TestCheckSetRanges(t *testing.T) {
	s := parseSite(t, "s.yaml", `
hostnames: [one.example]
origins: ["http://10.1.2.3", "http://127.0.0.1:3000", "http://localhost:3000", "http://[::1]", "https://o.example"]
`)
	allow := func(prefixes ...string) *Node {
		n := &Node{}
		for _, p := range prefixes {
			n.Origins.Allow = append(n.Origins.Allow, netip.MustParsePrefix(p))
		}
		return n
	}
	expect(t, CheckSet([]*Site{s}, allow("127.0.0.0/8", "10.1.0.0/16")),
		"s.yaml:3: origins[3].url: ::1 is loopback")
	expect(t, CheckSet([]*Site{s}, allow("::1/128", "10.0.0.0/8")),
		"s.yaml:3: origins[1].url: 127.0.0.1 is loopback")
	expect(t, CheckSet([]*Site{s}, nil),
		"s.yaml:3: origins[0].url: warning: 10.1.2.3 is private",
		"s.yaml:3: origins[1].url: warning: 127.0.0.1 is loopback",
		"s.yaml:3: origins[2].url: warning: localhost is this machine",
		"s.yaml:3: origins[3].url: warning: ::1 is loopback")
}

func TestCheckSetCertificates(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "a", "shop.example.com", "*.shop.example.com")
	writePair(t, dir, "b", "other.example")
	write(t, dir, "text.pem", "not PEM\n")
	write(t, dir, "bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	tests := []struct {
		name      string
		cert, key string
		want      string // "" is no finding
	}{
		{name: "good", cert: "a.crt", key: "a.key"},
		{name: "no certificate file", cert: "none.crt", key: "a.key", want: "tls.cert.certificate: DIR/none.crt cannot be read: no such file"},
		{name: "no key file", cert: "a.crt", key: "none.key", want: "tls.cert.key: DIR/none.key cannot be read: no such file"},
		{name: "another's key", cert: "a.crt", key: "b.key", want: "tls.cert.key: DIR/b.key is no key for DIR/a.crt: tls: private key does not match"},
		{name: "no PEM", cert: "text.pem", key: "a.key", want: "tls.cert.certificate: DIR/text.pem holds no certificate"},
		{name: "broken certificate", cert: "bad.pem", key: "a.key", want: "tls.cert.certificate: DIR/bad.pem: certificate 1 cannot be read"},
		{name: "a folder", cert: ".", key: "a.key", want: "tls.cert.certificate: DIR is not a regular file"},
		{name: "another's name", cert: "b.crt", key: "b.key", want: "hostnames[0]: warning: shop.example.com is not covered by DIR/b.crt, which is for other.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parseSite(t, filepath.Join(dir, "s.yaml"), fmt.Sprintf(
				"hostnames: [shop.example.com]\norigins: ['https://o.example']\ntls: { cert: { certificate: %s, key: %s } }\n", tt.cert, tt.key))
			got := strings.ReplaceAll(CheckSet([]*Site{s}, &Node{}).String(), dir, "DIR")
			line := "DIR/s.yaml:3: "
			if strings.HasPrefix(tt.want, "hostnames") {
				line = "DIR/s.yaml:1: "
			}
			if tt.want == "" && got != "" || tt.want != "" && !strings.HasPrefix(got, line+tt.want) {
				t.Errorf("got\n%swant\n%s", got, line+tt.want)
			}
		})
	}
	wild := parseSite(t, filepath.Join(dir, "w.yaml"),
		"hostnames: ['*.shop.example.com']\norigins: ['https://o.example']\ntls: { cert: { certificate: a.crt, key: a.key } }\n")
	expect(t, CheckSet([]*Site{wild}, &Node{}))
	if pair, err := wild.TLS.Cert.KeyPair(); err != nil || pair.Leaf == nil {
		t.Errorf("KeyPair = %v, %v", pair, err)
	}
	if _, err := CertPool(filepath.Join(dir, "a.crt")); err != nil {
		t.Errorf("CertPool: %v", err)
	}
}

func TestCheckSetFiles(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "a", "shop.example.com")
	write(t, dir, "md5", "s3cret\n")
	write(t, dir, "long", strings.Repeat("x", 81))
	write(t, dir, "mac", "bm90IGEgc2VjcmV0\n")
	write(t, dir, "empty", "\n")
	write(t, dir, "pop", strings.Repeat("k", 32))
	writePair(t, dir, "b", "node")
	const document = `node: { id: 1 }
listen: { https: ["127.0.0.1:8443"], peer: "10.0.0.11:7443" }
acme: { ca_root: %s, eab: { key_id: k, mac_key: { file: %s } } }
pop: { listen: "10.0.0.11:7946", secret: { file: %s }, tls: { ca: a.crt, certificate: a.crt, key: %s } }
bgp: { asn: 65001, router_id: 10.0.0.11, vips: ["198.51.100.10/32"],
       peers: [{ address: 10.0.0.1, asn: 64500, password: { file: %s } }] }
`
	node := func(files ...any) *Node {
		n, diags := ParseNode(filepath.Join(dir, "node.yaml"), fmt.Appendf(nil, document, files...))
		if n == nil {
			t.Fatal(diags)
		}
		return n
	}
	file := filepath.Join(dir, "node.yaml")
	good := node("a.crt", "mac", "pop", "a.key", "md5")
	expect(t, CheckSet(nil, good))
	expect(t, CheckSet(nil, node("none", "md5!", "empty", "none", "long")),
		file+":3: acme.ca_root: "+dir+"/none cannot be read",
		file+":3: acme.eab.mac_key.file: "+dir+"/md5! cannot be read",
		file+":4: pop.secret.file: "+dir+"/empty is empty",
		file+":4: pop.tls.key: "+dir+"/none cannot be read",
		file+":6: bgp.peers[0].password.file: "+dir+"/long does not hold a TCP MD5 key")
	expect(t, CheckSet(nil, node("a.key", "a.key", "md5", "b.key", "md5")),
		file+":3: acme.ca_root: "+dir+"/a.key holds no certificate",
		file+":3: acme.eab.mac_key.file: "+dir+"/a.key does not hold base64url",
		file+":4: pop.secret.file: "+dir+"/md5 has 6 bytes",
		file+":4: pop.tls.key: "+dir+"/b.key is no key for "+dir+"/a.crt")
	if secret, err := good.BGP.Peers[0].Password.Read(); err != nil || string(secret) != "s3cret" {
		t.Errorf("secret = %q, %v", secret, err)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writePair writes name.crt and name.key, a certificate for the hosts.
func writePair(t *testing.T, dir, name string, hosts ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir, name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}
