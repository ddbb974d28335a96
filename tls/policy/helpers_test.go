package policy

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/landfall-cdn/landfall/tls/certs/local"
	"github.com/landfall-cdn/landfall/tls/tickets"
)

// fixed serves one certificate, or fails.
type fixed struct {
	cert *tls.Certificate
	err  error
}

func (f fixed) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.cert, f.err }

func authority(t testing.TB) *local.Authority {
	t.Helper()
	ca, err := local.Open(t.TempDir()+"/ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issued(t testing.TB, ca *local.Authority, names ...string) fixed {
	t.Helper()
	cert, err := ca.Issue(names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return fixed{cert: cert}
}

func newPolicy(t testing.TB, challenges Challenges) *Policy {
	t.Helper()
	ring, err := tickets.New(tickets.Config{Epoch: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Tickets: ring, Challenges: challenges})
}

func swap(t testing.TB, p *Policy, fallback string, sites ...SiteConfig) {
	t.Helper()
	table, err := p.Build(sites, fallback)
	if err != nil {
		t.Fatal(err)
	}
	p.Swap(table)
}

func (p *Policy) refusals(r refusal) float64 { return testutil.ToFloat64(p.met.refused[r]) }

// wire records what a client receives.
type wire struct {
	net.Conn
	mu  sync.Mutex
	got bytes.Buffer
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got.Write(b[:n])
	return n, err
}

// alert returns the description of an alert in the clear, or -1 when the
// first record is none.
func (w *wire) alert() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b := w.got.Bytes(); len(b) >= 7 && b[0] == 21 {
		return int(b[6])
	}
	return -1
}

// handshake runs one connection over a pipe: handshake, one byte from the
// server, which brings its session tickets along, and the end. It returns
// what the client saw.
func handshake(server, client *tls.Config) (tls.ConnectionState, *wire, error) {
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		c := tls.Server(far, server)
		if c.Handshake() == nil {
			_, _ = c.Write([]byte{1})
		}
		_ = far.Close()
	}()
	w := &wire{Conn: near}
	c := tls.Client(w, client)
	err := c.Handshake()
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	_ = near.Close()
	<-served
	return c.ConnectionState(), w, err
}
