package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestNodesMeet(t *testing.T) {
	one, two, sibling := derive(t, secret, "fra", 1), derive(t, secret, "fra", 2), derive(t, secret, "nyc", 9)
	for _, tc := range []struct {
		name           string
		server, client *Identity
	}{{"one PoP", one, two}, {"a sibling dials", one, sibling}, {"a sibling is dialled", sibling, two}} {
		r := meet(tc.server.Server(), tc.client.Client(tc.server.Self().ID))
		if !r.ok() {
			t.Errorf("%s: server %v, client %v", tc.name, r.server, r.client)
		}
		if r.serverPeer != tc.client.Self() || r.dialPeer != tc.server.Self() {
			t.Errorf("%s: the server met %v, the client %v", tc.name, r.serverPeer, r.dialPeer)
		}
		if id, err := PeerID(r.toServer); err != nil || id != tc.client.Self().ID {
			t.Errorf("%s: PeerID = %d, %v", tc.name, id, err)
		}
		if r.toServer.Version != tls.VersionTLS13 {
			t.Errorf("%s: %s", tc.name, tls.VersionName(r.toServer.Version))
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	one, two := derive(t, secret, "fra", 1), derive(t, secret, "fra", 2)
	other := derive(t, bytes.Repeat([]byte{6}, MinSecret), "fra", 2)
	public := newSigner(t)
	showing := func(cert *tls.Certificate) *tls.Config {
		c := two.Client(1)
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		return c
	}
	serving := func(cert *tls.Certificate) *tls.Config {
		c := one.Server()
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }
		return c
	}
	old := two.Client(1)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for _, tc := range []struct {
		name           string
		server, client *tls.Config
		says           string // by the end that refuses
	}{
		{"another node than dialled", one.Server(), two.Client(3), "node 1 of PoP \"fra\" answers where node 3 should be"},
		{"a server with another secret", other.Server(), two.Client(2), "the same secret"},
		{"a client with another secret", one.Server(), other.Client(1), "unknown authority"},
		{"a client without a certificate", one.Server(), showing(&tls.Certificate{}), "didn't provide a certificate"},
		{"a client of a public CA", one.Server(), showing(public.sign(t, "landfall://fra/node/2", nil)), "unknown authority"},
		{"a server of a public CA", serving(public.sign(t, "landfall://fra/node/1", nil)), two.Client(1), "unknown authority"},
		{"TLS 1.2", one.Server(), old, "protocol version"},
	} {
		r := meet(tc.server, tc.client)
		if r.server == nil || r.client == nil {
			t.Errorf("%s: server %v, client %v; want both to fail", tc.name, r.server, r.client)
			continue
		}
		if said := r.server.Error() + "; " + r.client.Error(); !strings.Contains(said, tc.says) {
			t.Errorf("%s: %s; want it to say %q", tc.name, said, tc.says)
		}
	}
}

// TestCertificateWithoutAName: what our own CA signs is of no use either
// when it names no node.
func TestCertificateWithoutAName(t *testing.T) {
	ca := newSigner(t)
	p := newPKI(t)
	p.write(t, ca, ca.sign(t, "landfall://fra/node/1", nil))
	one, err := Load(p.ca, p.cert, p.key, "fra", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{
		"", "https://fra/node/2", "landfall://fra/node/0", "landfall://fra/node/256", "landfall://fra/node/02",
		"landfall://fra/node/2?x", "landfall://u@fra/node/2", "landfall:///node/2", "landfall://fra/node/2/",
	} {
		c := one.Client(1)
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return ca.sign(t, uri, nil), nil }
		if r := meet(one.Server(), c); r.server == nil {
			t.Errorf("%q is taken for %v", uri, r.serverPeer)
		}
	}
}

// TestClockSkew: nodes meet while their clocks differ by half a day.
func TestClockSkew(t *testing.T) {
	right := derive(t, secret, "fra", 1)
	for _, skew := range []time.Duration{-12 * time.Hour, 12 * time.Hour} {
		wrong, err := Derive(secret, "fra", 2, time.Now().Add(skew))
		if err != nil {
			t.Fatal(err)
		}
		made := wrong.current.Load().cert
		server, client := wrong.Server(), wrong.Client(1)
		server.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return made, nil }
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return made, nil }
		if r := meet(server, right.Client(2)); !r.ok() {
			t.Errorf("a server whose clock is off by %v: %v, %v", skew, r.server, r.client)
		}
		if r := meet(right.Server(), client); !r.ok() {
			t.Errorf("a client whose clock is off by %v: %v, %v", skew, r.server, r.client)
		}
		server = wrong.Server()
		server.Time = func() time.Time { return time.Now().Add(skew) }
		if r := meet(server, right.Client(2)); !r.ok() {
			t.Errorf("judged with a clock that is off by %v: %v, %v", skew, r.server, r.client)
		}
	}
}

func TestDerivedIsTheSameEverywhere(t *testing.T) {
	a, err := newAuthority(secret)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // in another year
		b, err := newAuthority(bytes.Clone(secret))
		if err != nil || !bytes.Equal(a.root.Raw, b.root.Raw) {
			t.Errorf("the CA of one secret differs, or %v", err)
		}
	})
	other, err := newAuthority(bytes.Repeat([]byte{6}, MinSecret))
	if err != nil || bytes.Equal(a.root.RawSubjectPublicKeyInfo, other.root.RawSubjectPublicKeyInfo) {
		t.Errorf("two secrets have one CA, or %v", err)
	}
	if bytes.Equal(GossipKey(secret, "fra"), GossipKey(secret, "nyc")) || len(GossipKey(secret, "fra")) != 32 ||
		!bytes.Equal(GossipKey(secret, "fra"), GossipKey(secret, "fra")) {
		t.Error("each PoP has to have one gossip key of 32 bytes")
	}
}

func TestDeriveRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		secret []byte
		pop    string
		id     uint8
		says   string
	}{
		{"short secret", secret[1:], "fra", 1, "openssl rand -hex 32"},
		{"no secret", nil, "fra", 1, "has 0 bytes"},
		{"no id", secret, "fra", 0, "1 to 255"},
		{"no PoP", secret, "", 1, "PoP name"},
		{"a PoP with a path", secret, "fra/node/2", 1, "PoP name"},
	} {
		if _, err := Derive(tc.secret, tc.pop, tc.id, time.Now()); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: Derive = %v, want an error that says %q", tc.name, err, tc.says)
		}
	}
}

// TestRenewal: nodes that run for a month always show a certificate that
// has days left, and a new one after a clock has been put right.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := derive(t, secret, "fra", 1), derive(t, secret, "fra", 2)
		for day := range 30 {
			if r := meet(one.Server(), two.Client(1)); !r.ok() {
				t.Fatalf("day %d: server %v, client %v", day, r.server, r.client)
			}
			if left := time.Until(one.Expires()); left < leafLife/3 {
				t.Fatalf("day %d: the certificate ends in %v", day, left)
			}
			time.Sleep(24 * time.Hour)
		}
		ahead, err := Derive(secret, "fra", 1, time.Now().AddDate(1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if r := meet(ahead.Server(), two.Client(1)); !r.ok() {
			t.Errorf("after a clock was put back by a year: server %v, client %v", r.server, r.client)
		}
	})
}

// TestFailedRenewal: what cannot be replaced stays, says why, and is tried
// again.
func TestFailedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := derive(t, secret, "fra", 1)
		good, tries, broken := i.renew, 0, true
		i.renew = func(now time.Time) (*leaf, error) {
			tries++
			if broken {
				return nil, x509.ErrUnsupportedAlgorithm
			}
			return good(now)
		}
		first := i.certificate(time.Now())
		time.Sleep(leafLife * 3 / 4)
		for range 3 {
			if i.certificate(time.Now()) != first || i.Problem() == nil {
				t.Error("a certificate that cannot be replaced does not stay, or nobody is told")
			}
		}
		if tries != 1 {
			t.Errorf("%d tries within a minute, want 1", tries)
		}
		broken = false
		time.Sleep(retryAfter)
		if i.certificate(time.Now()) == first || i.Problem() != nil {
			t.Error("it is not tried again")
		}
	})
}
