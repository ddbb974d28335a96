package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a throwaway CA of nodes.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nodes"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

func (a *authority) leaf(t testing.TB, id affinity.NodeID) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name := "node-" + strconv.Itoa(int(id))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(id) + 2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) server(t testing.TB, id affinity.NodeID) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{a.leaf(t, id)}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

// client returns Config.Client of a node.
func (a *authority) client(t testing.TB, self affinity.NodeID) func(affinity.NodeID) *tls.Config {
	leaf := a.leaf(t, self)
	return func(id affinity.NodeID) *tls.Config {
		return &tls.Config{
			Certificates: []tls.Certificate{leaf}, RootCAs: a.pool, ServerName: "node-" + strconv.Itoa(int(id)),
		}
	}
}

func peerID(cs tls.ConnectionState) (affinity.NodeID, error) {
	text, ok := strings.CutPrefix(cs.PeerCertificates[0].Subject.CommonName, "node-")
	id, err := strconv.ParseUint(text, 10, 8)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is no node", cs.PeerCertificates[0].Subject)
	}
	return affinity.NodeID(id), nil
}

// stub is a Handler for tests.
type stub struct {
	stored map[string]*exchange.Stored // what Hit answers, by path
	serve  func(ctx context.Context, w exchange.PeerWriter, r *exchange.Request)

	hits, sentWhole, sentCut, exchanges atomic.Int64
}

func (h *stub) Hit(r *exchange.Request, s *exchange.Stored) bool {
	st, ok := h.stored[r.Path]
	if !ok {
		return false
	}
	s.Head, s.Content, s.Copy, s.Note = st.Head, st.Content, st.Copy, st
	s.Own = append(s.Fields[:0], st.Own...)
	if r.Method == "HEAD" {
		s.Content = nil
	}
	h.hits.Add(1)
	return true
}

func (h *stub) Sent(r *exchange.Request, s *exchange.Stored, _ int64, why exchange.Cause) {
	if h.stored[r.Path] != s.Note {
		panic("BUG: another request was sent than was hit")
	}
	if why == exchange.NoCause {
		h.sentWhole.Add(1)
	} else {
		h.sentCut.Add(1)
	}
}

func (h *stub) ServeExchange(ctx context.Context, w exchange.Writer, r *exchange.Request) {
	h.exchanges.Add(1)
	h.serve(ctx, w.(exchange.PeerWriter), r)
}

// stored is stored content in runs of run bytes.
type stored struct {
	b        []byte
	run      int
	released *atomic.Int64
}

func (c *stored) From(off int64) []byte {
	b := c.b[off:]
	if c.run > 0 && len(b) > c.run {
		b = b[:c.run]
	}
	return b
}

func (c *stored) Release() { c.released.Add(1) }

func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return b
}

// object is a stored response of n bytes.
func object(n int) *exchange.Stored {
	return &exchange.Stored{
		Head: &exchange.Head{
			Status: 200, Length: int64(n), Own: 1,
			Header: exchange.Header{
				{Name: "content-type", Value: "text/plain"},
				{Name: "etag", Value: `"v1"`},
				{Name: "cache-control", Value: "public, max-age=3600"},
				{Name: "via", Value: "1.1 landfall"},
			},
		},
		Own: []exchange.Field{
			{Name: "age", Value: "12"},
			{Name: "cache-status", Value: "landfall; hit; ttl=3588"},
			{Name: "x-request-id", Value: "0123456789abcdef"},
			{Name: "alt-svc", Value: `h3=":443"; ma=86400`},
		},
		Content: &stored{b: letters(n), released: new(atomic.Int64)},
		Copy:    exchange.Copy{Kept: true, Age: 12 * time.Second, Fresh: 3588 * time.Second, Purges: 7},
	}
}

// pair is a node that answers, number 1, and one that asks, number 2.
type pair struct {
	t        testing.TB
	h        *stub
	server   *Server
	peers    *Peers
	conf     ServerConfig
	counters limits.Counters // of both
	changes  chan bool       // what Reached was told
	endServe func() error
	endAsk   func()
	dials    atomic.Int64
	net      *memory
	rawTLS   func(affinity.NodeID) *tls.Config // of node 3
}

// options change how a pair is made.
type options struct {
	limits func(*limits.Limits)
	calls  map[string]CallFunc
	// loopback has them talk over TCP.
	loopback bool
	// inTime has limits on time that are short; else, as the clock is not
	// virtual, no machine is slow enough to meet them.
	inTime bool
	drain  time.Duration
}

func newPair(t testing.TB, h *stub, o options) *pair {
	t.Helper()
	lim := limits.Default()
	if !o.inTime {
		lim.RelaySilence, lim.RelayDead = time.Minute, time.Minute
	}
	if o.limits != nil {
		o.limits(&lim)
	}
	ca := newAuthority(t)
	p := &pair{t: t, h: h, changes: make(chan bool, 100), rawTLS: ca.client(t, 3)}
	if o.drain == 0 {
		o.drain = time.Minute
	}
	p.conf = ServerConfig{
		Addr: netip.MustParseAddrPort("127.0.0.1:0"), TLS: ca.server(t, 1), PeerID: peerID, Handler: h, Calls: o.calls,
		Limits: lim, Counters: &p.counters, Drain: o.drain, Log: zap.NewNop(),
	}
	p.peers = New(Config{
		Self: 2, Client: ca.client(t, 2), Limits: lim, Counters: &p.counters, Log: zap.NewNop(),
		Reached: func(id affinity.NodeID, ok bool) {
			if id != 1 {
				t.Errorf("reached node %d", id)
			}
			p.changes <- ok
		},
	})
	addr := netip.MustParseAddrPort("10.0.0.1:1")
	if o.loopback {
		s, err := Listen(p.conf, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.server, addr = s, s.Addr()
	} else {
		p.net = newMemory()
		p.server = newServer(p.conf, p.net, nil)
		p.peers.dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			p.dials.Add(1)
			return p.net.dial(ctx, addr)
		}
	}
	p.endServe = running(t, p.server.Run)
	end := running(t, p.peers.Run)
	p.endAsk = func() { _ = end() }
	p.peers.Follow(map[affinity.NodeID]netip.AddrPort{1: addr})
	p.reached(true)
	t.Cleanup(func() {
		p.endAsk()
		if err := p.endServe(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// running starts a part, and returns what ends it and waits.
func running(t testing.TB, run func(context.Context, func()) error) func() error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- run(ctx, func() { close(ready) }) }()
	<-ready
	return sync.OnceValue(func() error { cancel(); return <-done })
}

// reached waits for the next change of the answering node's reachability.
func (p *pair) reached(want bool) {
	p.t.Helper()
	if ok := <-p.changes; ok != want {
		p.t.Fatalf("reached: %v, want %v", ok, want)
	}
}

// get returns a request that is relayed.
func get(path string) *exchange.Request {
	return &exchange.Request{
		Proto: exchange.HTTP2, Method: "GET", Scheme: "https", Host: "www.example", Path: path,
		Header: exchange.Header{{Name: "accept", Value: "*/*"}, {Name: "user-agent", Value: "test"}},
		Client: netip.MustParseAddrPort("192.0.2.1:1234"), Local: netip.MustParseAddrPort("[2001:db8::1]:443"),
		TLS: &exchange.TLS{Version: tls.VersionTLS13, ServerName: "www.example", ALPN: "h2"},
		ID:  "id", Asked: exchange.AskFill,
	}
}

func post(path, body string) *exchange.Request {
	r := get(path)
	r.Method = "POST"
	if body != "" {
		r.Body, r.Length = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	return r
}

func (p *pair) ask(r *exchange.Request) (*exchange.Response, error) {
	return p.peers.Ask(context.Background(), 1, r)
}

// must asks, and wants a response, whose content it returns.
func (p *pair) must(r *exchange.Request) (*exchange.Response, string) {
	p.t.Helper()
	resp, err := p.ask(r)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		p.t.Fatal(err)
	}
	return resp, string(b)
}

var nop = zap.NewNop()

// unreached wants an *Unreached.
func unreached(t testing.TB, err error, why Why) {
	t.Helper()
	u, ok := errors.AsType[*Unreached](err)
	if !ok || u.Why != why || u.Node != 1 {
		t.Fatalf("error %v, want node 1 unreached: %v", err, why)
	}
}

// counted returns what a counter or gauge says.
func counted(c prometheus.Collector) float64 { return testutil.ToFloat64(c) }
