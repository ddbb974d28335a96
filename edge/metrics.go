package edge

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/landfall-cdn/landfall/affinity/relay"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
)

type metrics struct {
	// Static after newMetrics.
	requests  *prometheus.CounterVec // site, outcome
	bytesOut  *prometheus.CounterVec // site
	bytesIn   *prometheus.CounterVec // site
	responses [exchange.HTTP3 + 1][6]prometheus.Counter
	duration  [exchange.NumOutcomes]prometheus.Observer
	refused   [exchange.NumRefusals]prometheus.Counter
	failures  [exchange.NumCauses]prometheus.Counter
	answered  [exchange.NumOutcomes]prometheus.Counter
	asked     map[exchange.Ask]*[numAskResults]prometheus.Counter

	unrouted                  *siteMetrics // requests of no site
	panics, loops, ruleErrors prometheus.Counter
}

// siteMetrics are one site's counters, resolved when it comes into force.
type siteMetrics struct {
	name              string
	requests          [exchange.NumOutcomes]prometheus.Counter
	bytesOut, bytesIn prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "landfall_requests_total", Help: "Requests by site and outcome.",
		}, []string{"site", "outcome"}),
		bytesOut: f.NewCounterVec(prometheus.CounterOpts{
			Name: "landfall_response_bytes_total", Help: "Content bytes sent to clients.",
		}, []string{"site"}),
		bytesIn: f.NewCounterVec(prometheus.CounterOpts{
			Name: "landfall_request_bytes_total", Help: "Content bytes received from clients.",
		}, []string{"site"}),
		panics: f.NewCounter(prometheus.CounterOpts{
			Name: "landfall_panics_total", Help: "Requests that met a broken invariant.",
		}),
		loops: f.NewCounter(prometheus.CounterOpts{
			Name: "landfall_loops_total", Help: "Requests that had been here before (RFC 8586).",
		}),
		ruleErrors: f.NewCounter(prometheus.CounterOpts{
			Name: "landfall_rule_errors_total", Help: "Conditions of rules that could not be evaluated, and so were not met.",
		}),
	}
	m.vectors(f)
	m.unrouted = m.site("")
	return m
}

func (m *metrics) vectors(f promauto.Factory) {
	responses := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_responses_total", Help: "Responses by HTTP version and class of status.",
	}, []string{"proto", "class"})
	for p := range m.responses {
		for c, class := range []string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
			m.responses[p][c] = responses.WithLabelValues(exchange.Proto(p).String(), class)
		}
	}
	duration := f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "landfall_request_duration_seconds", Help: "From a request's arrival to the end of its response, by outcome.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"outcome"})
	for o := range m.duration {
		m.duration[o] = duration.WithLabelValues(exchange.Outcome(o).String())
	}
	refused := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_refused_total", Help: "Requests not admitted, by reason.",
	}, []string{"reason"})
	for r := exchange.Admitted + 1; r < exchange.NumRefusals; r++ {
		m.refused[r] = refused.WithLabelValues(r.String())
	}
	answered := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_relayed_requests_total", Help: "Requests that other nodes brought here, by outcome; those nodes count them as requests.",
	}, []string{"outcome"})
	for o := range m.answered {
		m.answered[o] = answered.WithLabelValues(exchange.Outcome(o).String())
	}
	asked := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_asked_total", Help: "Requests brought to other nodes, by what was asked of them and what came of it.",
	}, []string{"asked", "result"})
	m.asked = map[exchange.Ask]*[numAskResults]prometheus.Counter{}
	for _, a := range exchange.Asks() {
		m.asked[a] = &[numAskResults]prometheus.Counter{}
		for r, word := range askResults {
			m.asked[a][r] = asked.WithLabelValues(a.String(), word)
		}
	}
	failures := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_failures_total", Help: "Requests without a whole response, by cause (RFC 9209).",
	}, []string{"cause"})
	for c := exchange.NoCause + 1; c < exchange.NumCauses; c++ {
		m.failures[c] = failures.WithLabelValues(c.String())
	}
}

func (m *metrics) site(name string) *siteMetrics {
	s := &siteMetrics{name: name, bytesOut: m.bytesOut.WithLabelValues(name), bytesIn: m.bytesIn.WithLabelValues(name)}
	for o := range s.requests {
		s.requests[o] = m.requests.WithLabelValues(name, exchange.Outcome(o).String())
	}
	return s
}

// forget drops the series of sites that are gone.
func (m *metrics) forget(old, now *site.Table) {
	kept := map[string]bool{}
	for _, st := range now.Sites() {
		kept[st.Name] = true
	}
	for _, st := range old.Sites() {
		if !kept[st.Name] {
			gone := prometheus.Labels{"site": st.Name}
			m.requests.DeletePartialMatch(gone)
			m.bytesOut.DeletePartialMatch(gone)
			m.bytesIn.DeletePartialMatch(gone)
		}
	}
}

// count adds a finished request to the counters.
func (s *Server) count(r *exchange.Request, met *siteMetrics, a *account, took time.Duration) {
	met.requests[a.outcome].Inc()
	if a.sent > 0 {
		met.bytesOut.Add(float64(a.sent))
	}
	if a.received > 0 {
		met.bytesIn.Add(float64(a.received))
	}
	class := a.status / 100
	if class > 5 {
		class = 0
	}
	s.met.responses[r.Proto][class].Inc()
	s.met.duration[a.outcome].Observe(took.Seconds())
	if a.cause != exchange.NoCause {
		s.met.failures[a.cause].Inc()
	}
}

// askResult is what came of asking another node.
type askResult uint8

const (
	askAnswered  askResult = iota
	askDeclined            // it is not that node's to answer
	askUnreached           // it did not take the request
	askFailed              // it took it and gave no response
	numAskResults
)

var askResults = [numAskResults]string{"answered", "declined", "unreached", "failed"}

// relayed counts what came of asking another node.
func (m *metrics) relayed(what exchange.Ask, err error) {
	result := askFailed
	if err == nil {
		result = askAnswered
	} else if _, ok := errors.AsType[*relay.Declined](err); ok {
		result = askDeclined
	} else if _, ok := errors.AsType[*relay.Unreached](err); ok {
		result = askUnreached
	}
	m.asked[what][result].Inc()
}
