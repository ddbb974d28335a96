package issue

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/landfall-cdn/landfall/tls/certs/issue/pebbletest"
)

// pop carries what issuers publish to each other. Certmagic's own memory
// of challenges, which a process has only one of, plays no part: an issuer
// answers what it was told, and counts who told it.
type pop struct {
	nodes   [3]atomic.Pointer[Issuer] // nil: down
	orderer atomic.Int32
	drop    atomic.Value // the kind that does not arrive
}

// member is the Share of one node.
type member struct {
	pop  *pop
	self int
}

func (m member) Orders(string) bool { return int(m.pop.orderer.Load()) == m.self }

func (m member) Publish(_ context.Context, kind, name string, data []byte) error {
	if kind == m.pop.drop.Load() {
		return errors.New("dropped")
	}
	var errs []error
	for n := range m.pop.nodes {
		if peer := m.pop.nodes[n].Load(); peer != nil && n != m.self {
			errs = append(errs, peer.Receive(kind, name, data))
		}
	}
	return errors.Join(errs...)
}

// lab is a PoP with a CA that reaches node 1 only.
type lab struct {
	pop  *pop
	edge *edge
	conf Config
}

func newLab(t *testing.T, conf Config) *lab {
	t.Helper()
	e := startEdge(t)
	ca := pebbletest.Start(t, pebbletest.Config{HTTPPort: e.httpPort, TLSPort: e.tlsPort, Life: 90 * 24 * time.Hour})
	conf.Directory, conf.RootFile = ca.Directory, ca.RootFile
	return &lab{pop: &pop{}, edge: e, conf: conf}
}

// node starts a node that serves name, with the storage in dir.
func (l *lab) node(t *testing.T, n int, dir, name string) (iss *Issuer, stop func()) {
	t.Helper()
	c := l.conf
	c.Share, c.Storage = member{l.pop, n}, dir
	iss = l.edge.newIssuer(t, c)
	iss.grace = 50 * time.Millisecond
	if n == 1 {
		l.edge.configure(t, iss, name)
	}
	iss.Manage([]string{name})
	l.pop.nodes[n].Store(iss)
	ended := startIssuer(t, iss)
	return iss, func() {
		l.pop.nodes[n].Store(nil)
		ended()
	}
}

func (i *Issuer) orders(name string) float64 { return i.count(obtained) + i.count(renewed) }

// maintained reports whether certmagic would renew a name at this node.
func (i *Issuer) maintained(name string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.live != nil && len(i.live.cache.AllMatchingCertificates(name)) > 0
}

func sameLeaf(a, b *Issuer, name string) bool {
	return a.Leaf(name) != nil && b.Leaf(name) != nil && a.Leaf(name).Equal(b.Leaf(name))
}

// TestPeerAnswers: the node that the CA reaches did not order, answers what
// it was told, and has the certificate as soon as there is one; also the
// renewed one.
func TestPeerAnswers(t *testing.T) {
	for _, tc := range []struct {
		name    string
		conf    Config
		channel channel
	}{
		{"HTTP-01", Config{NoTLSALPN: true}, overHTTP},
		{"TLS-ALPN-01", Config{NoHTTP: true}, overTLS},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const name = "shared.test"
			l := newLab(t, tc.conf)
			dirs := [2]string{t.TempDir(), t.TempDir()}
			reached, stop := l.node(t, 1, dirs[1], name)
			ordering, _ := l.node(t, 0, dirs[0], name)
			await(t, "the certificate at the other node", func() bool { return sameLeaf(ordering, reached, name) })
			if got := testutil.ToFloat64(reached.met.answers[tc.channel][peer]); got == 0 {
				t.Error("the CA was not answered with what a peer published")
			}
			if got := testutil.ToFloat64(reached.met.answers[tc.channel][self]); got != 0 {
				t.Error("the node that did not order answered for itself")
			}
			if reached.orders(name) != 0 || reached.maintained(name) || !ordering.maintained(name) {
				t.Error("the node that does not order the name did, or would renew it")
			}
			await(t, "withdrawal", func() bool { return len(reached.challenges.of(name)) == 0 && len(ordering.challenges.of(name)) == 0 })

			first := ordering.Leaf(name)
			if err := ordering.Renew(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			await(t, "the renewed certificate", func() bool { return sameLeaf(ordering, reached, name) })
			if reached.Leaf(name).Equal(first) {
				t.Error("the renewed certificate is the old one")
			}
			if !stored(t, reached).Equal(reached.Leaf(name)) {
				t.Error("the renewed certificate is not in the peer's storage")
			}

			stop()
			l.pop.drop.Store(KindCertificate)
			again, _ := l.node(t, 1, dirs[1], name)
			await(t, "the stored certificate after a restart", func() bool { return sameLeaf(ordering, again, name) })
		})
	}
}

// TestUntoldPeerDoesNotAnswer shows that the test above can fail: the
// issuers share nothing but what they publish.
func TestUntoldPeerDoesNotAnswer(t *testing.T) {
	const name = "untold.test"
	l := newLab(t, Config{})
	l.pop.drop.Store(KindChallenge)
	reached, _ := l.node(t, 1, t.TempDir(), name)
	ordering, stop := l.node(t, 0, t.TempDir(), name)
	await(t, "failure", func() bool { return ordering.count(failed) > 0 })
	if reached.Leaf(name) != nil {
		t.Error("a name was validated that nobody could answer for")
	}
	stop()
}

// TestTakeover: a node that orders from now on goes on with the certificate
// it was given, and orders nothing while that is valid.
func TestTakeover(t *testing.T) {
	const name = "takeover.test"
	l := newLab(t, Config{})
	second, _ := l.node(t, 1, t.TempDir(), name)
	first, stop := l.node(t, 0, t.TempDir(), name)
	await(t, "the certificate", func() bool { return sameLeaf(first, second, name) })
	stop() // it died
	l.pop.orderer.Store(1)
	second.Reconsider()
	await(t, "takeover", func() bool { return second.maintained(name) })

	// A node that has come since, and orders, gets it from whom it
	// relieves.
	third, _ := l.node(t, 2, t.TempDir(), name)
	third.grace = patience
	l.pop.orderer.Store(2)
	third.Reconsider()
	second.Reconsider()
	await(t, "handover", func() bool { return sameLeaf(second, third, name) && third.maintained(name) })
	if second.maintained(name) {
		t.Error("the node that was relieved would still renew the name")
	}
	if second.orders(name)+third.orders(name) != 0 {
		t.Error("a certificate was ordered though there was one")
	}
	if err := third.Renew(t.Context(), name); err != nil {
		t.Errorf("a node that took over cannot renew: %v", err)
	}
	await(t, "what the third node renewed", func() bool { return sameLeaf(second, third, name) })
}

// TestAnnounce: a node that comes later is given what others order.
func TestAnnounce(t *testing.T) {
	const name = "announce.test"
	l := newLab(t, Config{})
	late, stop := l.node(t, 1, t.TempDir(), name)
	ordering, _ := l.node(t, 0, t.TempDir(), name)
	await(t, "the certificate", func() bool { return sameLeaf(ordering, late, name) })
	stop()
	late, _ = l.node(t, 1, t.TempDir(), name)
	if late.Leaf(name) != nil {
		t.Fatal("a new node has a certificate that nobody gave it")
	}
	if err := ordering.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !sameLeaf(ordering, late, name) {
		t.Error("after Announce the new node has no certificate")
	}
	if err := late.Announce(t.Context()); err != nil {
		t.Errorf("Announce at a node that orders nothing: %v", err)
	}
}
