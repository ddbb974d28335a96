package origin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// Metrics are the counters of all origins of a process.
type Metrics struct {
	requests    *prometheus.CounterVec
	retries     *prometheus.CounterVec
	aside       *prometheus.CounterVec
	connections *prometheus.GaugeVec
	healthy     *prometheus.GaugeVec
	connect     *prometheus.HistogramVec
	firstByte   *prometheus.HistogramVec
}

// NewMetrics registers the metrics; a nil reg leaves them unregistered.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	labels := []string{"site", "endpoint"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18), // 0.5 ms to 65 s
		}, labels)
	}
	m := &Metrics{
		requests: counter("landfall_origin_requests_total",
			"Requests to an endpoint, by how they ended: ok, or the proxy error type of RFC 9209.", "site", "endpoint", "result"),
		retries: counter("landfall_origin_retries_total",
			"Requests that were sent again after this endpoint failed them.", labels...),
		aside: counter("landfall_origin_aside_total",
			"How often an endpoint was put aside because connections to it failed.", labels...),
		connections: gauge("landfall_origin_connections", "Open connections to an endpoint."),
		healthy:     gauge("landfall_origin_healthy", "1 while active checks find an endpoint healthy, or there are none."),
		connect:     histogram("landfall_origin_connect_seconds", "Time to resolve, connect and shake hands."),
		firstByte:   histogram("landfall_origin_first_byte_seconds", "Time from a request sent to the head of its response."),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.retries, m.aside, m.connections, m.healthy, m.connect, m.firstByte)
	}
	return m
}

// endpointMetrics are one endpoint's.
type endpointMetrics struct {
	results     [exchange.NumCauses]prometheus.Counter
	retries     prometheus.Counter
	aside       prometheus.Counter
	connections prometheus.Gauge
	healthy     prometheus.Gauge
	connect     prometheus.Observer
	firstByte   prometheus.Observer
}

func (m *Metrics) endpoint(site, name string) *endpointMetrics {
	e := &endpointMetrics{
		retries:     m.retries.WithLabelValues(site, name),
		aside:       m.aside.WithLabelValues(site, name),
		connections: m.connections.WithLabelValues(site, name),
		healthy:     m.healthy.WithLabelValues(site, name),
		connect:     m.connect.WithLabelValues(site, name),
		firstByte:   m.firstByte.WithLabelValues(site, name),
	}
	for c := range exchange.NumCauses {
		result := "ok"
		if c != exchange.NoCause {
			result = c.String()
		}
		e.results[c] = m.requests.WithLabelValues(site, name, result)
	}
	return e
}

// count counts one request to the endpoint by how it ended.
func (e *endpointMetrics) count(c exchange.Cause) { e.results[c].Inc() }
