package policy

import "github.com/prometheus/client_golang/prometheus"

// refusal is why a handshake was refused before it began.
type refusal uint8

const (
	unknownName   refusal = iota // a name that no site has
	noName                       // no name, and no site for that
	noCertificate                // a site that has no certificate yet
	noChallenge                  // acme-tls/1 with no order in flight
	numRefusals
)

var refusals = [numRefusals]string{"unknown_name", "no_name", "no_certificate", "no_challenge"}

type metrics struct {
	refused   [numRefusals]prometheus.Counter
	rotations prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_tls_refused_total",
		Help: "Handshakes refused for the server name, by reason.",
	}, []string{"reason"})
	m := &metrics{rotations: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "landfall_tls_ticket_rotations_total",
		Help: "Rotations of the session ticket keys.",
	})}
	for r, name := range refusals {
		m.refused[r] = refused.WithLabelValues(name)
	}
	if reg != nil {
		reg.MustRegister(refused, m.rotations)
	}
	return m
}
