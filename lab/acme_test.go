package lab

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/tls/certs/issue/pebbletest"
)

// TestCertificateByItself: a site that says nothing about certificates
// gets one from the authority of the node file, a site added later too;
// until then handshakes are refused, and afterwards nobody had to restart.
func TestCertificateByItself(t *testing.T) {
	https, http := freeAddr(t), freeAddr(t)
	ca := pebbletest.Start(t, pebbletest.Config{HTTPPort: port(t, http), TLSPort: port(t, https), Life: 90 * 24 * time.Hour})
	auto := func(host string) string {
		return fmt.Sprintf("hostnames: [%s]\norigins: [%q]\n", host, origin(t, host))
	}
	acme := fmt.Sprintf("acme: { directory: %q, ca_root: %q, email: ops@example.com }", ca.Directory, ca.RootFile)
	n := startNodeOn(t, https, http, acme, map[string]string{"one.yaml": auto("one.example")})
	n.roots = ca.Roots(t)
	for _, host := range []string{"one.example", "two.example"} {
		waitFor(t, "certificate of "+host, func() bool {
			c, err := tls.Dial("tcp", n.https, &tls.Config{ServerName: host, RootCAs: n.roots})
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
		for _, proto := range []string{"h1", "h2", "h3"} {
			if _, body := get(t, n.client(t, proto), "https://"+host+"/"); string(body) != host {
				t.Errorf("%s over %s answers %q", host, proto, body)
			}
		}
		n.writeSite(t, "two.yaml", auto("two.example"))
	}
}

func port(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	p, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
