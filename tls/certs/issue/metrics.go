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

var orderers = [numOrderers]string{"self", "peer"}

// exchange is what became of a message from or for the peers.
type exchange uint8

const (
	published   exchange = iota // every peer has it
	unpublished                 // not every peer has it
	received
	refused // of no use here
	numExchanges
)

var exchanges = [numExchanges]string{"published", "unpublished", "received", "refused"}

type metrics struct {
	results [numResults]prometheus.Counter
	answers [numChannels][numOrderers]prometheus.Counter
	shared  [numExchanges]prometheus.Counter
	last    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_tls_acme_total",
		Help: "Attempts to get a certificate by ACME, by result.",
	}, []string{"result"})
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_tls_acme_challenges_total",
		Help: "Challenges of certificate authorities that were answered, by type and by who ordered: self or a peer.",
	}, []string{"type", "orderer"})
	shared := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_tls_acme_messages_total",
		Help: "Certificates and challenges shared in the PoP, by what became of them: published, unpublished (a peer lacks it), received, refused.",
	}, []string{"result"})
	m := &metrics{last: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "landfall_tls_acme_last_success_timestamp_seconds",
		Help: "When a certificate was last obtained or renewed by ACME; 0 for never.",
	})}
	for r, name := range results {
		m.results[r] = attempts.WithLabelValues(name)
	}
	for c, name := range channels {
		for o, by := range orderers {
			m.answers[c][o] = answers.WithLabelValues(name, by)
		}
	}
	for e, name := range exchanges {
		m.shared[e] = shared.WithLabelValues(name)
	}
	if reg != nil {
		reg.MustRegister(attempts, answers, shared, m.last)
	}
	return m
}
