package front

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	cut, handshakeFailures prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, f *Front) *metrics {
	p := promauto.With(reg)
	p.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "landfall_requests_in_flight",
		Help: "Requests being served, tunnels included; not those that are answered from memory at once.",
	}, func() float64 { return float64(f.inFlight.Load()) })
	p.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "landfall_connections", Help: "Connections of clients that are open.",
	}, func() float64 { return float64(f.open.count()) })
	return &metrics{
		cut: p.NewCounter(prometheus.CounterOpts{
			Name: "landfall_drain_cut_requests_total",
			Help: "Requests that were still in flight when the drain limit passed.",
		}),
		handshakeFailures: p.NewCounter(prometheus.CounterOpts{
			Name: "landfall_handshake_failures_total", Help: "TLS handshakes over TCP that did not succeed.",
		}),
	}
}
