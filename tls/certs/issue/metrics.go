package issue

import "github.com/prometheus/client_golang/prometheus"

// result is how an attempt to get a certificate ended.
type result uint8

const (
	obtained result = iota
	renewed
	failed    // an attempt; another follows
	abandoned // certmagic gave up; we begin again after a rest
	numResults
)

var results = [numResults]string{"obtained", "renewed", "failed", "abandoned"}

// channel is how a challenge was answered.
type channel uint8

const (
	overHTTP channel = iota
	overTLS
	numChannels
)

var channels = [numChannels]string{"http-01", "tls-alpn-01"}

type metrics struct {
	results [numResults]prometheus.Counter
	answers [numChannels]prometheus.Counter
	last    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_tls_acme_total",
		Help: "Attempts to get a certificate by ACME, by result.",
	}, []string{"result"})
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_tls_acme_challenges_total",
		Help: "Challenges of certificate authorities that were answered, by type.",
	}, []string{"type"})
	m := &metrics{last: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "landfall_tls_acme_last_success_timestamp_seconds",
		Help: "When a certificate was last obtained or renewed by ACME; 0 for never.",
	})}
	for r, name := range results {
		m.results[r] = attempts.WithLabelValues(name)
	}
	for c, name := range channels {
		m.answers[c] = answers.WithLabelValues(name)
	}
	if reg != nil {
		reg.MustRegister(attempts, answers, m.last)
	}
	return m
}
