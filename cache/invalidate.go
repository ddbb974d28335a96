package cache

import (
	"net/url"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// isSafe lists the methods of RFC 9110, 9.2.1. Any other may have changed
// something.
func isSafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// afterUnsafe invalidates what a successful unsafe request may have
// changed (RFC 9111, 4.4), and keeps its response if it is one to GET.
func (s *Store) afterUnsafe(a *ask, resp *exchange.Response) {
	if resp.Status < 200 || resp.Status >= 400 {
		return
	}
	own := targetOf(a.req, a.policy)
	keys := []string{own.key(a.policy.Site)}
	location, okLocation := sameOrigin(a.req, a.policy, resp.Header.Get("location"))
	content, okContent := sameOrigin(a.req, a.policy, resp.Header.Get("content-location"))
	if okLocation && location != own {
		keys = append(keys, location.key(a.policy.Site))
	}
	if okContent && content != own {
		keys = append(keys, content.key(a.policy.Site))
	}
	s.Invalidate(keys)
	// The node that a response came from has told the others of its PoP.
	if told := resp.Copy != nil && !resp.Copy.Abroad; !told && s.invalidated != nil {
		s.invalidated(keys)
	}
	if resp.Copy != nil {
		return
	}
	if a.req.Method == "POST" && okContent && content == own {
		s.keepPosted(a, own, resp)
	}
}

// Invalidate removes what is stored under keys, and does not report it to
// Config.Invalidated. What is being filled for them now still reaches those
// who wait for it, but is not stored.
func (s *Store) Invalidate(keys []string) {
	s.met.invalidated.Add(float64(len(keys)))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		for _, f := range s.flights[key] {
			f.doomed, f.closed = true, true
		}
		s.objects.Invalidate(key)
	}
}

// sameOrigin resolves a reference in a response. It reports false for one
// to another origin, whose resources are none of this one's business.
func sameOrigin(r *exchange.Request, p *Policy, ref string) (_ target, ok bool) {
	if ref == "" {
		return target{}, false
	}
	base, err := url.Parse(r.Scheme + "://" + r.Authority() + r.Target())
	if err != nil {
		return target{}, false
	}
	u, err := base.Parse(ref)
	if err != nil {
		return target{}, false
	}
	to := &exchange.Request{
		Scheme: u.Scheme,
		Host:   strings.TrimSuffix(strings.ToLower(strings.TrimSuffix(u.Host, ":"+u.Port())), "."),
		Port:   u.Port(),
		Path:   u.EscapedPath(),
	}
	if to.Path == "" {
		to.Path = "/"
	}
	if u.RawQuery != "" || u.ForceQuery {
		to.Query = exchange.NormalQuery("?" + u.RawQuery)
	}
	if to.Path, ok = exchange.NormalPath(to.Path); !ok {
		return target{}, false // no request for it is let in
	}
	own, other := targetOf(r, p), targetOf(to, p)
	return other, own.scheme == other.scheme && own.host == other.host && own.port == other.port
}
