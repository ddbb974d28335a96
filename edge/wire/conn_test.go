package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// pair returns both ends of a TCP connection on loopback.
func pair(t testing.TB) (server, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return server, client
}

// secured returns a connection over TLS, its handshake done.
func secured(t testing.TB, server, client net.Conn) (*Plain, *tls.Conn) {
	t.Helper()
	conn := NewConn(server, true, Pace{})
	p := &Plain{Conn: conn, TLS: tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})}
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
	shaken := make(chan error, 1)
	go func() { shaken <- c.Handshake() }()
	if err := p.TLS.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return p, c
}

// TestNothingHides: records that arrive together are seen one by one, and
// nobody waits for the network while there is one.
func TestNothingHides(t *testing.T) {
	server, client := pair(t)
	p, c := secured(t, server, client)
	for _, text := range []string{"one", "two", "three"} {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 64)
	for _, want := range []string{"one", "two", "three"} {
		if err := p.Conn.Wait(); err != nil {
			t.Fatal(err)
		}
		n, err := p.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Fatalf("read %q and %v, want %q", buf[:n], err, want)
		}
	}
	if p.Conn.Ready() || p.Conn.in != nil {
		t.Error("a buffer is held by a connection that has nothing")
	}
}

// TestGathered: what is written leaves with Flush, whole and in order, and
// the alert that ends the session with Close.
func TestGathered(t *testing.T) {
	server, client := pair(t)
	p, c := secured(t, server, client)
	want := make([]byte, 3<<20)
	_, _ = rand.Read(want)
	sent := make(chan error, 1)
	go func() {
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 100_000)
			if err := p.Append(rest[:n]); err != nil {
				sent <- err
				return
			}
			rest = rest[n:]
		}
		if err := p.Flush(); err != nil {
			sent <- err
			return
		}
		sent <- p.Close()
	}()
	got, err := io.ReadAll(c) // an end without close_notify is an error
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, want %d, or others", len(got), len(want))
	}
}

// TestTryFlushNeverBlocks: with a client that reads nothing the rest is
// left, and Flush brings it once the client reads.
func TestTryFlushNeverBlocks(t *testing.T) {
	server, client := pair(t)
	p := &Plain{Conn: NewConn(server, false, Pace{})}
	chunk := bytes.Repeat([]byte{'x'}, 60<<10)
	total := 0
	for {
		if err := p.Append(chunk); err != nil {
			t.Fatal(err)
		}
		total += len(chunk)
		left, err := p.TryFlush()
		if err != nil {
			t.Fatal(err)
		}
		if left {
			break
		}
	}
	flushed := make(chan error, 1)
	go func() { flushed <- p.Flush() }()
	if _, err := io.CopyN(io.Discard, client, int64(total)); err != nil {
		t.Fatal(err)
	}
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
}
