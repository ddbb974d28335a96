package issue

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/tls/certs"
	"github.com/landfall-cdn/landfall/tls/certs/local"
)

func TestNewRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		conf Config
		says string
	}{
		{"no storage", Config{}, "no storage directory"},
		{"no challenge", Config{Storage: "s", NoHTTP: true, NoTLSALPN: true}, "both types of challenge"},
		{"not a URL", Config{Storage: "s", Directory: "acme"}, `"acme" is not an https URL`},
		{"not encrypted", Config{Storage: "s", Directory: "http://ca.test/dir"}, "not an https URL"},
		{"no roots file", Config{Storage: "s", RootFile: "/nowhere/root.pem"}, "/nowhere/root.pem"},
		{"no roots in file", Config{Storage: "s", RootFile: empty}, "no PEM certificate"},
	} {
		tc.conf.Log = zap.NewNop()
		if _, err := New(tc.conf); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: New = %v, want an error that says %q", tc.name, err, tc.says)
		}
	}
}

func newIdle(t *testing.T, names ...string) *Issuer {
	t.Helper()
	iss, err := New(Config{Storage: filepath.Join(t.TempDir(), "acme"), Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	iss.Manage(names)
	return iss
}

// TestServe: only a certificate that clients would accept for the name is
// served, and never in place of one that they do accept.
func TestServe(t *testing.T) {
	ca, err := local.Open(filepath.Join(t.TempDir(), "ca"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(name string, at time.Time) *tls.Certificate {
		cert, err := ca.Issue([]string{name}, at)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	iss := newIdle(t, "a.test")
	if _, err := iss.Certificate(&tls.ClientHelloInfo{ServerName: "a.test"}); !errors.Is(err, certs.ErrNoCertificate) {
		t.Errorf("before the first certificate: %v, want ErrNoCertificate", err)
	}
	good := issue("a.test", time.Now())
	iss.serve("a.test", good)
	for what, cert := range map[string]*tls.Certificate{
		"expired":       issue("a.test", time.Now().AddDate(0, -1, 0)),
		"not yet valid": issue("a.test", time.Now().AddDate(0, 1, 0)),
		"another's":     issue("b.test", time.Now()),
	} {
		iss.serve("a.test", cert)
		if iss.Leaf("a.test") != good.Leaf {
			t.Errorf("a certificate that is %s replaces one that works", what)
		}
	}
	newer := issue("a.test", time.Now())
	iss.serve("a.test", newer)
	if iss.Leaf("A.Test") != newer.Leaf {
		t.Error("a new certificate is not served")
	}
	iss.serve("b.test", issue("b.test", time.Now()))
	if iss.Leaf("b.test") != nil {
		t.Error("a name that is not managed is served")
	}
	iss.Manage([]string{"a.test", "c.test"})
	if iss.Leaf("a.test") != newer.Leaf {
		t.Error("managing one more name lost the certificate of another")
	}
}

// TestStrangersCostNothing: no input of a stranger allocates or reaches
// storage, for certificates and challenges alike.
func TestStrangersCostNothing(t *testing.T) {
	iss := newIdle(t, "a.test")
	hello := &tls.ClientHelloInfo{ServerName: "a.test"}
	if n := testing.AllocsPerRun(100, func() { _, _ = iss.Certificate(hello) }); n != 0 {
		t.Errorf("a name that is managed: %v allocations, want 0", n)
	}
	for _, name := range []string{"stranger.test", "", "..", "\xff"} {
		hello := &tls.ClientHelloInfo{ServerName: name}
		if n := testing.AllocsPerRun(100, func() {
			_, err := iss.Certificate(hello)
			_, overTLS := iss.ChallengeCertificate(name)
			_, overHTTP := iss.HandleHTTPChallenge(name, ChallengePath+"token")
			if err == nil || overTLS || overHTTP {
				t.Errorf("%q is answered", name)
			}
		}); n != 0 {
			t.Errorf("%q: %v allocations, want 0", name, n)
		}
	}
	if _, err := os.Stat(iss.conf.Storage); !os.IsNotExist(err) {
		t.Errorf("storage was touched: %v", err)
	}
	if err := iss.Renew(t.Context(), "a.test"); err == nil {
		t.Error("Renew works without Run")
	}
}
