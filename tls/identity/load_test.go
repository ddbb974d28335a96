package identity

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	ca := newSigner(t)
	var nodes [2]*Identity
	for n := range nodes {
		p := newPKI(t)
		self := Peer{Pop: "fra", ID: uint8(n + 1)}
		p.write(t, ca, ca.sign(t, self.URI(), nil))
		var err error
		if nodes[n], err = Load(p.ca, p.cert, p.key, self.Pop, self.ID); err != nil {
			t.Fatal(err)
		}
	}
	if r := meet(nodes[0].Server(), nodes[1].Client(1)); !r.ok() || r.serverPeer != nodes[1].Self() {
		t.Errorf("server %v, client %v, met %v", r.server, r.client, r.serverPeer)
	}
	if r := meet(nodes[0].Server(), derive(t, secret, "fra", 2).Client(1)); r.server == nil && r.client == nil {
		t.Error("a node with a derived certificate meets one whose files name another CA")
	}
}

func TestLoadRefuses(t *testing.T) {
	ca, other := newSigner(t), newSigner(t)
	const uri = "landfall://fra/node/1"
	for _, tc := range []struct {
		name  string
		cert  *tls.Certificate
		spoil func(pki) error
		file  func(pki) string // that the error names
		says  string
	}{
		{"no CA", nil, func(p pki) error { return os.Remove(p.ca) }, func(p pki) string { return p.ca }, "no such file"},
		{"empty CA", nil, func(p pki) error { return os.WriteFile(p.ca, nil, 0o600) }, func(p pki) string { return p.ca }, "no PEM certificate"},
		{"a leaf for a CA", nil, func(p pki) error {
			data, err := os.ReadFile(p.cert)
			if err != nil {
				return err
			}
			return os.WriteFile(p.ca, data, 0o600)
		}, func(p pki) string { return p.ca }, "no CA"},
		{"no certificate", nil, func(p pki) error { return os.Remove(p.cert) }, func(p pki) string { return p.cert }, "no such file"},
		{"no key", nil, func(p pki) error { return os.Remove(p.key) }, func(p pki) string { return p.key }, "no such file"},
		{"a key of another", nil, func(p pki) error {
			q := newPKI(t)
			q.write(t, ca, ca.sign(t, uri, nil))
			return os.Rename(q.key, p.key)
		}, func(p pki) string { return p.key }, "does not match"},
		{"a huge file", nil, func(p pki) error { return os.WriteFile(p.cert, make([]byte, maxFile+1), 0o600) }, func(p pki) string { return p.cert }, "larger than"},
		{"no URI", ca.sign(t, "", nil), nil, func(p pki) string { return p.cert }, "landfall://POP/node/ID"},
		{"another node", ca.sign(t, "landfall://fra/node/2", nil), nil, func(p pki) string { return p.cert }, "this node is landfall://fra/node/1"},
		{"another PoP", ca.sign(t, "landfall://nyc/node/1", nil), nil, func(p pki) string { return p.cert }, "this node is landfall://fra/node/1"},
		{"another CA", other.sign(t, uri, nil), nil, func(p pki) string { return p.ca }, "does not vouch"},
		{"expired", ca.sign(t, uri, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), nil, func(p pki) string { return p.cert }, "it is valid from"},
		{"servers only", ca.sign(t, uri, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), nil, func(p pki) string { return p.cert }, "not for clients"},
	} {
		p, cert := newPKI(t), tc.cert
		if cert == nil {
			cert = ca.sign(t, uri, nil)
		}
		p.write(t, ca, cert)
		if tc.spoil != nil {
			if err := tc.spoil(p); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Load(p.ca, p.cert, p.key, "fra", 1)
		if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), tc.file(p)) {
			t.Errorf("%s: Load = %v, want an error that says %q and names %s", tc.name, err, tc.says, tc.file(p))
		}
	}
}

// TestFilesAreReadAgain: what replaces the files is shown in time; what is
// no good is not.
func TestFilesAreReadAgain(t *testing.T) {
	ca, p := newSigner(t), newPKI(t)
	const uri = "landfall://fra/node/1"
	p.write(t, ca, ca.sign(t, uri, nil))
	i, err := Load(p.ca, p.cert, p.key, "fra", 1)
	if err != nil {
		t.Fatal(err)
	}
	first, now := i.certificate(time.Now()), time.Now()
	p.write(t, ca, ca.sign(t, "landfall://fra/node/2", nil))
	if i.certificate(now) != first {
		t.Error("files are read while the certificate has time")
	}
	now = now.Add(45 * time.Minute) // of the hour that it lasts
	if i.certificate(now) != first || i.Problem() == nil {
		t.Error("the certificate of another node is shown, or nobody is told why none is")
	}
	second := ca.sign(t, uri, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(24 * time.Hour) })
	p.write(t, ca, second)
	now = now.Add(retryAfter)
	if got := i.certificate(now); got == first || i.Problem() != nil {
		t.Errorf("the new certificate is not shown: %v", i.Problem())
	}
}

func FuzzPeer(f *testing.F) {
	f.Add("fra", uint8(1))
	f.Add("", uint8(0))
	f.Add("fra/node/2", uint8(1))
	f.Add("a:1", uint8(1))
	f.Fuzz(func(t *testing.T, pop string, id uint8) {
		i, err := Derive(secret, pop, id, time.Now())
		if err != nil {
			return
		}
		got, err := named(i.current.Load().cert.Leaf)
		if err != nil || got != (Peer{Pop: pop, ID: id}) {
			t.Errorf("node %d of PoP %q reads as %v, %v", id, pop, got, err)
		}
	})
}
