package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/relay"
	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// handover is how long after a change of the table a new owner asks the one
// before it for what it does not have. What has not been asked for by then
// is not missed by an origin.
const handover = 2 * time.Minute

// placed fills what the store cannot answer: from the node that owns the
// key or the session, or from the site's origin when that is this node, or
// no other will do. A relayed request is always filled here: it has had its
// one hop.
type placed struct {
	// Static.
	s       *Server
	site    *site.Site
	policy  *cache.Policy
	byKey   bool
	session string
	// place and since are those of the key, when it decides.
	place  affinity.Place
	since  time.Time
	cookie sessions.Cookie // with affinity by sticky: what the client's says
	known  bool            // whether the client has such a cookie

	// Set by Fill. from says which other node answered; passed, that the
	// session is another node's, which was passed by.
	from   atomic.Pointer[answered]
	passed atomic.Bool
}

// answered is what another node said of its answer.
type answered struct {
	node   affinity.NodeID
	asked  exchange.Ask
	status string // its Cache-Status
	hit    bool   // it has all of the response stored
}

// place decides where a request that the store cannot answer is filled
// from: one of a session where the session is, unless the answer is known
// to be one for all; one for all where its key is.
func (s *Server) place(r *exchange.Request, st *site.Site, p *cache.Policy) *placed {
	f := &placed{s: s, site: st, policy: p, session: r.Session}
	shared := cache.Cacheable(r, p)
	f.byKey = shared && !st.Local && !s.conf.Pop.Alone
	if st.Affinity.By == sessions.None {
		return f.locate(r)
	}
	if !r.Relayed() {
		f.session = s.sessionOf(r, st, f)
	} else if st.Affinity.By == sessions.Sticky {
		s.sessionOf(r, st, f)
	}
	if shared && f.session != "" && !r.Relayed() && s.store.Known(r, p) {
		f.session = ""
	}
	return f.locate(r)
}

// locate finds the place of the key, when nothing else decides.
func (f *placed) locate(r *exchange.Request) *placed {
	if f.session == "" && f.byKey {
		var table *affinity.Table
		table, f.since = f.s.conf.Pop.Table()
		f.place = table.Place(cache.Key(r, f.policy))
	}
	return f
}

// Here implements cache.Placed.
func (f *placed) Here() bool {
	return f.session == "" && (!f.byKey || f.place.Mine || f.place.Owner == 0)
}

// sessionOf returns the session of a client's request, and takes down what
// a cookie of ours says.
func (s *Server) sessionOf(r *exchange.Request, st *site.Site, f *placed) string {
	value := st.Affinity.Value(r)
	if st.Affinity.By == sessions.Sticky && value != "" {
		f.cookie, f.known = sessions.Open(s.conf.Pop.CookieKeys(st.Name, r.Arrived), st.Name, value)
		if !f.known {
			return ""
		}
		value = f.cookie.Session()
	}
	return sessions.Name(st.Name, value)
}

// Fill implements exchange.Filler.
func (f *placed) Fill(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	switch {
	case r.Relayed() && r.Asked != exchange.AskFill:
		return f.here(ctx, r)
	case f.session != "":
		return f.bySession(ctx, r)
	case f.byKey:
		return f.byOwner(ctx, r)
	}
	return f.here(ctx, r)
}

// here fills from the site's origin. The requests of a session go to one
// endpoint, and this node holds the session from now on.
func (f *placed) here(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	if f.session == "" {
		return f.site.Origin.Fill(ctx, r)
	}
	held, now := f.s.conf.Pop.Sessions, time.Now()
	c := f.inSession(r)
	if endpoint, _ := held.Touch(f.session, now); endpoint != "" {
		c.Endpoint = endpoint
	}
	held.Hold(f.session, c.Endpoint, now)
	resp, err := f.site.Origin.Fill(ctx, c)
	if err != nil {
		return nil, err
	}
	if resp.Endpoint != c.Endpoint {
		held.Hold(f.session, resp.Endpoint, now)
	}
	f.keep(resp)
	return resp, nil
}

// keep has a session held as long as one of its responses lasts: a
// WebSocket may be all that there is of it.
func (f *placed) keep(resp *exchange.Response) {
	hold := func() { f.s.conf.Pop.Sessions.Touch(f.session, time.Now()) }
	resp.Body = &lasting{ReadCloser: resp.Body, hold: hold, next: time.Now().Add(holdEvery)}
	if resp.Tunnel != nil {
		resp.Tunnel = &lastingTunnel{ReadWriteCloser: resp.Tunnel, lasting: lasting{ReadCloser: resp.Tunnel, hold: hold, next: time.Now().Add(holdEvery)}}
	}
}

// passing fills from the site's origin for a session that another node has,
// which cannot be reached now. It stays that node's.
func (f *placed) passing(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	f.passed.Store(true)
	return f.site.Origin.Fill(ctx, f.inSession(r))
}

// inSession returns the request as an origin takes it for the session's.
func (f *placed) inSession(r *exchange.Request) *exchange.Request {
	c := *r
	c.Session = f.session
	if c.Endpoint == "" && f.known {
		c.Endpoint = f.cookie.Endpoint
	}
	return &c
}

// byOwner fills from the node that owns the key.
func (f *placed) byOwner(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	p := f.place
	if p.Owner != 0 && !p.Mine && !r.Relayed() {
		resp, err := f.ask(ctx, p.Owner, exchange.AskFill, r)
		if !passable(ctx, r, err) {
			return resp, err
		}
		return f.here(ctx, r)
	}
	if time.Since(f.since) < handover {
		if resp := f.inherit(ctx, r, p); resp != nil {
			return resp, nil
		}
	}
	return f.here(ctx, r)
}

// inherit asks the owners before this one for what they have stored.
func (f *placed) inherit(ctx context.Context, r *exchange.Request, p affinity.Place) *exchange.Response {
	for _, id := range p.Previous {
		if id == 0 || ctx.Err() != nil {
			break
		}
		if id == f.s.conf.Pop.Self {
			continue
		}
		if resp, err := f.ask(ctx, id, exchange.AskStored, r); err == nil {
			resp.Copy.Inherited = true
			return resp
		}
	}
	return nil
}

// ask brings the request to another node. What it answers from an origin
// counts for the client's connection here.
func (f *placed) ask(ctx context.Context, to affinity.NodeID, what exchange.Ask, r *exchange.Request) (*exchange.Response, error) {
	c := *r
	c.Asked, c.Session = what, f.session
	if f.known {
		c.Endpoint = f.cookie.Endpoint
	}
	if !r.Conn.AcquireOrigin(f.s.conf.Limits.OriginPerConn) {
		f.s.conf.Counters.Hit(limits.OriginPerConn)
		return nil, &exchange.Error{Cause: exchange.ConnectionLimitReached, Err: errPerConn}
	}
	pop := f.s.conf.Pop
	resp, err := pop.Relay.Ask(ctx, to, &c)
	f.s.met.relayed(what, err)
	if err != nil {
		r.Conn.ReleaseOrigin()
		return nil, err
	}
	if f.session != "" {
		pop.Sessions.Forget(f.session)
	}
	if resp.Copy == nil {
		resp.Copy = &exchange.Copy{} // an answer of that node's own, such as a page
	}
	resp.Copy.Abroad = pop.sibling(to)
	a := &answered{node: to, asked: what}
	if resp.Tunnel == nil {
		a.status = takeStatus(&resp.Header)
		a.hit = strings.HasPrefix(a.status, Name+"; hit")
	}
	f.from.Store(a)
	release(resp, r.Conn.ReleaseOrigin)
	return resp, nil
}

var errPerConn = errors.New("the client's connection has too many requests at origins and other nodes at once")

// takeStatus takes the other node's own line out of Cache-Status: it is
// about its answer to this request, and not to be stored with the response.
func takeStatus(h *exchange.Header) string {
	for i := len(*h) - 1; i >= 0; i-- {
		if f := (*h)[i]; f.Name == "cache-status" {
			*h = append((*h)[:i], (*h)[i+1:]...)
			return f.Value
		}
	}
	return ""
}

// passable reports whether a request that another node did not answer may
// be answered another way: nothing was done there, or nothing that may not
// be done twice (RFC 9110, 9.2.2), and nothing of it is used up.
func passable(ctx context.Context, r *exchange.Request, err error) bool {
	if err == nil || ctx.Err() != nil {
		return false
	}
	if _, ok := errors.AsType[*relay.Unreached](err); ok {
		return true
	}
	if _, ok := errors.AsType[*relay.Declined](err); ok {
		return true
	}
	return errors.Is(err, relay.ErrLost) && idempotent(r.Method) && (r.Body == nil || r.Length == 0) && r.Upgrade == ""
}

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// Key returns the cache key of a GET for a URL, and the site that serves it.
func (s *Server) Key(u *url.URL) (siteName, key string, err error) {
	r := &exchange.Request{Method: http.MethodGet, Scheme: u.Scheme, Host: u.Hostname(), Port: u.Port(), Path: u.EscapedPath()}
	if u.RawQuery != "" || u.ForceQuery {
		r.Query = "?" + u.RawQuery
	}
	if r.Path == "" {
		r.Path = "/"
	}
	if strings.Contains(r.Host, ":") {
		r.Host = "[" + r.Host + "]"
	}
	if why := s.admit(r); why != exchange.Admitted {
		return "", "", fmt.Errorf("%s cannot be asked for: %s", u.Redacted(), why)
	}
	st := s.sites.Load().table.Lookup(r.Host)
	if st == nil {
		return "", "", fmt.Errorf("no site serves %s", r.Host)
	}
	return st.Name, cache.Key(r, &st.Cache), nil
}
