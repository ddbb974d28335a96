package http3

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// handler is an exchange.Handler of functions.
type handler struct {
	hit   func(*exchange.Request, *exchange.Stored) bool
	sent  func(n int64, why exchange.Cause)
	serve func(context.Context, exchange.Writer, *exchange.Request)
}

func (h *handler) Hit(r *exchange.Request, s *exchange.Stored) bool {
	return h.hit != nil && h.hit(r, s)
}

func (h *handler) Sent(_ *exchange.Request, _ *exchange.Stored, n int64, why exchange.Cause) {
	if h.sent != nil {
		h.sent(n, why)
	}
}

func (h *handler) ServeExchange(ctx context.Context, w exchange.Writer, r *exchange.Request) {
	h.serve(ctx, w, r)
}

// content is stored content in pieces.
type content struct {
	data     []byte
	piece    int64 // 0: all in one
	released atomic.Int32
}

func (c *content) From(off int64) []byte {
	if c.piece == 0 {
		return c.data[off:]
	}
	end := min((off/c.piece+1)*c.piece, int64(len(c.data)))
	return c.data[off:end]
}

func (c *content) Release() { c.released.Add(1) }

// stored answers GET and HEAD from memory with data.
func stored(data *content, fields ...exchange.Field) func(*exchange.Request, *exchange.Stored) bool {
	head := &exchange.Head{Status: 200, Header: fields, Length: int64(len(data.data))}
	return func(r *exchange.Request, s *exchange.Stored) bool {
		s.Head = head
		s.Own = append(s.Fields[:0], exchange.Field{Name: "age", Value: "12"})
		if r.Method == "GET" {
			s.Content = data
		}
		return true
	}
}

// testLimits are the default limits, tighter where a test would wait.
func testLimits() limits.Limits {
	lim := limits.Default()
	lim.HandshakeTime = 5 * time.Second
	return lim
}

// edge is a server on the loopback interface.
type edge struct {
	t        *testing.T
	server   *Server
	ln       *Listener
	counters *limits.Counters
	inFlight atomic.Int64
	roots    *x509.CertPool
	keys     *tls.Config

	accepted func(*Conn)
	parent   atomic.Pointer[context.Context] // of connections; nil: that of the edge

	mu    sync.Mutex
	conns []*Conn
}

func serve(t *testing.T, lim limits.Limits, h *handler) *edge {
	t.Helper()
	return serveWith(t, lim, h, nil)
}

// serveWith is serve; accepted is called with each connection before it is
// served.
func serveWith(t *testing.T, lim limits.Limits, h *handler, accepted func(*Conn)) *edge {
	t.Helper()
	e := &edge{t: t, counters: &limits.Counters{}, accepted: accepted}
	e.server = New(Config{Handler: h, Limits: lim, Counters: e.counters, Log: zap.NewNop(), InFlight: &e.inFlight}, nil)
	e.certify()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	e.ln, err = Listen(socket, ListenConfig{TLS: e.keys, Limits: lim, Counters: e.counters, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { e.accept(ctx, &tasks) })
	t.Cleanup(func() {
		cancel()
		tasks.Wait()
		if err := e.ln.Close(); err != nil {
			t.Error(err)
		}
		if n := e.inFlight.Load(); n != 0 {
			t.Errorf("%d exchanges in flight after the end", n)
		}
	})
	return e
}

func (e *edge) accept(ctx context.Context, tasks *sync.WaitGroup) {
	for {
		qc, err := e.ln.Accept(ctx)
		if err != nil {
			return
		}
		c := e.server.Conn(qc, exchange.Request{
			Scheme: "https",
			Client: qc.RemoteAddr().(*net.UDPAddr).AddrPort(),
			Local:  netip.MustParseAddrPort(e.ln.Addr().String()),
			TLS:    &exchange.TLS{Version: tls.VersionTLS13, ServerName: "a.test", ALPN: NextProto},
			Conn:   &exchange.Conn{},
		})
		if e.accepted != nil {
			e.accepted(c)
		}
		e.mu.Lock()
		e.conns = append(e.conns, c)
		e.mu.Unlock()
		parent := ctx
		if p := e.parent.Load(); p != nil {
			parent = *p
		}
		tasks.Go(func() { c.Serve(parent) })
	}
}

// only returns the one connection that was accepted.
func (e *edge) only() *Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.conns) != 1 {
		e.t.Fatalf("%d connections, want 1", len(e.conns))
	}
	return e.conns[0]
}

func (e *edge) certify() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		e.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		e.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		e.t.Fatal(err)
	}
	e.roots = x509.NewCertPool()
	e.roots.AddCert(cert)
	// As in the edge: a configuration for each site, with ticket keys of its
	// own.
	site := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	site.SetSessionTicketKeys([][32]byte{{1}})
	e.keys = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return site, nil }}
}

func (e *edge) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: e.roots, ServerName: "a.test", NextProtos: []string{NextProto}}
}

func (e *edge) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	e.t.Cleanup(cancel)
	return ctx
}

// dial opens a QUIC connection on which nothing was sent yet.
func (e *edge) dial() *quic.Conn {
	e.t.Helper()
	qc, err := quic.DialAddr(e.ctx(), e.ln.Addr().String(), e.clientTLS(), &quic.Config{MaxIncomingUniStreams: 10})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = qc.CloseWithError(quic.ApplicationErrorCode(codeNoError), "") })
	return qc
}

// eventually waits until ok.
func (e *edge) eventually(what string, ok func() bool) {
	e.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := e.ctx(); !ok(); {
		select {
		case <-tick.C:
		case <-limit.Done():
			e.t.Fatalf("waited too long for %s", what)
		}
	}
}
