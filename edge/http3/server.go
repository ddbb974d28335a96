// Package http3 serves HTTP/3 (RFC 9114) on the streams of QUIC
// connections: it owns frames, field sections (QPACK, RFC 9204), the
// control streams, the goroutines of requests, and what a UDP endpoint
// needs. QUIC itself is quic-go's; this package never judges what a
// request may do, and never dials.
package http3

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// NextProto is the ALPN token of HTTP/3 (RFC 9114, 3.1).
const NextProto = "h3"

// Config is what a Server needs to know.
type Config struct {
	Handler  exchange.Handler
	Limits   limits.Limits
	Counters *limits.Counters
	Log      *zap.Logger
	// InFlight counts what is held by ServeExchange, or by a hit that is not
	// wholly sent yet. May be nil.
	InFlight *atomic.Int64
	// Tunnels counts exchanges that have become one. May be nil.
	Tunnels *atomic.Int64
}

// Server makes the connections of one front end alike.
type Server struct {
	// Static after New.
	conf     Config
	met      *metrics
	pace     wire.Pace
	settings []byte // what every control stream of ours begins with
}

// New returns a Server. Its metrics are registered with reg, unless that is
// nil.
func New(conf Config, reg prometheus.Registerer) *Server {
	if conf.InFlight == nil {
		conf.InFlight = new(atomic.Int64)
	}
	if conf.Tunnels == nil {
		conf.Tunnels = new(atomic.Int64)
	}
	if conf.Log == nil {
		conf.Log = zap.NewNop()
	}
	return &Server{
		conf:     conf,
		met:      newMetrics(reg),
		pace:     wire.Pace{Stall: conf.Limits.BodyStall, Rate: conf.Limits.MinRate},
		settings: appendControlStart(nil, &conf.Limits),
	}
}

// Conn makes a connection of an accepted QUIC connection, whose handshake
// may still be in progress. base is what every request of it has in common;
// Proto is set here. The connection is qc's owner from now on.
func (s *Server) Conn(qc *quic.Conn, base exchange.Request) *Conn {
	c := newConn(s, qc, base)
	c.qc = qc
	c.shaken = qc.HandshakeComplete()
	return c
}
