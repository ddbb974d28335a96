package local

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string, at time.Time) *Authority {
	t.Helper()
	a, err := Open(dir, at)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func verify(root, leaf *x509.Certificate, name string, at time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(root)
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at})
	return err
}

func TestIssue(t *testing.T) {
	a := open(t, filepath.Join(t.TempDir(), "state", "ca"), now)
	cert, err := a.Issue([]string{"a.test", "*.w.test", "10.0.0.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.test", "x.w.test", "10.0.0.1", "127.0.0.1", "::1"} {
		if err := verify(a.Root(), cert.Leaf, name, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, at := range map[string]time.Time{"b.test": now, "a.test": now.Add(leafLife + time.Second)} {
		if verify(a.Root(), cert.Leaf, name, at) == nil {
			t.Errorf("%s at %v is accepted", name, at)
		}
	}
	if due := RenewAt(cert.Leaf); due.Before(now.Add(leafLife/2)) || due.After(now.Add(leafLife*3/4)) {
		t.Errorf("a leaf of %v is renewed after %v", leafLife, due.Sub(now))
	}
	again, err := a.Issue([]string{"a.test"}, now)
	if err != nil || again.Leaf.SerialNumber.Cmp(cert.Leaf.SerialNumber) == 0 {
		t.Errorf("two certificates have one serial number, or %v", err)
	}
}

func TestRootSurvivesRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	first := open(t, dir, now)
	second := open(t, dir, now.AddDate(1, 0, 0))
	cert, err := second.Issue([]string{"a.test"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(first.Root(), cert.Leaf, "a.test", now); err != nil {
		t.Errorf("a certificate issued after the restart is refused: %v", err)
	}
	data, err := os.ReadFile(second.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		t.Fatalf("the root file is not one PEM certificate: %s", data)
	}
	if root, err := x509.ParseCertificate(block.Bytes); err != nil || !root.Equal(first.Root()) {
		t.Errorf("the root file holds another certificate: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestLeafEndsWithItsRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	late := open(t, dir, now).Root().NotAfter.Add(-time.Hour)
	cert, err := open(t, dir, late).Issue([]string{"a.test"}, late)
	if err != nil || cert.Leaf.NotAfter.After(late.Add(time.Hour)) {
		t.Errorf("a leaf ends at %v, after its root, or %v", cert.Leaf.NotAfter, err)
	}
}

func TestOpenAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	roots := make([]*x509.Certificate, 8)
	var wg sync.WaitGroup
	for i := range roots {
		wg.Go(func() {
			if a, err := Open(dir, now); err == nil {
				roots[i] = a.Root()
			} else {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range roots {
		if r == nil || !r.Equal(roots[0]) {
			t.Fatal("openers of one directory have different roots")
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".ca-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary directories are left: %v", left)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(dir string) error
		at    time.Time
		says  string
	}{
		{"readable key", func(dir string) error { return os.Chmod(filepath.Join(dir, keyFile), 0o644) }, now, "chmod 600"},
		{"broken key", func(dir string) error { return os.WriteFile(filepath.Join(dir, keyFile), []byte("x"), 0o600) }, now, "remove the directory"},
		{"no root", func(dir string) error { return os.Remove(filepath.Join(dir, rootFile)) }, now, "no such file"},
		{"expired", func(string) error { return nil }, now.AddDate(11, 0, 0), "expired"},
	} {
		dir := filepath.Join(t.TempDir(), "ca")
		open(t, dir, now)
		if err := tc.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, tc.at); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: Open = %v, want an error that says %q", tc.name, err, tc.says)
		}
	}
}
