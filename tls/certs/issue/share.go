package issue

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/internal/hostname"
	"github.com/landfall-cdn/landfall/tls/certs"
)

// Share is how the issuers of a PoP's nodes work as one: one of them orders
// a name, all answer the CA, and all have the certificate at once.
type Share interface {
	// Orders reports whether this node is the one that orders name. When
	// the answer changes, Issuer.Reconsider has to be called. It must not
	// wait, nor call the issuer.
	Orders(name string) bool
	// Publish brings data to Issuer.Receive of every other node of the PoP,
	// and returns when that is done, with an error when it failed for any.
	// It is called from several goroutines.
	Publish(ctx context.Context, kind, name string, data []byte) error
}

// What nodes tell each other.
const (
	// KindCertificate is a certificate that was obtained or renewed, with
	// its key: whoever carries it has to encrypt it.
	KindCertificate = "certificate"
	// KindChallenge is a challenge that a CA may ask any node to answer,
	// KindWithdrawal that it is over.
	KindChallenge  = "challenge"
	KindWithdrawal = "challenge-withdrawn"
)

// MaxMessage bounds what is published or received, in bytes.
const MaxMessage = 256 << 10

const (
	// tellChallengeLimit bounds how long an order waits until its peers
	// know of a challenge.
	tellChallengeLimit = 2 * time.Second
	// publishLimit bounds how long one certificate takes to its peers.
	publishLimit = 10 * time.Second
	// takeoverGrace is how long a node that finds itself to be the one that
	// orders a name waits for a peer that has the certificate: a view that
	// is still growing lets every node believe that for a moment.
	takeoverGrace = 10 * time.Second
	// maxUnmanaged bounds the certificates, of names that lead to no site
	// here yet, that peers can have this process store.
	maxUnmanaged = 1024
)

var (
	errNotRunning = errors.New("acme: this node's issuer does not run")
	errOlder      = errors.New("this node has a newer one")
)

// challengeMessage is the data of KindChallenge and, with a token only, of
// KindWithdrawal.
type challengeMessage struct {
	Type             string `json:"type,omitempty"`
	Token            string `json:"token"`
	KeyAuthorization string `json:"keyAuthorization,omitempty"`
}

// certificateMessage is the data of KindCertificate.
type certificateMessage struct {
	// Issuer is what certmagic calls the CA by, in storage.
	Issuer string `json:"issuer"`
	// Chain, leaf first, and Key are PEM.
	Chain []byte `json:"chain"`
	Key   []byte `json:"key"`
	// Meta is what certmagic knows besides, such as when to renew.
	Meta json.RawMessage `json:"meta"`
}

// Receive takes what a peer's issuer gave to Share.Publish. Nothing of it
// is taken on trust but that the sender may speak for names: the caller has
// to know it for a node of this PoP. A certificate is served when Receive
// returns. The error says why the message is of no use here.
func (i *Issuer) Receive(kind, name string, data []byte) error {
	err := i.receive(kind, name, data)
	if err != nil {
		i.met.shared[refused].Inc()
		return fmt.Errorf("acme: %.32s of %.256s from a peer: %w", kind, name, err)
	}
	i.met.shared[received].Inc()
	return nil
}

func (i *Issuer) receive(kind, name string, data []byte) error {
	if len(data) > MaxMessage {
		return fmt.Errorf("it has %d bytes, more than %d", len(data), MaxMessage)
	}
	if canonical, err := hostname.Wire(name); err != nil || canonical != name {
		return errors.New("the name is not a canonical host name")
	}
	switch kind {
	case KindCertificate:
		var m certificateMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return err
		}
		i.mu.Lock()
		r := i.live
		i.mu.Unlock()
		if r == nil {
			return errNotRunning
		}
		return r.accept(name, &m)
	case KindChallenge:
		var m challengeMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return err
		}
		c, err := newChallenge(name, acme.Challenge{Type: m.Type, Token: m.Token, KeyAuthorization: m.KeyAuthorization}, peer, time.Now())
		if err != nil {
			return err
		}
		return i.challenges.add(name, c, time.Now())
	case KindWithdrawal:
		var m challengeMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return err
		}
		i.challenges.remove(name, m.Token)
		return nil
	}
	return errors.New("this version does not know what that is")
}

// publish counts what Share.Publish makes of data.
func (i *Issuer) publish(ctx context.Context, kind, name string, data []byte) error {
	err := i.conf.Share.Publish(ctx, kind, name, data)
	if err != nil {
		i.met.shared[unpublished].Inc()
		return err
	}
	i.met.shared[published].Inc()
	return nil
}

// Reconsider follows a change of what Share.Orders says: names that this
// node no longer orders are handed to the peers, and those that it orders
// now are managed, with the certificate it has as long as that is valid.
func (i *Issuer) Reconsider() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.live != nil {
		i.live.reconcile(*i.slots.Load())
	}
}

// Announce publishes the certificates of all names that this node orders,
// for nodes that have come since. When ctx is done, the rest is left to the
// background. The error joins what did not reach every node; that is tried
// again later.
func (i *Issuer) Announce(ctx context.Context) error {
	i.mu.Lock()
	r := i.live
	var names []string
	if r != nil && i.conf.Share != nil {
		for name, t := range r.tasks {
			if s := (*i.slots.Load())[name]; t.role == orders && s != nil && s.cert.Load() != nil {
				names = append(names, name)
			}
		}
	}
	i.mu.Unlock()
	var errs []error
	for _, name := range names {
		err := ctx.Err()
		if err == nil {
			err = r.tell(ctx, name)
		}
		if err != nil {
			errs = append(errs, err)
			r.outbox.add(name)
		}
	}
	return errors.Join(errs...)
}

// tell publishes the certificate that storage has of a name. It is read
// anew, so that the newest goes out, whatever the occasion.
func (r *run) tell(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	t, err := r.storage.load(ctx, r.issuerKey, name)
	if err == nil {
		_, err = t.pair()
	}
	var data []byte
	if err == nil {
		data, err = json.Marshal(certificateMessage{Issuer: r.issuerKey, Chain: t.chain, Key: t.key, Meta: t.meta})
	}
	if err == nil && len(data) > MaxMessage {
		err = fmt.Errorf("it takes %d bytes, more than %d", len(data), MaxMessage)
	}
	if err == nil {
		err = r.issuer.publish(ctx, KindCertificate, name, data)
	}
	if err != nil {
		return fmt.Errorf("acme: certificate of %s: %w", name, err)
	}
	return nil
}

// accept serves and stores a certificate of a peer. Calls for one name
// must not overlap in storage, hence the lock.
func (r *run) accept(name string, m *certificateMessage) error {
	r.accepting.Lock()
	defer r.accepting.Unlock()
	if m.Issuer != r.issuerKey {
		return fmt.Errorf("it is of the CA %.128q, and this node is configured for %q", m.Issuer, r.issuerKey)
	}
	meta, err := foreignMeta(name, m.Meta)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	t := triple{chain: m.Chain, key: m.Key, meta: meta}
	cert, err := t.pair()
	if err != nil {
		return err
	}
	if err := fit(name, cert); err != nil {
		return err
	}
	s := r.issuer.find(name)
	have, err := r.have(name, s)
	if err != nil {
		return err
	}
	if have != nil && have.Leaf.Equal(cert.Leaf) {
		return nil
	}
	if have != nil && cert.Leaf.NotBefore.Before(have.Leaf.NotBefore) && certs.Usable(have, time.Now()) == nil {
		return errOlder
	}
	if s == nil && !r.admitUnmanaged(name) {
		return fmt.Errorf("no site here has the name, and %d such are stored already", maxUnmanaged)
	}
	stored := r.storage.save(r.ctx, r.issuerKey, name, t)
	if s == nil {
		return stored
	}
	r.issuer.put(name, s, cert)
	if stored != nil {
		return fmt.Errorf("it is served but cannot be stored: %w", stored)
	}
	select {
	case s.pushed <- struct{}{}: // ends a wait for it
	default:
	}
	return r.recacheOrdered(r.ctx, name)
}

// foreignMeta returns what certmagic is to know of a certificate that
// another node has ordered. Certmagic would say in the next order that it
// replaces this one if it knew the CA, and CAs refuse that to an account
// that did not order it (RFC 9773, 5).
func foreignMeta(name string, meta json.RawMessage) ([]byte, error) {
	var resource certmagic.CertificateResource
	if err := json.Unmarshal(meta, &resource); err != nil {
		return nil, err
	}
	resource.SANs = []string{name} // they become a path
	if resource.IssuerData != nil {
		var data map[string]json.RawMessage
		if err := json.Unmarshal(resource.IssuerData, &data); err != nil {
			return nil, err
		}
		delete(data, "ca")
		var err error
		if resource.IssuerData, err = json.Marshal(data); err != nil {
			return nil, err
		}
	}
	return json.MarshalIndent(resource, "", "\t")
}

// have returns the certificate that is served for a name, or else the one
// in storage; nil when there is none.
func (r *run) have(name string, s *slot) (*tls.Certificate, error) {
	if s != nil && s.cert.Load() != nil {
		return s.cert.Load(), nil
	}
	t, err := r.storage.load(r.ctx, r.issuerKey, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	cert, err := t.pair()
	if err != nil {
		r.issuer.log.Warn("a stored certificate is broken and gets replaced", zap.String("name", name), zap.Error(err))
		return nil, nil
	}
	return cert, nil
}

// admitUnmanaged keeps count of the names that lead to no site here. The
// caller holds accepting.
func (r *run) admitUnmanaged(name string) bool {
	if !r.unmanaged[name] && len(r.unmanaged) >= maxUnmanaged {
		return false
	}
	r.unmanaged[name] = true
	return true
}
