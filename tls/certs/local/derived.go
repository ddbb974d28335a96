package local

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/landfall-cdn/landfall/internal/must"
)

// MinSecret is the length of the shortest secret, in bytes.
const MinSecret = 32

// When every derived root begins and ends, whenever and wherever it is
// made: nodes that share a secret then have the same root, byte for byte.
var (
	derivedBegins = time.Unix(0, 0).UTC()
	derivedEnds   = time.Date(2070, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Derived returns the CA that follows from a secret of at least MinSecret
// random bytes: the same on all nodes that share it. Only its root
// certificate is written to dir, never a key. A dir that Open has made is
// refused, as clients may trust the CA in it.
func Derived(secret []byte, dir string, now time.Time) (*Authority, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("local CA: the secret to derive it from has %d bytes: use at least %d random ones, as from `openssl rand -hex 32`", len(secret), MinSecret)
	}
	key, err := deriveKey(secret)
	if err != nil {
		return nil, fmt.Errorf("derive the local CA: %w", err)
	}
	template := rootTemplate(derivedBegins, derivedEnds)
	template.SerialNumber = big.NewInt(1)
	// Without randomness the signature is a function of key and
	// certificate (RFC 6979).
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("derive the local CA: %w", err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("derive the local CA: %w", err)
	}
	if now.After(root.NotAfter) {
		return nil, fmt.Errorf("local CA: what is derived from a secret expired at %s: is the clock right?", root.NotAfter.Format(time.DateOnly))
	}
	a := &Authority{file: filepath.Join(dir, rootFile), root: root, key: key}
	if err := publish(a.file, dir, der); err != nil {
		return nil, fmt.Errorf("write the root of the local CA: %w", err)
	}
	return a, nil
}

// deriveKey returns the key of a secret. One candidate in 2^32 is no key of
// the curve, hence the counter.
func deriveKey(secret []byte) (*ecdsa.PrivateKey, error) {
	for counter := range uint32(4) {
		raw, err := hkdf.Key(sha256.New, secret, binary.BigEndian.AppendUint32(nil, counter), "landfall local ca", 32)
		must.True(err == nil, "derive a key: %v", err)
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("no key follows from the secret: use another one")
}

// publish puts the root where clients look for it, in one step, unless it
// is there.
func publish(name, dir string, der []byte) error {
	if _, err := os.Stat(filepath.Join(dir, keyFile)); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return fmt.Errorf("%s holds the CA that this node had for itself: name another directory, or remove it if no client trusts that CA", dir)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".root-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once renamed
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
