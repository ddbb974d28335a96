package http1

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// endless gives a request again and again, and takes what is written.
type endless struct {
	memConn
	request []byte
	n       int // how many are left
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, errors.New("the end")
	}
	e.n--
	return copy(p, e.request), nil
}
func (e *endless) Write(p []byte) (int, error)       { return len(p), nil }
func (e *endless) Close() error                      { return nil }
func (e *endless) SetReadDeadline(t time.Time) error { return nil }

const browser = "GET /hit HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: none\r\n" +
	"Sec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\nCookie: a=0123456789abcdef0123456789abcdef; b=c\r\n\r\n"

// bottomless is a handler whose every answer is a hit of size bytes.
func bottomless(size int) *handler {
	head := &exchange.Head{Status: 200, Header: exchange.Header{{Name: "content-type", Value: "text/plain"}}, Length: int64(size)}
	run := make(flat, size)
	return &handler{hit: func(_ *exchange.Request, out *exchange.Stored) bool {
		out.Head, out.Content = head, &run
		out.Own = append(out.Fields[:0], exchange.Field{Name: "age", Value: "12"}, exchange.Field{Name: "x-request-id", Value: "0123456789abcdef"})
		return true
	}}
}

// ready is a connection in memory whose requests are all hits.
func ready(size int) (*Conn, *endless) {
	e := &endless{request: []byte(browser)}
	return over(&wire.Plain{Conn: wire.NewConn(e, false, wire.Pace{})}, bottomless(size)), e
}

// flat is content of one run.
type flat []byte

func (f *flat) From(off int64) []byte { return (*f)[off:] }
func (f *flat) Release()              {}

func BenchmarkHit(b *testing.B) {
	c, e := ready(1 << 10)
	b.ReportAllocs()
	for b.Loop() {
		e.n = 1
		if !c.park() || !c.burst(context.Background()) {
			b.Fatal("the connection ended")
		}
	}
}

func BenchmarkHead(b *testing.B) {
	lim := limits.Default()
	var h head
	var r exchange.Request
	text := []byte(browser)
	own := make([]byte, len(text))
	b.ReportAllocs()
	for b.Loop() {
		copy(own, text)
		if h.parse(own, &r, &lim) != exchange.Admitted || r.Method != http.MethodGet {
			b.Fatal("refused")
		}
	}
}

// BenchmarkRoundTrip is a hit on loopback, with the work of both ends.
func BenchmarkRoundTrip(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(fmt.Sprintf("TLS=%v", secure), func(b *testing.B) {
			ask := connect(b, secure, 1<<10)
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}

// connect returns a function that asks for a hit of size bytes on loopback,
// and waits for the answer.
func connect(t testing.TB, secure bool, size int) (ask func()) {
	t.Helper()
	conn, client := loopback(t, secure, bottomless(size))
	served := make(chan struct{})
	go func() { defer close(served); conn.Serve(context.Background()) }()
	t.Cleanup(func() { _ = client.Close(); <-served })
	request, answer := []byte(browser), make([]byte, 64<<10)
	if _, err := client.Write(request); err != nil {
		t.Fatal(err)
	}
	length, err := client.Read(answer) // an answer of this size is one record
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := client.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, answer[:length]); err != nil {
			t.Fatal(err)
		}
	}
}

// loopback returns both ends of a TCP connection, with or without TLS, the
// server's as a Conn to be served.
func loopback(t testing.TB, secured bool, h exchange.Handler) (*Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if secured {
		return secure(t, h, server, client, certificate(t))
	}
	return over(&wire.Plain{Conn: wire.NewConn(server, false, pace)}, h), client
}

var pace = wire.Pace{Stall: 10 * time.Second, Rate: 250}

// secure runs TLS over a connection.
func secure(t testing.TB, h exchange.Handler, server, client net.Conn, cert tls.Certificate) (*Conn, *tls.Conn) {
	t.Helper()
	p := &wire.Plain{Conn: wire.NewConn(server, true, pace)}
	p.TLS = tls.Server(p.Conn, &tls.Config{Certificates: []tls.Certificate{cert}, DynamicRecordSizingDisabled: true})
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
	shaken := make(chan error, 1)
	go func() { shaken <- c.Handshake() }()
	if err := errors.Join(p.TLS.Handshake(), p.Conn.Flush(), <-shaken); err != nil {
		t.Fatal(err)
	}
	return over(p, h), c
}

// over is a server's connection over p.
func over(p *wire.Plain, h exchange.Handler) *Conn {
	conf := Config{Handler: h, Limits: limits.Default(), Counters: &limits.Counters{}, Log: zap.NewNop(), InFlight: &atomic.Int64{}}
	return New(conf, nil).Conn(p, exchange.Request{Scheme: "https"})
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
