package relay

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// reason is why a connection ended.
type reason uint8

const (
	endClosed    reason = iota // by the other end
	endRetired                 // no longer needed, or drained
	endSilent                  // over limits.RelayDead
	endMalformed               // by what the other end sent
	endFlooded                 // over maxQueued
	endBroken                  // by the network, or TLS
	numReasons
)

var reasons = [numReasons]string{"closed", "retired", "silent", "malformed", "flooded", "broken"}

// linkMetrics are what both ends count.
type linkMetrics struct {
	open           prometheus.Gauge
	ended          [numReasons]prometheus.Counter
	sent, received prometheus.Counter
	writes         prometheus.Counter
	panics         prometheus.Counter
}

func newLinkMetrics(f promauto.Factory, role string) *linkMetrics {
	labels := prometheus.Labels{"role": role}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	m := &linkMetrics{
		open: f.NewGauge(prometheus.GaugeOpts{
			Name: "landfall_relay_connections", Help: "Open connections to other nodes.", ConstLabels: labels,
		}),
		sent:     counter("landfall_relay_sent_bytes_total", "Bytes of frames written to other nodes."),
		received: counter("landfall_relay_received_bytes_total", "Bytes of frames read from other nodes."),
		writes:   counter("landfall_relay_writes_total", "Writes to other nodes, each of all frames that waited."),
		panics:   counter("landfall_relay_panics_total", "Broken invariants met while relaying."),
	}
	ended := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_relay_connections_ended_total", Help: "Connections between nodes that ended, by why.", ConstLabels: labels,
	}, []string{"why"})
	for i := range m.ended {
		m.ended[i] = ended.WithLabelValues(reasons[i])
	}
	return m
}

// askMetrics are what the end that asks counts.
type askMetrics struct {
	link *linkMetrics

	asks, calls results
}

// results counts how requests ended for who asked.
type results struct {
	answered, declined, lost, failed prometheus.Counter
	unreached                        [numWhys]prometheus.Counter
}

func newResults(v *prometheus.CounterVec) results {
	r := results{
		answered: v.WithLabelValues("answered"), declined: v.WithLabelValues("declined"),
		lost: v.WithLabelValues("lost"), failed: v.WithLabelValues("failed"),
	}
	for w := range r.unreached {
		r.unreached[w] = v.WithLabelValues(Why(w).String())
	}
	return r
}

func newAskMetrics(reg prometheus.Registerer) *askMetrics {
	f := promauto.With(reg)
	return &askMetrics{
		link: newLinkMetrics(f, "asks"),
		asks: newResults(f.NewCounterVec(prometheus.CounterOpts{
			Name: "landfall_relay_asks_total", Help: "Requests brought to other nodes, by what came of it.",
		}, []string{"result"})),
		calls: newResults(f.NewCounterVec(prometheus.CounterOpts{
			Name: "landfall_relay_calls_total", Help: "Calls to other nodes, by what came of it.",
		}, []string{"result"})),
	}
}

func (m *askMetrics) asked(err error)  { m.asks.count(err) }
func (m *askMetrics) called(err error) { m.calls.count(err) }

func (r *results) count(err error) {
	if err == nil {
		r.answered.Inc()
		return
	}
	if u, ok := errors.AsType[*Unreached](err); ok {
		r.unreached[u.Why].Inc()
		return
	}
	if _, ok := errors.AsType[*Declined](err); ok {
		r.declined.Inc()
		return
	}
	if errors.Is(err, ErrLost) {
		r.lost.Inc()
		return
	}
	r.failed.Inc()
}

// How a request of another node was served.
const (
	servedHit = iota
	servedExchange
	servedRefused
	numServed
)

// How a call of another node ended.
const (
	callDone = iota
	callFailed
	numCalls
)

// Why a connection was turned away.
const (
	tooManyHandshakes = iota
	badHandshake
	badIdentity
	tooManyConns
	numTurned
)

// serveMetrics are what the end that answers counts.
type serveMetrics struct {
	link *linkMetrics

	served       [numServed]prometheus.Counter
	calls        [numCalls]prometheus.Counter
	turnedAway   [numTurned]prometheus.Counter
	acceptErrors prometheus.Counter
}

func newServeMetrics(reg prometheus.Registerer) *serveMetrics {
	f := promauto.With(reg)
	m := &serveMetrics{
		link: newLinkMetrics(f, "answers"),
		acceptErrors: f.NewCounter(prometheus.CounterOpts{
			Name: "landfall_relay_accept_errors_total", Help: "Connections for nodes that could not be accepted.",
		}),
	}
	vector := func(name, help, label string, words []string, into []prometheus.Counter) {
		v := f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for i, w := range words {
			into[i] = v.WithLabelValues(w)
		}
	}
	vector("landfall_relay_served_total", "Requests of other nodes, by how they were served.", "how",
		[]string{"hit", "exchange", "refused"}, m.served[:])
	vector("landfall_relay_calls_served_total", "Calls of other nodes, by how they ended.", "result",
		[]string{"done", "failed"}, m.calls[:])
	vector("landfall_relay_turned_away_total", "Connections that were turned away, by why.", "why",
		[]string{"handshakes", "handshake", "identity", "connections"}, m.turnedAway[:])
	return m
}
