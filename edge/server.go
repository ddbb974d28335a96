// Package edge is the way of a request, in order: admission, site, rules,
// cache, response, record. It owns that order and what a client is told;
// it never opens a socket, and never knows how a fill is made.
package edge

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Name is how this software calls itself in Via (RFC 9110, 7.6.3),
// Cache-Status (RFC 9211), Proxy-Status (RFC 9209) and CDN-Loop (RFC 8586).
const Name = "landfall"

// Config is what a Server needs to know.
type Config struct {
	Limits   limits.Limits
	Counters *limits.Counters
	// HTTPSPort gives the port that plain requests are redirected to.
	HTTPSPort func() uint16
	// Challenge answers an ACME HTTP-01 challenge (RFC 8555, 8.3): the key
	// authorization for a path of a host, if an order is in flight. May be
	// nil.
	Challenge func(host, path string) (keyAuthorization string, ok bool)
	// Pop is the PoP that the node stands in.
	Pop *Pop
	// Self tells whether a client is the node itself, which looks at its own
	// addresses every few seconds: that is counted, and not recorded. May be
	// nil.
	Self func(client netip.Addr) bool
	// Access receives one record per request, a line each. May be nil.
	Access io.Writer
	Log    *zap.Logger
}

// Server answers exchanges. It implements exchange.Handler.
type Server struct {
	// Static after New.
	conf  Config
	store *cache.Store
	met   *metrics
	ids   idSource

	// Swapped whole by Swap, read without a lock.
	sites atomic.Pointer[sites]
}

// sites is a table and the counters of its sites.
type sites struct {
	table *site.Table
	met   map[*site.Site]*siteMetrics
}

// New returns a Server that knows no site yet.
func New(conf Config, store *cache.Store, reg prometheus.Registerer) (*Server, error) {
	empty, err := site.NewTable(nil, "")
	if err != nil {
		return nil, err
	}
	s := &Server{conf: conf, store: store, met: newMetrics(reg), ids: newIDSource()}
	s.Swap(empty)
	return s, nil
}

// Swap puts a new table in force. A request uses one table from start to
// end.
func (s *Server) Swap(t *site.Table) {
	next := &sites{table: t, met: make(map[*site.Site]*siteMetrics, len(t.Sites()))}
	for _, st := range t.Sites() {
		next.met[st] = s.met.site(st.Name)
	}
	if old := s.sites.Swap(next); old != nil {
		s.met.forget(old.table, t)
	}
}

// ServeExchange is the whole path of a request, in order.
func (s *Server) ServeExchange(ctx context.Context, w exchange.Writer, r *exchange.Request) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := s.begin(ctx, w, r)
	defer x.end()

	if why := s.admit(r); why != exchange.Admitted {
		x.refuse(why)
		return
	}
	sites := s.sites.Load()
	st, why := find(sites.table, r)
	if why != exchange.Admitted {
		x.refuse(why)
		return
	}
	x.belongsTo(st, sites.met[st])
	policy, answer := s.decide(st, r, x.log)
	if answer != nil {
		x.synthesize(answer)
		return
	}
	if owner, declined := s.declines(r); declined {
		x.decline(owner)
		return
	}
	x.placed = s.place(r, st, policy)
	res, err := x.result(policy)
	if errors.Is(err, errNotStored) {
		x.decline(0)
		return
	}
	if err != nil {
		x.fail(err)
		return
	}
	if res.Response.Tunnel != nil {
		x.tunnel(res)
		return
	}
	if err := x.respond(res); err != nil {
		// The fill must learn that this reader left in the middle before
		// its body is closed, or it would count as read.
		cancel(err)
	}
	x.note(res.Response.Body.Close())
}

// find returns the site of a request. The site that the handshake was for
// must be the site that the request is for (RFC 9110, 7.4): certificates,
// client authentication and session keys are a site's own.
func find(t *site.Table, r *exchange.Request) (*site.Site, exchange.Refusal) {
	st := t.Lookup(r.Host)
	if st == nil {
		return nil, exchange.UnknownSite
	}
	if r.TLS != nil && t.LookupServerName(r.TLS.ServerName) != st {
		return nil, exchange.Misdirected
	}
	return st, exchange.Admitted
}

// causeOf finds the cause in an error of the cache or of a filler.
func causeOf(err error) exchange.Cause {
	var e *exchange.Error
	if errors.As(err, &e) {
		return e.Cause
	}
	return exchange.ProxyInternalError
}
