package issue

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/landfall-cdn/landfall/tls/certs"
	"github.com/landfall-cdn/landfall/tls/certs/issue/pebbletest"
	"github.com/landfall-cdn/landfall/tls/policy"
	"github.com/landfall-cdn/landfall/tls/tickets"
)

// patience bounds what takes a second or two, on a busy machine.
const patience = time.Minute

// edge is a node as a CA and clients see it: a plain and a TLS listener.
type edge struct {
	httpPort, tlsPort int
	addr              string // of the TLS listener
	policy            *policy.Policy
	issuer            *Issuer // set before any order
	paths             chan string
}

func startEdge(t *testing.T) *edge {
	t.Helper()
	ring, err := tickets.New(tickets.Config{})
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{paths: make(chan string, 64)}
	e.policy = policy.New(policy.Config{Tickets: ring, Challenges: e})
	plain, secure := listen(t), listen(t)
	e.httpPort, e.tlsPort = plain.Addr().(*net.TCPAddr).Port, secure.Addr().(*net.TCPAddr).Port
	e.addr = secure.Addr().String()
	serve(t, plain, http.HandlerFunc(e.challenge))
	serve(t, tls.NewListener(secure, e.policy.ServerConfig()), http.NotFoundHandler())
	return e
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func serve(t *testing.T, ln net.Listener, h http.Handler) {
	done := make(chan struct{})
	s := &http.Server{Handler: h, ErrorLog: zap.NewStdLog(zap.NewNop())}
	go func() {
		defer close(done)
		_ = s.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
}

func (e *edge) challenge(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	body, ok := e.issuer.HandleHTTPChallenge(host, r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	// An order is in flight: strangers must not profit from it.
	for _, stranger := range [][2]string{
		{"stranger.test", r.URL.Path},
		{host, r.URL.Path + "x"},
		{host, ChallengePath},
		{host, "/"},
	} {
		if _, ok := e.issuer.HandleHTTPChallenge(stranger[0], stranger[1]); ok {
			e.paths <- "answered to " + stranger[0] + stranger[1]
		}
	}
	_, _ = io.WriteString(w, body)
}

func (e *edge) ChallengeCertificate(name string) (*tls.Certificate, bool) {
	return e.issuer.ChallengeCertificate(name)
}

// configure makes the names lead to one site with certificates of iss.
func (e *edge) configure(t *testing.T, iss *Issuer, names ...string) {
	t.Helper()
	e.issuer = iss
	table, err := e.policy.Build([]policy.SiteConfig{{Name: "a", Hostnames: names, Certificates: iss}}, "")
	if err != nil {
		t.Fatal(err)
	}
	e.policy.Swap(table)
}

// dial returns the certificate that a client of a name gets.
func (e *edge) dial(name string, roots *x509.CertPool) (*x509.Certificate, error) {
	c, err := tls.Dial("tcp", e.addr, &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

func (e *edge) newIssuer(t *testing.T, c Config) *Issuer {
	t.Helper()
	c.Log = zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
	if c.Storage == "" {
		c.Storage = t.TempDir()
	}
	iss, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return iss
}

// startIssuer runs an issuer until the returned function is called or the
// test ends.
func startIssuer(t *testing.T, iss *Issuer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- iss.Run(ctx, func() { close(ready) }) }()
	<-ready
	var stopped bool
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not return")
		}
	}
	t.Cleanup(stop)
	return stop
}

// await waits for what another process has to do first.
func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !met() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within %v", what, patience)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (i *Issuer) count(r result) float64 { return testutil.ToFloat64(i.met.results[r]) }

func TestObtainRenewAndRestart(t *testing.T) {
	for _, tc := range []struct {
		name    string
		conf    Config
		channel channel
	}{
		{"HTTP-01", Config{NoTLSALPN: true}, overHTTP},
		{"TLS-ALPN-01", Config{NoHTTP: true}, overTLS},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := startEdge(t)
			ca := pebbletest.Start(t, pebbletest.Config{HTTPPort: e.httpPort, TLSPort: e.tlsPort, Life: 90 * 24 * time.Hour})
			tc.conf.Directory, tc.conf.RootFile, tc.conf.Storage = ca.Directory, ca.RootFile, t.TempDir()
			iss := e.newIssuer(t, tc.conf)
			name := strings.ToLower(tc.name) + ".test"
			e.configure(t, iss, name, "never.test")
			if _, err := e.dial(name, nil); err == nil {
				t.Error("a client was served before there was a certificate")
			}
			stop := startIssuer(t, iss)
			iss.Manage([]string{name})
			roots := ca.Roots(t)
			await(t, "obtain", func() bool { return iss.Leaf(name) != nil })
			first, err := e.dial(name, roots)
			if err != nil {
				t.Fatal(err)
			}
			if got := testutil.ToFloat64(iss.met.answers[tc.channel][self]); got == 0 {
				t.Errorf("no challenge was answered over %s", channels[tc.channel])
			}

			if err := iss.Renew(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			second, err := e.dial(name, roots)
			if err != nil || second.SerialNumber.Cmp(first.SerialNumber) == 0 {
				t.Errorf("after a forced renewal a client gets the old certificate, or %v", err)
			}
			if iss.count(obtained) != 1 || iss.count(renewed) != 1 || iss.count(failed) != 0 {
				t.Errorf("counted %v obtained, %v renewed, %v failed; want 1, 1, 0", iss.count(obtained), iss.count(renewed), iss.count(failed))
			}
			stop()
			if err := iss.Renew(t.Context(), name); err == nil {
				t.Error("Renew works after Run has ended")
			}

			again := e.newIssuer(t, tc.conf)
			e.configure(t, again, name)
			again.Manage([]string{name})
			startIssuer(t, again)
			await(t, "load", func() bool { return again.Leaf(name) != nil })
			if third, err := e.dial(name, roots); err != nil || third.SerialNumber.Cmp(second.SerialNumber) != 0 {
				t.Errorf("after a restart a client gets another certificate, or %v", err)
			}
			if again.count(obtained)+again.count(renewed) != 0 {
				t.Error("the restart ordered a certificate")
			}
			select {
			case what := <-e.paths:
				t.Errorf("a stranger was %s", what)
			default:
			}
		})
	}
}

// TestRenewedWhenDue: a certificate that is found past two thirds of its
// life is served, renewed, and the new one served at once.
func TestRenewedWhenDue(t *testing.T) {
	e := startEdge(t)
	// Certmagic renews what ends within five of its checks.
	ca := pebbletest.Start(t, pebbletest.Config{HTTPPort: e.httpPort, TLSPort: e.tlsPort, Life: 4 * renewCheck})
	iss := e.newIssuer(t, Config{Directory: ca.Directory, RootFile: ca.RootFile})
	e.configure(t, iss, "due.test")
	iss.Manage([]string{"due.test"})
	startIssuer(t, iss)
	await(t, "renewal", func() bool { return iss.count(renewed) == 1 })
	await(t, "the renewed certificate", func() bool { return iss.Leaf("due.test").Equal(stored(t, iss)) })
}

// stored returns the one certificate in the issuer's storage.
func stored(t *testing.T, iss *Issuer) *x509.Certificate {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(iss.conf.Storage, "certificates", "*", "*", "*.crt"))
	if err != nil || len(files) != 1 {
		t.Fatalf("certificates in storage: %v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestSeveralNames(t *testing.T) {
	e := startEdge(t)
	ca := pebbletest.Start(t, pebbletest.Config{HTTPPort: e.httpPort, TLSPort: e.tlsPort, Life: 90 * 24 * time.Hour})
	iss := e.newIssuer(t, Config{Directory: ca.Directory, RootFile: ca.RootFile})
	names := []string{"a.test", "b.test", "c.test"}
	e.configure(t, iss, append(names, "stranger.test")...)
	startIssuer(t, iss)
	iss.Manage(names)
	for _, name := range names {
		await(t, name, func() bool { return iss.Leaf(name) != nil })
	}
	roots := ca.Roots(t)
	for _, name := range names {
		if _, err := e.dial(strings.ToUpper(name), roots); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	iss.Manage(names[:1])
	if _, err := iss.Certificate(&tls.ClientHelloInfo{ServerName: "b.test"}); !errors.Is(err, certs.ErrNoCertificate) {
		t.Errorf("a name that is no longer managed: %v, want ErrNoCertificate", err)
	}
	iss.Manage(names[:2])
	await(t, "b.test again", func() bool { return iss.Leaf("b.test") != nil })
	if iss.count(obtained) != 3 {
		t.Errorf("%v certificates were ordered for 3 names", iss.count(obtained))
	}
}

func TestExternalAccount(t *testing.T) {
	key := make([]byte, 48)
	_, _ = rand.Read(key)
	eab := &EAB{KeyID: "kid-1", MACKey: base64.RawURLEncoding.EncodeToString(key)}
	e := startEdge(t)
	ca := pebbletest.Start(t, pebbletest.Config{HTTPPort: e.httpPort, TLSPort: e.tlsPort, Life: 90 * 24 * time.Hour, EAB: map[string]string{eab.KeyID: eab.MACKey}})
	without := e.newIssuer(t, Config{Directory: ca.Directory, RootFile: ca.RootFile})
	without.log = zap.NewNop()
	e.configure(t, without, "eab.test")
	stop := startIssuer(t, without)
	without.Manage([]string{"eab.test"})
	await(t, "refusal", func() bool { return without.count(failed) > 0 })
	stop() // in the middle of certmagic's pause before it tries again
	if without.Leaf("eab.test") != nil {
		t.Error("the CA did not ask for an external account")
	}

	with := e.newIssuer(t, Config{Directory: ca.Directory, RootFile: ca.RootFile, EAB: eab})
	e.configure(t, with, "eab.test")
	startIssuer(t, with)
	with.Manage([]string{"eab.test"})
	await(t, "obtain", func() bool { return with.Leaf("eab.test") != nil })
}
