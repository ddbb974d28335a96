package nethttp

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	cut prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, inflight *tally) *metrics {
	m := &metrics{}
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "landfall_requests_in_flight",
		Help: "Requests being served, tunnels included.",
	}, func() float64 { return float64(inflight.count()) })
	m.cut = f.NewCounter(prometheus.CounterOpts{
		Name: "landfall_drain_cut_requests_total",
		Help: "Requests that were still in flight when the drain limit passed.",
	})
	return m
}
