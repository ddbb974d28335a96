package http2

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the counters of all connections, resolved at construction.
type metrics struct {
	faults       [numCodes]prometheus.Counter
	resetsOurs   prometheus.Counter
	resetsTheirs prometheus.Counter
	panics       prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{panics: f.NewCounter(prometheus.CounterOpts{
		Name: "landfall_http2_panics_total", Help: "Broken invariants met by HTTP/2 connections and exchanges.",
	})}
	faults := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_http2_goaway_total", Help: "HTTP/2 connections that we ended, by the code of GOAWAY.",
	}, []string{"code"})
	for c := range m.faults {
		m.faults[c] = faults.WithLabelValues(code(c).String())
	}
	resets := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_http2_resets_total", Help: "HTTP/2 streams that ended by a reset, by who sent it.",
	}, []string{"by"})
	m.resetsOurs, m.resetsTheirs = resets.WithLabelValues("server"), resets.WithLabelValues("client")
	return m
}
