package certs

import (
	"crypto/x509"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	loads  prometheus.Counter
	failed [numFailures]prometheus.Counter
}

// newMetrics returns the counters. Reg, unless nil, also takes a collector
// of the sites that live returns at each scrape.
func newMetrics(reg prometheus.Registerer, live func() *Set) *metrics {
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_tls_reload_failures_total",
		Help: "New certificates that were refused, by reason. The last good one stays.",
	}, []string{"reason"})
	m := &metrics{loads: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "landfall_tls_certificate_loads_total",
		Help: "Certificates that began to be served from files or the local CA.",
	})}
	for f, name := range failures {
		m.failed[f] = failed.WithLabelValues(name)
	}
	if reg != nil {
		reg.MustRegister(m.loads, failed, &collector{live})
	}
	return m
}

var (
	statesDesc = prometheus.NewDesc("landfall_tls_certificates",
		"Sites by the state of their certificate: valid, stale (a newer one was refused), expired, missing.", []string{"state"}, nil)
	expiryDesc = prometheus.NewDesc("landfall_tls_certificate_expiry_seconds",
		"Time until the first certificate of a site expires; negative when it has.", []string{"site"}, nil)
)

// collector describes the certificates at the time of a scrape.
type collector struct {
	live func() *Set
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- statesDesc
	ch <- expiryDesc
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	counts := map[state]int{}
	for name, s := range c.live().sources {
		leaf := s.leaf()
		counts[stateOf(leaf, s.stale(), now)]++
		if leaf != nil {
			ch <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, leaf.NotAfter.Sub(now).Seconds(), name)
		}
	}
	for s, name := range states {
		ch <- prometheus.MustNewConstMetric(statesDesc, prometheus.GaugeValue, float64(counts[state(s)]), name)
	}
}

// state is how well a site is served.
type state uint8

const (
	valid    state = iota
	stale          // valid, but a newer certificate was refused
	outdated       // expired, and still served for want of a better one
	missing        // handshakes are refused
)

var states = [...]string{"valid", "stale", "expired", "missing"}

func stateOf(leaf *x509.Certificate, refused bool, now time.Time) state {
	switch {
	case leaf == nil:
		return missing
	case now.After(leaf.NotAfter):
		return outdated
	case refused:
		return stale
	}
	return valid
}
