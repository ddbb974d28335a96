// Package pebbletest runs pebble, the ACME server that Let's Encrypt tests
// clients with, for tests. It builds it when it is not there, and ends it
// with the test.
package pebbletest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/testneed"
	"github.com/landfall-cdn/landfall/tls/certs/local"
)

const pebbleVersion = "v2.10.1"

// pebbleTools returns the folder of pebble and pebble-challtestsrv, which
// it builds when they are not there.
var pebbleTools = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "landfall-test", "pebble-"+pebbleVersion)
	_, err1 := os.Stat(filepath.Join(dir, "pebble"))
	_, err2 := os.Stat(filepath.Join(dir, "pebble-challtestsrv"))
	if err1 == nil && err2 == nil {
		return dir, nil
	}
	cmd := exec.Command("go", "install",
		"github.com/letsencrypt/pebble/v2/cmd/pebble@"+pebbleVersion,
		"github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv@"+pebbleVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

// Config is what differs between the CAs of tests.
type Config struct {
	// HTTPPort and TLSPort are where the CA connects to validate.
	HTTPPort, TLSPort int
	// Life is how long certificates are valid.
	Life time.Duration
	// EAB maps the key ids of external accounts to their keys, base64url;
	// when it is not nil, an account is required.
	EAB map[string]string
}

// CA is a running ACME server.
type CA struct {
	// Directory is its URL; RootFile says whom to trust for it.
	Directory, RootFile string

	api    string // its management API
	client *http.Client
}

// Start runs pebble and its DNS server, which says 127.0.0.1 for every
// name, until the test ends.
func Start(t *testing.T, c Config) *CA {
	t.Helper()
	tools, err := pebbleTools()
	testneed.That(t, err == nil, fmt.Sprintf("pebble %s, which the go command installs from a module proxy: %v", pebbleVersion, err))
	dir := t.TempDir()
	signer, err := local.Open(filepath.Join(dir, "ca"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := signer.Issue([]string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	free := freeAddrs(t)
	api, management, dns, dnsManagement := free[0], free[1], free[2], free[3]
	conf := map[string]any{
		"listenAddress": api, "managementListenAddress": management,
		"certificate": file("tls.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		"privateKey":  file("tls.key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key})),
		"httpPort":    c.HTTPPort, "tlsPort": c.TLSPort,
		"retryAfter":   map[string]int{"authz": 1, "order": 1},
		"keyAlgorithm": "ecdsa",
		"profiles":     map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": int(c.Life.Seconds())}},
	}
	if c.EAB != nil {
		conf["externalAccountBindingRequired"] = true
		conf["externalAccountMACKeys"] = c.EAB
	}
	data, err := json.Marshal(map[string]any{"pebble": conf})
	if err != nil {
		t.Fatal(err)
	}
	start(t, filepath.Join(tools, "pebble-challtestsrv"), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
		"-dnsserver", dns, "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", dnsManagement)
	start(t, filepath.Join(tools, "pebble"), "-config", file("pebble.json", data), "-dnsserver", dns)
	roots := x509.NewCertPool()
	roots.AddCert(signer.Root())
	p := &CA{
		Directory: "https://" + api + "/dir", api: "https://" + management, RootFile: signer.RootFile(),
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	}
	t.Cleanup(p.client.CloseIdleConnections)
	p.await(t, p.Directory)
	return p
}

// freeAddrs returns loopback addresses that nobody listens on. They are
// held together before they are given up, so that no two are the same.
func freeAddrs(t *testing.T) (addrs [4]string) {
	t.Helper()
	for i := range addrs {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		addrs[i] = ln.Addr().String()
	}
	return addrs
}

// start runs a program until the test ends, however it ends, and shows its
// output if the test failed.
func start(t *testing.T, program string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(program), out.Bytes())
		}
	})
}

// await asks for a URL until it answers.
func (p *CA) await(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, err := p.get(ctx, url); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not answer", url)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *CA) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return b.Bytes(), err
}

// Roots returns whom the CA signs under, for clients of the sites.
func (p *CA) Roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	data, err := p.get(t.Context(), p.api+"/roots/0")
	if err != nil || !pool.AppendCertsFromPEM(data) {
		t.Fatalf("roots of the CA: %v", err)
	}
	return pool
}
