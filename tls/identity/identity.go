// Package identity lets nodes prove to one another who they are. It owns
// the CA that a PoP's secret implies, or the files that stand in for it,
// the certificate of this node, and the TLS terms between nodes. It opens
// no socket, and clients of sites never meet its certificates.
package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// retryAfter is how long a certificate that is due, and could not be
	// replaced, stays before the next try.
	retryAfter = time.Minute
	// backSlack is how far the clock may step back, as time servers make
	// it, before a certificate counts as made in the future.
	backSlack = time.Hour
)

// Identity is who this node is among nodes. It is safe for concurrent use.
type Identity struct {
	// Static after Derive or Load.
	self  Peer
	roots *x509.CertPool
	renew func(now time.Time) (*leaf, error)

	// Swapped whole by refresh.
	current atomic.Pointer[leaf]

	// mu orders refreshing; what follows is guarded by it.
	mu      sync.Mutex
	next    time.Time // no try before this
	problem error     // why the last try failed
}

// leaf is a certificate of this node and when another should take its place.
type leaf struct {
	cert *tls.Certificate
	made time.Time
	due  time.Time
}

// stale reports whether another certificate is wanted at now: because this
// one nears its end, or because the clock was ahead when it was made.
func (l *leaf) stale(now time.Time) bool {
	return !now.Before(l.due) || now.Before(l.made.Add(-backSlack))
}

// Peer is a node as its certificate names it.
type Peer struct {
	Pop string
	ID  uint8 // 1 to 255, unique among all nodes that share a secret
}

// Self returns whom this identity names.
func (i *Identity) Self() Peer { return i.self }

// Expires returns when the certificate that is shown now ends.
func (i *Identity) Expires() time.Time { return i.current.Load().cert.Leaf.NotAfter }

// Problem returns why the certificate could not be replaced though it is
// due, or nil. The old one is shown meanwhile.
func (i *Identity) Problem() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.problem
}

// Server returns the config with which other nodes are accepted: TLS 1.3
// and a certificate of a node, of this PoP or a sibling. PeerOf says which.
// The caller owns the config and adds its protocols.
func (i *Identity) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs:  i.roots,
		// A resumed connection would not be proven anew, and nodes keep
		// theirs open.
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.certificate(time.Now()), nil },
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := PeerOf(cs)
			return err
		},
	}
}

// Client returns the config with which node id is reached, and nobody
// else: the name and address it was dialled by do not count. The caller
// owns the config and adds its protocols.
func (i *Identity) Client(id uint8) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Nodes are known by their URI and not by a host name, so all of
		// the verification is in VerifyConnection.
		InsecureSkipVerify:   true,
		VerifyConnection:     func(cs tls.ConnectionState) error { return i.verifyServer(cs, id) },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.certificate(time.Now()), nil },
	}
}

// verifyServer accepts the server of cs if it is node id.
func (i *Identity) verifyServer(cs tls.ConnectionState, id uint8) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the peer showed no certificate")
	}
	chain := x509.VerifyOptions{Roots: i.roots, Intermediates: x509.NewCertPool()}
	for _, c := range cs.PeerCertificates[1:] {
		chain.Intermediates.AddCert(c)
	}
	if _, err := cs.PeerCertificates[0].Verify(chain); err != nil {
		return fmt.Errorf("node %d is not proven: %w: do both nodes have the same secret, and is the time right on both?", id, err)
	}
	peer, err := PeerOf(cs)
	if err != nil {
		return err
	}
	if peer.ID != id {
		return fmt.Errorf("node %d of PoP %q answers where node %d should be: do two nodes have one address?", peer.ID, peer.Pop, id)
	}
	return nil
}

// certificate returns what to show at now. It may read files once in a
// minute while the old certificate is due.
func (i *Identity) certificate(now time.Time) *tls.Certificate {
	l := i.current.Load()
	if l.stale(now) {
		l = i.refresh(now)
	}
	return l.cert
}

func (i *Identity) refresh(now time.Time) *leaf {
	i.mu.Lock()
	defer i.mu.Unlock()
	old := i.current.Load()
	// A next try that is further off than a try can be was set by a clock
	// that has been put back since.
	waiting := now.Before(i.next) && i.next.Sub(now) <= retryAfter
	if !old.stale(now) || waiting {
		return old
	}
	fresh, err := i.renew(now)
	i.problem, i.next = err, now.Add(retryAfter)
	if err != nil {
		return old
	}
	i.current.Store(fresh)
	return fresh
}
