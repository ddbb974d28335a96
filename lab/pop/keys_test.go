package pop

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// wallet holds one ticket and shows it whoever asks: a client that does not
// care whose it is.
type wallet struct {
	stored atomic.Int32

	mu     sync.Mutex
	ticket *tls.ClientSessionState
}

// Get implements tls.ClientSessionCache.
func (w *wallet) Get(string) (*tls.ClientSessionState, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ticket, w.ticket != nil
}

// Put implements tls.ClientSessionCache.
func (w *wallet) Put(_ string, ticket *tls.ClientSessionState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ticket != nil {
		w.ticket = ticket
		w.stored.Add(1)
	}
}

// freeze returns a wallet that keeps its ticket whatever comes.
func (w *wallet) freeze() tls.ClientSessionCache { return frozen{w} }

type frozen struct{ *wallet }

// Put implements tls.ClientSessionCache.
func (frozen) Put(string, *tls.ClientSessionState) {}

// handshake shakes hands with a node over TCP and has one answer, after
// which tickets have come.
func handshake(t testing.TB, n *node, site string, version uint16, tickets tls.ClientSessionCache) tls.ConnectionState {
	t.Helper()
	c, err := tls.Dial("tcp", n.https(), &tls.Config{
		RootCAs: n.pop.roots, ServerName: site + domain, MinVersion: version, MaxVersion: version, ClientSessionCache: tickets,
	})
	must(t, err)
	defer func() { _ = c.Close() }()
	_, err = fmt.Fprintf(c, "GET /s/echo HTTP/1.1\r\nHost: %s%s\r\nConnection: close\r\n\r\n", site, domain)
	must(t, err)
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Fatalf("%s at %s: %v %q", site, n.name, err, answer)
	}
	return c.ConnectionState()
}

// twoSites is a PoP of three nodes with two customers' sites, on one
// certificate: nothing but the tickets' keys tells them apart.
func twoSites(t *testing.T, rest string) *pop {
	t.Helper()
	o := newOrigin(t, 1)
	p := newPop(t, map[string]string{
		"one.yaml": siteDoc("one", o, "tenant: first"),
		"two.yaml": siteDoc("two", o, "tenant: second"),
	})
	p.rest = rest
	p.start(t, 1, 2, 3)
	return p
}

// TestTicketsAreShared: a session begun at one node is resumed at every
// other, and never at another customer's site.
func TestTicketsAreShared(t *testing.T) {
	p := twoSites(t, "")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, from := range p.nodes {
			w := &wallet{}
			if handshake(t, from, "one", version, w).DidResume {
				t.Error("a first handshake resumed something")
			}
			for _, to := range p.nodes {
				if !handshake(t, to, "one", version, w.freeze()).DidResume {
					t.Errorf("%s: a ticket of %s is not resumed at %s", tls.VersionName(version), from.name, to.name)
				}
				if handshake(t, to, "two", version, w.freeze()).DidResume {
					t.Errorf("%s: a ticket of %s for one site is resumed at %s for another", tls.VersionName(version), from.name, to.name)
				}
			}
		}
	}
}

// h3get sends one GET over a connection of its own: with http3.MethodGet0RTT
// in early data, when the client has a ticket.
func h3get(t testing.TB, n *node, method, site, path string, tickets tls.ClientSessionCache) quic.ConnectionState {
	t.Helper()
	var conn *quic.Conn
	dial := quic.DialAddr // returns after the handshake
	if method == http3.MethodGet0RTT {
		dial = quic.DialAddrEarly
	}
	rt := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: n.pop.roots, ClientSessionCache: tickets},
		Dial: func(ctx context.Context, _ string, conf *tls.Config, qconf *quic.Config) (_ *quic.Conn, err error) {
			conn, err = dial(ctx, n.https(), conf, qconf)
			return conn, err
		},
	}
	defer func() { _ = rt.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+site+domain+path, nil)
	must(t, err)
	if g, err := fetch(&http.Client{Transport: rt}, req); err != nil || g.status != http.StatusOK {
		t.Fatalf("%s at %s: %d, %v", site, n.name, g.status, err)
	}
	<-conn.HandshakeComplete()
	if w, ok := tickets.(*wallet); ok {
		waitFor(t, "ticket", func() bool { return w.stored.Load() > 0 })
	}
	return conn.ConnectionState()
}

// TestEarlyDataAtAnyNode: a request in a client's first packets (0-RTT) is
// answered by a node that the client has never spoken to.
func TestEarlyDataAtAnyNode(t *testing.T) {
	p := twoSites(t, "")
	for i, from := range p.nodes {
		to := p.nodes[(i+1)%len(p.nodes)]
		w := &wallet{}
		if h3get(t, from, http.MethodGet, "one", "/s/echo", w).Used0RTT {
			t.Error("a first connection had early data")
		}
		path := "/s/early-from-" + from.name
		if !h3get(t, to, http3.MethodGet0RTT, "one", path, w.freeze()).Used0RTT {
			t.Errorf("early data for a ticket of %s is refused at %s", from.name, to.name)
		}
		waitFor(t, "access record", func() bool { return strings.Contains(to.accessLog(t), path) })
		for line := range strings.Lines(to.accessLog(t)) {
			if strings.Contains(line, path) && !strings.Contains(line, `"resumed":true`) {
				t.Errorf("the record does not say that the session was resumed: %s", line)
			}
		}
		s := h3get(t, to, http.MethodGet, "two", "/s/echo", w.freeze())
		if s.Used0RTT || s.TLS.DidResume {
			t.Errorf("a ticket of %s for one site is good at %s for another", from.name, to.name)
		}
	}
}
