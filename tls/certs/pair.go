package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"time"
)

// maxFile bounds a certificate or key file, in bytes.
const maxFile = 1 << 20

// failure is why a certificate and key are refused.
type failure uint8

const (
	unreadable  failure = iota // a file is missing, too large or not ours to read
	invalid                    // not PEM, not a certificate, or not its key
	expired                    // no longer valid
	notYetValid                // valid later
	issuing                    // our own CA could not sign
	numFailures
)

var failures = [numFailures]string{"unreadable", "invalid", "expired", "not_yet_valid", "issuing"}

// pairError is a refusal with its cause.
type pairError struct {
	failure failure
	err     error
}

func (e *pairError) Error() string { return e.err.Error() }
func (e *pairError) Unwrap() error { return e.err }

// pair is a certificate and key as they stand in their files.
type pair struct {
	cert, key []byte
}

func readPair(certFile, keyFile string) (pair, error) {
	cert, err := readFile(certFile)
	if err != nil {
		return pair{}, &pairError{unreadable, fmt.Errorf("read certificate: %w", err)}
	}
	key, err := readFile(keyFile)
	if err != nil {
		return pair{}, &pairError{unreadable, fmt.Errorf("read key: %w", err)}
	}
	return pair{cert: cert, key: key}, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if n > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes: is it a PEM file?", name, maxFile)
	}
	return b.Bytes(), nil
}

// sum identifies the pair's content.
func (p pair) sum() [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", len(p.cert))
	h.Write(p.cert)
	h.Write(p.key)
	return [sha256.Size]byte(h.Sum(nil))
}

// parse returns the certificate if it can be served at now.
func (p pair) parse(now time.Time) (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, &pairError{invalid, err}
	}
	if err := Usable(&cert, now); err != nil {
		return nil, err
	}
	return &cert, nil
}

// Usable returns why a certificate, with its Leaf parsed, must not begin to
// be served at now.
func Usable(cert *tls.Certificate, now time.Time) error {
	if now.After(cert.Leaf.NotAfter) {
		return &pairError{expired, fmt.Errorf("the certificate expired at %s", cert.Leaf.NotAfter.Format(time.RFC3339))}
	}
	if now.Before(cert.Leaf.NotBefore) {
		return &pairError{notYetValid, fmt.Errorf("the certificate is not valid before %s: is the clock right?", cert.Leaf.NotBefore.Format(time.RFC3339))}
	}
	return nil
}
