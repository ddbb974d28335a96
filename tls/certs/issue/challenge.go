package issue

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/landfall-cdn/landfall/internal/hostname"
)

// ChallengePath is where a CA asks for the answer to an HTTP-01 challenge
// (RFC 8555, 8.3).
const ChallengePath = "/.well-known/acme-challenge/"

const (
	// challengeLife is how long a challenge is answered that nobody
	// withdraws, as when the node that ordered has died. Validation takes
	// seconds, and a CA that retries does so for a few minutes.
	challengeLife = 10 * time.Minute
	// maxChallenges bounds those of all names, and maxNameChallenges those
	// of one: two types, and two nodes that both think they order.
	maxChallenges     = 1024
	maxNameChallenges = 4
	// maxToken bounds a token and a thumbprint, in bytes; RFC 8555, 8.1,
	// makes the latter 43.
	maxToken = 256
)

// errChallenges says that no more challenges are kept.
var errChallenges = fmt.Errorf("%d challenges wait for an answer already", maxChallenges)

// orderer is which node ordered what a challenge is for.
type orderer uint8

const (
	self orderer = iota
	peer
	numOrderers
)

// challenge is one that a CA may ask us to answer.
type challenge struct {
	kind    string // acme.ChallengeTypeHTTP01 or acme.ChallengeTypeTLSALPN01
	token   string
	keyAuth string
	by      orderer
	cert    *tls.Certificate // the answer over TLS; nil for HTTP-01
	expires time.Time
}

// newChallenge checks what a CA, or a peer in its place, gave for a
// canonical name.
func newChallenge(name string, c acme.Challenge, by orderer, now time.Time) (*challenge, error) {
	token, thumbprint, ok := strings.Cut(c.KeyAuthorization, ".")
	if !ok || token != c.Token || !base64URL(token) || !base64URL(thumbprint) {
		return nil, errors.New("the key authorization is not one of RFC 8555, 8.1")
	}
	made := &challenge{kind: c.Type, token: c.Token, keyAuth: c.KeyAuthorization, by: by, expires: now.Add(challengeLife)}
	switch c.Type {
	case acme.ChallengeTypeHTTP01:
	case acme.ChallengeTypeTLSALPN01:
		c.Identifier = acme.Identifier{Type: "dns", Value: name}
		cert, err := acmez.TLSALPN01ChallengeCert(c)
		if err != nil {
			return nil, fmt.Errorf("make the certificate that answers: %w", err)
		}
		made.cert = cert
	default:
		return nil, fmt.Errorf("challenges of type %.32q are not answered here", c.Type)
	}
	return made, nil
}

func base64URL(s string) bool {
	return s != "" && len(s) <= maxToken && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// challenges are those of orders in flight, of this node and its peers.
type challenges struct {
	// Swapped whole under mu, read without it. By canonical name; the
	// newest comes last. Neither the map nor the lists ever change.
	live atomic.Pointer[map[string][]*challenge]

	// mu orders changes.
	mu sync.Mutex
}

func newChallenges() *challenges {
	c := &challenges{}
	c.live.Store(&map[string][]*challenge{})
	return c
}

// add has a name's challenge answered until it is removed or expires.
func (c *challenges) add(name string, one *challenge, now time.Time) error {
	return c.change(func(all map[string][]*challenge) error {
		kept := 0
		for n, list := range all {
			list = without(list, func(o *challenge) bool { return now.After(o.expires) })
			if n == name {
				list = without(list, func(o *challenge) bool { return o.kind == one.kind && o.token == one.token })
			}
			put(all, n, list)
			kept += len(list)
		}
		if kept >= maxChallenges {
			return errChallenges
		}
		list := all[name]
		if len(list) >= maxNameChallenges {
			list = list[1:]
		}
		all[name] = append(list[:len(list):len(list)], one)
		return nil
	})
}

// remove forgets the challenges of a name that have a token.
func (c *challenges) remove(name, token string) {
	_ = c.change(func(all map[string][]*challenge) error {
		put(all, name, without(all[name], func(o *challenge) bool { return o.token == token }))
		return nil
	})
}

// change swaps in a copy that edit has changed, unless edit fails.
func (c *challenges) change(edit func(map[string][]*challenge) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := maps.Clone(*c.live.Load())
	if err := edit(next); err != nil {
		return err
	}
	c.live.Store(&next)
	return nil
}

// without returns what of list does not match, and never writes to list.
func without(list []*challenge, match func(*challenge) bool) []*challenge {
	var kept []*challenge
	for _, o := range list {
		if !match(o) {
			kept = append(kept, o)
		}
	}
	return kept
}

func put(all map[string][]*challenge, name string, list []*challenge) {
	if len(list) == 0 {
		delete(all, name)
		return
	}
	all[name] = list
}

// of returns the challenges of a name as it stands on the wire.
func (c *challenges) of(name string) []*challenge {
	canonical, err := hostname.Wire(name)
	if err != nil {
		return nil
	}
	return (*c.live.Load())[canonical]
}

// HandleHTTPChallenge returns the body, a key authorization, to answer a
// GET for path at host with, in text/plain. It is false for all that an
// order in flight, here or on a peer, does not ask for, and costs a map
// read then.
func (i *Issuer) HandleHTTPChallenge(host, path string) (keyAuthorization string, ok bool) {
	token, ok := strings.CutPrefix(path, ChallengePath)
	if !ok {
		return "", false
	}
	for _, c := range i.challenges.of(host) {
		if c.kind == acme.ChallengeTypeHTTP01 && c.token == token && time.Now().Before(c.expires) {
			i.met.answers[overHTTP][c.by].Inc()
			return c.keyAuth, true
		}
	}
	return "", false
}

// ChallengeCertificate returns the certificate that answers the TLS-ALPN
// challenge (RFC 8737) of a name, or false when no order asks for one. A
// hello says nothing of the token, so the newest challenge is answered.
func (i *Issuer) ChallengeCertificate(name string) (*tls.Certificate, bool) {
	list := i.challenges.of(name)
	for n := len(list) - 1; n >= 0; n-- {
		if c := list[n]; c.cert != nil && time.Now().Before(c.expires) {
			i.met.answers[overTLS][c.by].Inc()
			return c.cert, true
		}
	}
	return nil, false
}
