package local

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var secret = bytes.Repeat([]byte{5}, MinSecret)

func derived(t *testing.T, secret []byte, dir string, at time.Time) *Authority {
	t.Helper()
	a, err := Derived(secret, dir, at)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestDerivedIsTheSameEverywhere: nodes that share a secret have one root,
// whenever they start, and each accepts what the other issues.
func TestDerivedIsTheSameEverywhere(t *testing.T) {
	one := derived(t, secret, filepath.Join(t.TempDir(), "state", "ca"), now)
	two := derived(t, bytes.Clone(secret), filepath.Join(t.TempDir(), "ca"), now.AddDate(3, 0, 0))
	if !bytes.Equal(one.Root().Raw, two.Root().Raw) {
		t.Error("two nodes with one secret have different roots")
	}
	cert, err := two.Issue([]string{"a.test"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(one.Root(), cert.Leaf, "a.test", now); err != nil {
		t.Errorf("what one node issues is refused under the other's root: %v", err)
	}
	data, err := os.ReadFile(one.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(data)
	if block == nil || len(rest) > 0 || !bytes.Equal(block.Bytes, one.Root().Raw) {
		t.Errorf("the root file is not the root: %s", data)
	}
	other := derived(t, bytes.Repeat([]byte{6}, MinSecret), filepath.Join(t.TempDir(), "ca"), now)
	if verify(other.Root(), cert.Leaf, "a.test", now) == nil {
		t.Error("two secrets have one root")
	}
}

func TestDerivedFollowsTheSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	derived(t, secret, dir, now)
	changed := derived(t, bytes.Repeat([]byte{6}, MinSecret), dir, now)
	data, err := os.ReadFile(changed.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if root, err := x509.ParseCertificate(block.Bytes); err != nil || !root.Equal(changed.Root()) {
		t.Errorf("the file has the root of the old secret: %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("the directory holds %v, want the root alone, and no key", left)
	}
}

func TestDerivedRefuses(t *testing.T) {
	own := filepath.Join(t.TempDir(), "ca")
	before := open(t, own, now)
	for _, tc := range []struct {
		name   string
		secret []byte
		dir    string
		at     time.Time
		says   string
	}{
		{"short secret", secret[1:], t.TempDir(), now, "at least 32"},
		{"the directory of an own CA", secret, own, now, "name another directory"},
		{"a clock far ahead", secret, t.TempDir(), now.AddDate(60, 0, 0), "is the clock right"},
	} {
		if _, err := Derived(tc.secret, tc.dir, tc.at); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: Derived = %v, want an error that says %q", tc.name, err, tc.says)
		}
	}
	if !open(t, own, now).Root().Equal(before.Root()) {
		t.Error("the node's own CA was changed")
	}
}
