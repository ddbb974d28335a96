package http1

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// end is why a connection was closed.
type end uint8

const (
	endClientLeft end = iota // closed or broken by the client
	endIdle                  // limits.IdleTime
	endHeadSlow              // limits.HeaderTime, without a byte of a head
	endDrained               // closed by Drain between two requests
	endRefused               // a request that could not be read
	endAnswered              // after an answer that said so
	endUnread                // the rest of a request's content did not come soon enough
	endAborted               // an answer was cut short
	endTunnel                // after a switch of protocols
	endPanic                 // a mistake of ours
	numEnds
)

// String returns the word of the label.
func (e end) String() string {
	return [...]string{
		"client_left", "idle", "head_slow", "drained", "refused", "answered", "unread", "aborted", "tunnel", "panic",
	}[e]
}

// metrics are the counters of all connections.
type metrics struct {
	closed [numEnds]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	vec := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_http1_closed_total",
		Help: "HTTP/1 connections that were closed, by the reason.",
	}, []string{"why"})
	m := &metrics{}
	for e := range numEnds {
		m.closed[e] = vec.WithLabelValues(e.String())
	}
	return m
}
