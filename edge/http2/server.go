// Package http2 is Landfall's HTTP/2 server (RFC 9113): it turns the bytes of
// one client's connection at a time into exchanges, and their answers back
// into bytes. It never listens or accepts, never shakes hands, and never
// decides what a request may do.
//
// Frames are parsed by hand, where they lie in the read buffer: the Framer of
// golang.org/x/net copies every frame and allocates for most, several times
// per request, where the hit path may not once. Field sections are decoded by
// golang.org/x/net's hpack. Towards the client no dynamic table is used, so
// that the head of a stored response is encoded once for all connections.
package http2

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Config is what a Server is made of.
type Config struct {
	Handler  exchange.Handler
	Limits   limits.Limits
	Counters *limits.Counters // nil counts nothing
	Log      *zap.Logger
	// InFlight counts requests that ServeExchange holds, or whose response
	// is not wholly written.
	InFlight *atomic.Int64
	// Tunnels counts exchanges that have become one. May be nil.
	Tunnels *atomic.Int64
}

// Server makes connections. It owns what they share.
type Server struct {
	// Static after New.
	conf Config
	met  *metrics
}

// New returns a Server, its metrics registered with reg, which may be nil.
func New(conf Config, reg prometheus.Registerer) *Server {
	if conf.Tunnels == nil {
		conf.Tunnels = new(atomic.Int64)
	}
	return &Server{conf: conf, met: newMetrics(reg)}
}

// Conn returns a connection that serves what comes over p. base holds what
// all its requests have in common: Scheme, Client, Local, TLS and Conn.
func (s *Server) Conn(p *wire.Plain, base exchange.Request) *Conn {
	base.Proto = exchange.HTTP2
	return newConn(s, p, base)
}
