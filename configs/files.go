package configs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 64 << 10

// Read returns the secret: the file's content without a final line
// break. An error names the file and never shows its content.
func (s Secret) Read() ([]byte, error) {
	data, err := readFile(s.File, maxSecret)
	if err != nil {
		return nil, fmt.Errorf("%s %w", s.File, err)
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 {
		return nil, fmt.Errorf("%s is empty; expected a secret in it", s.File)
	}
	return data, nil
}

// CertPool reads a PEM file of authorities.
func CertPool(file string) (*x509.CertPool, error) {
	certs, err := readCerts(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

// KeyPair reads the two files of a certificate that a site brings, and
// refuses a key that is not the certificate's.
func (c Cert) KeyPair() (tls.Certificate, error) {
	pair, _, err := c.keyPair()
	return pair, err
}

// keyPair tells also which key of the document the error is about.
func (c Cert) keyPair() (pair tls.Certificate, key string, err error) {
	if _, err := readCerts(c.Certificate); err != nil {
		return pair, "certificate", err
	}
	certPEM, err := ReadDocument(c.Certificate)
	if err != nil {
		return pair, "certificate", fmt.Errorf("%s %w", c.Certificate, err)
	}
	keyPEM, err := ReadDocument(c.Key)
	if err != nil {
		return pair, "key", fmt.Errorf("%s %w", c.Key, err)
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return pair, "key", fmt.Errorf("%s is no key for %s: %w", c.Key, c.Certificate, err)
	}
	return pair, "", nil
}

// readCerts reads a PEM file of certificates, at least one.
func readCerts(file string) ([]*x509.Certificate, error) {
	data, err := ReadDocument(file)
	if err != nil {
		return nil, fmt.Errorf("%s %w", file, err)
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d cannot be read: %w", file, len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s holds no certificate; expected PEM with BEGIN CERTIFICATE", file)
	}
	return certs, nil
}

// checkFiles tries every file that the site names.
func (s *Site) checkFiles() (diags Diagnostics) {
	try := func(path, file string) {
		if file == "" {
			return
		}
		if _, err := readCerts(file); err != nil {
			diags = append(diags, s.diagnostic(path, Error, "%v", err))
		}
	}
	for i, o := range s.Origins {
		try(fmt.Sprintf("origins[%d].tls.ca", i), o.TLS.CA)
	}
	if s.TLS.ClientAuth != nil {
		try("tls.client_auth.ca", s.TLS.ClientAuth.CA)
	}
	if s.TLS.Cert.Mode != "" {
		return diags
	}
	pair, key, err := s.TLS.Cert.keyPair()
	if err != nil {
		return append(diags, s.diagnostic("tls.cert."+key, Error, "%v", err))
	}
	for i, h := range s.Hostnames {
		// A wildcard is covered when any name under it is.
		if err := pair.Leaf.VerifyHostname(strings.Replace(h, "*", "any", 1)); err != nil {
			diags = append(diags, s.diagnostic(fmt.Sprintf("hostnames[%d]", i), Warning,
				"%s is not covered by %s, which is for %s; browsers will refuse it", h, s.TLS.Cert.Certificate, covered(pair.Leaf)))
		}
	}
	return diags
}

// covered lists some of a certificate's names.
func covered(leaf *x509.Certificate) string {
	const most = 5
	names := leaf.DNSNames
	switch {
	case len(names) == 0:
		return "no name"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// checkFiles tries every secret and authority that the node file names.
func (n *Node) checkFiles() (diags Diagnostics) {
	refuse := func(path string, err error) {
		if err != nil {
			diags = append(diags, n.diagnostic(path, Error, "%v", err))
		}
	}
	if n.ACME.CARoot != "" {
		_, err := readCerts(n.ACME.CARoot)
		refuse("acme.ca_root", err)
	}
	if n.ACME.EAB != nil {
		refuse("acme.eab.mac_key.file", checkSecret(n.ACME.EAB.MACKey, isBase64URL))
	}
	if n.Pop != nil {
		refuse("pop.secret.file", checkSecret(n.Pop.Secret, isLong))
		n.Pop.checkTLS(refuse)
	}
	if n.BGP == nil {
		return diags
	}
	for i, p := range n.BGP.Peers {
		if p.Password != nil {
			refuse(fmt.Sprintf("bgp.peers[%d].password.file", i), checkSecret(*p.Password, isMD5Key))
		}
	}
	return diags
}

func checkSecret(s Secret, valid func([]byte) error) error {
	data, err := s.Read()
	if err != nil {
		return err
	}
	if err := valid(data); err != nil {
		return fmt.Errorf("%s %w", s.File, err)
	}
	return nil
}

// checkTLS tries the files of the relay's certificates.
func (p *Pop) checkTLS(refuse func(path string, err error)) {
	if p.TLS == nil {
		return
	}
	_, err := readCerts(p.TLS.CA)
	refuse("pop.tls.ca", err)
	_, key, err := Cert{Certificate: p.TLS.Certificate, Key: p.TLS.Key}.keyPair()
	refuse("pop.tls."+key, err)
}

// isLong is what keys can be derived from: a word that somebody thought of
// can be guessed from one recorded packet.
func isLong(data []byte) error {
	const least = 32
	if len(data) < least {
		return fmt.Errorf("has %d bytes; expected at least %d that nobody can guess, such as what openssl rand -base64 32 prints", len(data), least)
	}
	return nil
}

// isBase64URL is what RFC 8555, 7.3.4, wants of a MAC key.
func isBase64URL(data []byte) error {
	if _, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(string(data), "=")); err != nil {
		return errors.New("does not hold base64url, the form in which authorities give MAC keys out")
	}
	return nil
}

// isMD5Key is what Linux takes as a TCP MD5 key.
func isMD5Key(data []byte) error {
	const most = 80
	if len(data) > most || bytes.ContainsFunc(data, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("does not hold a TCP MD5 key; expected at most %d printable ASCII characters", most)
	}
	return nil
}
