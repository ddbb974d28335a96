package cache

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// keepPosted stores the response to a POST for later GETs while the client
// reads it, when it says that it is the resource's present representation
// and how long it lasts (RFC 9110, 9.3.3).
func (s *Store) keepPosted(a *ask, t target, resp *exchange.Response) {
	now := time.Now()
	h := head{
		policy: a.policy, timing: timing{a.req.Arrived, now}, path: t.path,
		request: a.req.Header, status: resp.Status, header: resp.Header,
	}
	_, explicit := explicitLifetime(resp.Header, directivesOf(resp.Header), now, now)
	valid, why := storable(&h)
	key := t.key(a.policy.Site)
	if resp.Status != http.StatusOK || !explicit || why != stored ||
		resp.Length > s.maxObject || len(key) > s.limits.KeySize {
		return
	}
	b := newBody(&s.content, resp.Length, s.maxObject)
	if b == nil {
		return
	}
	// Nobody can join this flight; it is there to be invalidated.
	f := &flight{key: key, closed: true}
	s.mu.Lock()
	s.flights[key] = append(s.flights[key], f)
	s.mu.Unlock()
	resp.Body = &keptBody{src: resp.Body, store: s, flight: f, variant: h.variant(valid, b)}
}

// keptBody copies content on its way to one client, and stores it when all
// of it went by.
type keptBody struct {
	src     io.ReadCloser
	store   *Store
	flight  *flight
	variant *variant
	done    bool // stored, or given up
}

// Read implements io.Reader.
func (k *keptBody) Read(p []byte) (int, error) {
	n, err := k.src.Read(p)
	if k.done {
		return n, err
	}
	b := k.variant.body
	switch kept := k.keep(p[:n]); {
	case !kept, err != nil && err != io.EOF, err == io.EOF && b.remaining() > 0, !b.fits(0):
		k.giveUp()
	case err == io.EOF, b.remaining() == 0:
		k.done = true
		k.store.settle(k.flight, k.variant, 0)
		b.release()
	}
	return n, err
}

// keep reports false when there is no room for more.
func (k *keptBody) keep(p []byte) bool {
	for len(p) > 0 {
		free, window, err := k.variant.body.room(context.Background())
		if err != nil || window || len(free) == 0 {
			return false
		}
		n := copy(free, p)
		k.variant.body.land(n)
		p = p[n:]
	}
	return true
}

func (k *keptBody) giveUp() {
	k.done = true
	k.store.mu.Lock()
	k.store.unregister(k.flight)
	k.store.mu.Unlock()
	k.variant.body.release()
}

// Close implements io.Closer.
func (k *keptBody) Close() error {
	if !k.done {
		k.giveUp()
	}
	return k.src.Close()
}
