package certs

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logTo returns a logger that sends the serial of every certificate that
// begins to be served.
func logTo(ch chan<- string) *zap.Logger {
	return zap.New(serials{zapcore.NewNopCore(), ch})
}

type serials struct {
	zapcore.Core
	ch chan<- string
}

func (s serials) Enabled(zapcore.Level) bool        { return true }
func (s serials) With([]zapcore.Field) zapcore.Core { return s }
func (s serials) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, s)
}

func (s serials) Write(_ zapcore.Entry, fields []zapcore.Field) error {
	for _, f := range fields {
		if f.Key == "serial" {
			s.ch <- f.String
		}
	}
	return nil
}

// names is an issuer that has the certificates it is given.
type names struct {
	managed []string
	has     map[string]*tls.Certificate
}

func (n *names) Manage(names []string) { n.managed = names }

func (n *names) Certificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := n.has[h.ServerName]; c != nil {
		return c, nil
	}
	return nil, ErrNoCertificate
}

func (n *names) Leaf(name string) *x509.Certificate {
	if c := n.has[name]; c != nil {
		return c.Leaf
	}
	return nil
}

func TestOwnedIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		src := r.commit(Spec{Site: "a", Hostnames: []string{"a.test"}, Kind: Internal}).Source("a")
		r.running()
		seen := map[string]bool{}
		for range 30 {
			cert, err := src.Certificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(cert.Leaf.NotAfter); left < 2*24*time.Hour {
				t.Fatalf("a certificate with %v left is served", left)
			}
			if err := cert.Leaf.VerifyHostname("a.test"); err != nil {
				t.Error(err)
			}
			seen[cert.Leaf.SerialNumber.String()] = true
			time.Sleep(24 * time.Hour)
			synctest.Wait()
		}
		if len(seen) < 5 || len(seen) > 8 {
			t.Errorf("%d certificates in 30 days, want one for each 4.6 days", len(seen))
		}
	})
}

func TestPrepareKeepsWhatDidNotChange(t *testing.T) {
	r := newRig(t, nil)
	a := Spec{Site: "a", Hostnames: []string{"a.test"}, Kind: Internal}
	b := Spec{Site: "b", Hostnames: []string{"b.test"}, Kind: Internal}
	first := r.commit(a, b)
	before := [2]string{serial(first.Source("a")), serial(first.Source("b"))}
	b.Hostnames = []string{"b.test", "c.test"}
	second := r.m.Prepare([]Spec{a, b})
	if got := serial(second.Source("a")); got != before[0] {
		t.Error("a site that did not change got a new certificate")
	}
	if got := serial(second.Source("b")); got == before[1] {
		t.Error("a site with a new hostname kept its certificate")
	}
	if got := serial(first.Source("b")); got != before[1] {
		t.Error("preparing changed what is served")
	}
	if second.Source("c") != nil {
		t.Error("a site that is not in the set has a source")
	}
}

// TestPrepareAgain: a problem is reported anew until it is gone.
func TestPrepareAgain(t *testing.T) {
	r := newRig(t, nil)
	for range 2 {
		set := r.m.Prepare([]Spec{r.spec()})
		if len(set.Problems()) != 1 {
			t.Fatalf("Problems = %v, want one", set.Problems())
		}
		r.m.Commit(set)
	}
	want := r.fresh("live/a.crt", "live/a.key")
	set := r.m.Prepare([]Spec{r.spec()})
	if len(set.Problems()) != 0 || serial(set.Source("a")) != want {
		t.Errorf("Problems = %v, serving %s; want none and %s", set.Problems(), serial(set.Source("a")), want)
	}
}

func TestProblems(t *testing.T) {
	bare := func(c *Config) { c.Authority = nil }
	withIssuer := func(c *Config) { c.Issuer = &names{} }
	for _, tc := range []struct {
		name   string
		change func(*Config)
		spec   Spec
		says   string
	}{
		{"no key", nil, Spec{Kind: Files, CertFile: "a.crt"}, "both a certificate and a key"},
		{"no files", nil, Spec{Kind: Files, CertFile: "/nowhere/a.crt", KeyFile: "/nowhere/a.key"}, "/nowhere/a.crt"},
		{"no CA", bare, Spec{Kind: Internal}, "not available on this node"},
		{"no issuer", nil, Spec{Kind: Auto}, "configure ACME"},
		{"wildcard", withIssuer, Spec{Kind: Auto, Hostnames: []string{"a.test", "*.a.test"}}, `"*.a.test"`},
		{"address", withIssuer, Spec{Kind: Auto, Hostnames: []string{"10.0.0.1"}}, `"10.0.0.1"`},
	} {
		r := newRig(t, tc.change)
		set := r.m.Prepare([]Spec{tc.spec})
		if p := set.Problems(); len(p) != 1 || !strings.Contains(p[0].Err.Error(), tc.says) {
			t.Errorf("%s: Problems = %v, want one that says %q", tc.name, p, tc.says)
		}
		if got := serial(set.Source("")); got != "none" {
			t.Errorf("%s: serving %s, want none", tc.name, got)
		}
	}
}

func TestAutomatic(t *testing.T) {
	iss := &names{has: map[string]*tls.Certificate{}}
	r := newRig(t, func(c *Config) { c.Issuer = iss })
	set := r.m.Prepare([]Spec{
		{Site: "a", Kind: Auto, Hostnames: []string{"a.test", "*.a.test", "www.a.test"}},
		{Site: "b", Kind: Internal, Hostnames: []string{"b.test"}},
	})
	r.m.Commit(set)
	slices.Sort(iss.managed)
	if want := []string{"a.test", "www.a.test"}; !slices.Equal(iss.managed, want) {
		t.Errorf("the issuer manages %v, want %v", iss.managed, want)
	}
	src := set.Source("a")
	if _, err := src.Certificate(&tls.ClientHelloInfo{ServerName: "a.test"}); err != ErrNoCertificate {
		t.Errorf("before the first certificate: %v, want ErrNoCertificate", err)
	}
	for i, name := range []string{"a.test", "www.a.test"} {
		cert, err := r.ca.Issue([]string{name}, time.Now().Add(-time.Duration(i)*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		iss.has[name] = cert
	}
	for name, want := range map[string]string{"a.test": "a.test", "www.a.test": "www.a.test", "": "a.test"} {
		cert, err := src.Certificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil || cert.Leaf.DNSNames[0] != want {
			t.Errorf("%q: %v, want the certificate of %s", name, err, want)
		}
	}
	if first := r.m.live.Load().sources["a"].leaf(); first != iss.has["www.a.test"].Leaf {
		t.Error("the site's expiry is not that of the certificate that expires first")
	}
	r.m.Commit(r.m.Prepare(nil))
	if len(iss.managed) != 0 {
		t.Errorf("after the last site is gone the issuer manages %v", iss.managed)
	}
}

func TestExpiryMetric(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.commit(Spec{Site: "a", Hostnames: []string{"a.test"}, Kind: Internal})
		want := `
# HELP landfall_tls_certificate_expiry_seconds Time until the first certificate of a site expires; negative when it has.
# TYPE landfall_tls_certificate_expiry_seconds gauge
landfall_tls_certificate_expiry_seconds{site="a"} 604800
`
		if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), "landfall_tls_certificate_expiry_seconds"); err != nil {
			t.Error(err)
		}
	})
}
