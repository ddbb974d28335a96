package issue

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/internal/hostname"
)

// storage keeps certmagic's files, but for the challenges of orders in
// flight: certmagic would have nodes share those through storage, and
// storing one comes before the CA is told to look. Here they are kept in
// memory, where the answers come from, and handed to the peers.
type storage struct {
	*certmagic.FileStorage
	issuer *Issuer

	mu sync.Mutex
	// Guarded by mu: by storage key, what it takes to withdraw it.
	presented map[string]presented
}

type presented struct{ name, token string }

func newStorage(i *Issuer) *storage {
	return &storage{
		FileStorage: &certmagic.FileStorage{Path: i.conf.Storage},
		issuer:      i, presented: map[string]presented{},
	}
}

// ofChallenge reports whether a key is that of a challenge, as certmagic's
// distributed solver makes them.
func ofChallenge(key string) bool { return path.Base(path.Dir(key)) == "challenge_tokens" }

// Store implements certmagic.Storage.
func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	if !ofChallenge(key) {
		return s.FileStorage.Store(ctx, key, value)
	}
	var c acme.Challenge
	if err := json.Unmarshal(value, &c); err != nil {
		return fmt.Errorf("acme: challenge: %w", err)
	}
	name, err := hostname.Wire(c.Identifier.Value)
	if err != nil {
		return fmt.Errorf("acme: challenge of %q: %w", c.Identifier.Value, err)
	}
	one, err := newChallenge(name, c, self, time.Now())
	if err != nil {
		return fmt.Errorf("acme: challenge of %s: %w", name, err)
	}
	if err := s.issuer.challenges.add(name, one, time.Now()); err != nil {
		return fmt.Errorf("acme: challenge of %s: %w", name, err)
	}
	s.mu.Lock()
	s.presented[key] = presented{name: name, token: c.Token}
	s.mu.Unlock()
	s.issuer.tellChallenge(ctx, name, KindChallenge, challengeMessage{Type: c.Type, Token: c.Token, KeyAuthorization: c.KeyAuthorization})
	return nil
}

// Delete implements certmagic.Storage.
func (s *storage) Delete(ctx context.Context, key string) error {
	if !ofChallenge(key) {
		return s.FileStorage.Delete(ctx, key)
	}
	s.mu.Lock()
	p, ok := s.presented[key]
	delete(s.presented, key)
	s.mu.Unlock()
	if ok {
		s.issuer.challenges.remove(p.name, p.token)
		s.issuer.tellChallenge(ctx, p.name, KindWithdrawal, challengeMessage{Token: p.token})
	}
	return nil
}

// tellChallenge brings news of a challenge to the peers. It is not in the
// way of the order when some cannot be told: the CA may ask another.
func (i *Issuer) tellChallenge(ctx context.Context, name, kind string, m challengeMessage) {
	if i.conf.Share == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellChallengeLimit)
	defer cancel()
	data, err := json.Marshal(m)
	if err == nil {
		err = i.publish(ctx, kind, name, data)
	}
	if err != nil {
		i.log.Warn("not every node of the PoP knows of a challenge", zap.String("name", name), zap.String("kind", kind), zap.Error(err))
	}
}

// triple is what certmagic keeps of a certificate, in three files.
type triple struct{ chain, key, meta []byte }

// tripleKeys returns where the files of a name are, in the order in which
// certmagic writes them: what it finds all three of, it takes for whole.
func tripleKeys(issuer, name string) (key, chain, meta string) {
	return certmagic.StorageKeys.SitePrivateKey(issuer, name),
		certmagic.StorageKeys.SiteCert(issuer, name),
		certmagic.StorageKeys.SiteMeta(issuer, name)
}

// load reads the files of a name, which may have been written by halves.
func (s *storage) load(ctx context.Context, issuer, name string) (t triple, err error) {
	key, chain, meta := tripleKeys(issuer, name)
	for _, file := range []struct {
		key  string
		into *[]byte
	}{{key, &t.key}, {chain, &t.chain}, {meta, &t.meta}} {
		if *file.into, err = s.Load(ctx, file.key); err != nil {
			return triple{}, err
		}
	}
	return t, nil
}

// save writes the files of a name where certmagic will find them.
func (s *storage) save(ctx context.Context, issuer, name string, t triple) error {
	key, chain, meta := tripleKeys(issuer, name)
	for _, file := range []struct {
		key  string
		data []byte
	}{{key, t.key}, {chain, t.chain}, {meta, t.meta}} {
		if err := s.Store(ctx, file.key, file.data); err != nil {
			return err
		}
	}
	return nil
}

// pair returns the certificate with its key, if they belong together.
func (t triple) pair() (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(t.chain, t.key)
	return &cert, err
}
