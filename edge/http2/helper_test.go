package http2

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// content is stored content in one run, or in runs of run bytes.
type content struct {
	b        []byte
	run      int
	released *atomic.Int64
}

func (c *content) From(off int64) []byte {
	b := c.b[off:]
	if c.run > 0 && len(b) > c.run {
		b = b[:c.run]
	}
	return b
}

func (c *content) Release() {
	if c.released != nil {
		c.released.Add(1)
	}
}

// stub is a Handler for tests.
type stub struct {
	// stored has what Hit answers, by path.
	stored map[string]*exchange.Stored
	serve  func(ctx context.Context, w exchange.Writer, r *exchange.Request)

	hits, sentWhole, sentCut, exchanges atomic.Int64
}

func (h *stub) Hit(r *exchange.Request, s *exchange.Stored) bool {
	st, ok := h.stored[r.Path]
	if !ok {
		return false
	}
	s.Head, s.Content = st.Head, st.Content
	s.Own = append(s.Fields[:0], st.Own...)
	if r.Method == "HEAD" {
		s.Content = nil
	}
	h.hits.Add(1)
	return true
}

func (h *stub) Sent(_ *exchange.Request, _ *exchange.Stored, _ int64, why exchange.Cause) {
	if why == exchange.NoCause {
		h.sentWhole.Add(1)
	} else {
		h.sentCut.Add(1)
	}
}

func (h *stub) ServeExchange(ctx context.Context, w exchange.Writer, r *exchange.Request) {
	h.exchanges.Add(1)
	if h.serve != nil {
		h.serve(ctx, w, r)
		return
	}
	if r.Refused != exchange.Admitted {
		_ = w.Head(r.Refused.Status(), nil, 0)
		return
	}
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	text := "served " + r.Path + "\n"
	_ = w.Head(200, exchange.Header{{Name: "content-type", Value: "text/plain"}}, int64(len(text)))
	_, _ = io.WriteString(w, text)
}

// object is a stored response of n bytes.
func object(n int) *exchange.Stored {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return &exchange.Stored{
		Head: &exchange.Head{
			Status: 200, Length: int64(n),
			Header: exchange.Header{
				{Name: "content-type", Value: "text/plain"},
				{Name: "etag", Value: `"v1"`},
				{Name: "cache-control", Value: "public, max-age=3600"},
				{Name: "via", Value: "1.1 landfall"},
			},
		},
		Own:     []exchange.Field{{Name: "age", Value: "12"}, {Name: "cache-status", Value: "landfall; hit; ttl=3588"}},
		Content: &content{b: b},
	}
}

func testServer(t testing.TB, h exchange.Handler, adapt func(*limits.Limits)) (*Server, *limits.Counters) {
	lim := limits.Default()
	if adapt != nil {
		adapt(&lim)
	}
	counters := &limits.Counters{}
	return New(Config{Handler: h, Limits: lim, Counters: counters, Log: zap.NewNop(), InFlight: &atomic.Int64{}}, nil), counters
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// listen serves TLS on loopback until the test ends, and returns the address.
func listen(t testing.TB, s *Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			group.Go(func() { serveTLS(ctx, s, nc) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); cancel(); group.Wait() })
	return ln.Addr().String()
}

func serveTLS(ctx context.Context, s *Server, nc net.Conn) {
	lim := s.conf.Limits
	conn := wire.NewConn(nc, true, wire.Pace{Stall: lim.BodyStall, Rate: lim.MinRate})
	tc := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2"}, DynamicRecordSizingDisabled: true})
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return
	}
	if err := conn.Flush(); err != nil {
		_ = nc.Close()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	s.Conn(&wire.Plain{Conn: conn, TLS: tc}, exchange.Request{Scheme: "https", Conn: &exchange.Conn{}}).Serve(ctx)
}
