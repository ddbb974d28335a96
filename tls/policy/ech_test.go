package policy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/tls/tickets"
)

// hidden is a policy that reads encrypted hellos under cover.test, and what
// its clients know.
type hidden struct {
	policy *Policy
	roots  *x509.CertPool
	keys   *tickets.ECH // as another node of the PoP has them
}

func newHidden(t *testing.T, hostnames ...string) *hidden {
	t.Helper()
	h := &hidden{roots: x509.NewCertPool()}
	secret := bytes.Repeat([]byte{9}, tickets.MinSecret)
	keys := func() (*tickets.Ring, *tickets.ECH) {
		ring, err := tickets.New(tickets.Config{Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		ech, err := ring.ECH("cover.test")
		if err != nil {
			t.Fatal(err)
		}
		return ring, ech
	}
	ring, own := keys()
	_, h.keys = keys()
	h.policy = New(Config{Tickets: ring, ECH: own.Keys})
	ca := authority(t)
	h.roots.AddCert(ca.Root())
	var sites []SiteConfig
	for _, name := range hostnames {
		sites = append(sites, SiteConfig{Name: name, Hostnames: []string{name}, Certificates: issued(t, ca, name)})
	}
	swap(t, h.policy, "", sites...)
	return h
}

func (h *hidden) client(list []byte) *tls.Config {
	return &tls.Config{ServerName: "secret.test", RootCAs: h.roots, NextProtos: []string{"h3", "h2"}, EncryptedClientHelloConfigList: list}
}

// spy records what a client sends.
type spy struct {
	net.Conn
	sent bytes.Buffer
}

func (s *spy) Write(b []byte) (int, error) {
	s.sent.Write(b)
	return s.Conn.Write(b)
}

// dial returns what a client with a configuration saw, and what it sent. It
// takes a socket, as both ends write at once when a hello is rejected.
func (h *hidden) dial(t *testing.T, list []byte) (tls.ConnectionState, []byte, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		far, err := ln.Accept()
		if err != nil {
			return
		}
		defer far.Close()
		c := tls.Server(far, h.policy.ServerConfig())
		if c.Handshake() == nil {
			_, _ = c.Write([]byte{1})
			_, _ = c.Read(make([]byte, 1)) // until the client has gone
		}
	}()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{Conn: near}
	c := tls.Client(s, h.client(list))
	if err = c.Handshake(); err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	_ = near.Close()
	_ = ln.Close()
	<-served
	return c.ConnectionState(), s.sent.Bytes(), err
}

func TestEncryptedHello(t *testing.T) {
	h := newHidden(t, "secret.test", "cover.test")
	now := time.Now()
	for what, at := range map[string]time.Time{
		"the current":                   now,
		"the previous":                  now.Add(-tickets.ECHEpoch),
		"that of a node which is ahead": now.Add(tickets.ECHEpoch),
	} {
		state, sent, err := h.dial(t, h.keys.ConfigList(at))
		if err != nil || !state.ECHAccepted {
			t.Errorf("with %s configuration: accepted %v, %v", what, state.ECHAccepted, err)
			continue
		}
		if err := state.PeerCertificates[0].VerifyHostname("secret.test"); err != nil {
			t.Errorf("with %s configuration the policy did not go by the inner name: %v", what, err)
		}
		if bytes.Contains(sent, []byte("secret.test")) || !bytes.Contains(sent, []byte("cover.test")) {
			t.Errorf("with %s configuration the name can be read on the way", what)
		}
	}
	if _, sent, err := h.dial(t, nil); err != nil || !bytes.Contains(sent, []byte("secret.test")) {
		t.Errorf("a client that hides nothing: %v", err)
	}
}

// TestOutdatedHello: a client whose configuration is too old is given the
// current one, vouched for by the certificate of the public name.
func TestOutdatedHello(t *testing.T) {
	h := newHidden(t, "secret.test", "cover.test")
	old := h.keys.ConfigList(time.Now().Add(-3 * tickets.ECHEpoch))
	_, _, err := h.dial(t, old)
	var rejected *tls.ECHRejectionError
	if !errors.As(err, &rejected) || !bytes.Equal(rejected.RetryConfigList, h.keys.ConfigList(time.Now())) {
		t.Fatalf("handshake = %v, want a rejection with the current configuration", err)
	}
	if state, _, err := h.dial(t, rejected.RetryConfigList); err != nil || !state.ECHAccepted {
		t.Errorf("what the client was told to use: accepted %v, %v", state.ECHAccepted, err)
	}
}

// TestPublicNameNeedsASite: without one, a client whose configuration is
// outdated cannot be helped.
func TestPublicNameNeedsASite(t *testing.T) {
	h := newHidden(t, "secret.test")
	_, _, err := h.dial(t, h.keys.ConfigList(time.Now().Add(-3*tickets.ECHEpoch)))
	var rejected *tls.ECHRejectionError
	if err == nil || errors.As(err, &rejected) {
		t.Errorf("handshake = %v, want a refusal of the name", err)
	}
	if got := h.policy.refusals(unknownName); got != 1 {
		t.Errorf("refused %v times, want once", got)
	}
}

func TestEncryptedHelloOverQUIC(t *testing.T) {
	h := newHidden(t, "secret.test", "cover.test")
	node := newQUICNode(t, h.policy, nil)
	conn, err := quic.DialAddr(within(t), node.addr.String(), h.client(h.keys.ConfigList(time.Now())), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	state := conn.ConnectionState().TLS
	if !state.ECHAccepted || state.PeerCertificates[0].VerifyHostname("secret.test") != nil {
		t.Errorf("accepted %v, served %q", state.ECHAccepted, state.PeerCertificates[0].DNSNames)
	}
	old := h.keys.ConfigList(time.Now().Add(-3 * tickets.ECHEpoch))
	_, err = quic.DialAddr(within(t), node.addr.String(), h.client(old), nil)
	var rejected *tls.ECHRejectionError
	if !errors.As(err, &rejected) || len(rejected.RetryConfigList) == 0 {
		t.Errorf("with an outdated configuration: %v, want a rejection that says what to use", err)
	}
}
