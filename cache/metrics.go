package cache

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// metrics are resolved once: nothing on the path looks a label up.
type metrics struct {
	requests    [exchange.NumOutcomes]prometheus.Counter
	refusals    [numRefusals]prometheus.Counter
	fills       prometheus.Gauge
	collapsed   prometheus.Counter
	waiting     prometheus.Gauge
	hitForMiss  prometheus.Counter
	abandoned   prometheus.Counter
	incomplete  prometheus.Counter
	panics      prometheus.Counter
	invalidated prometheus.Counter
	evictions   prometheus.Counter
	windows     prometheus.Counter
	peeks       [2]prometheus.Counter // absent and present
}

// What a peek can find.
const (
	absent = iota
	present
)

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "landfall_cache_" + name, Help: help})
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "landfall_cache_" + name, Help: help})
}

// newMetrics registers the metrics of s with r; a nil r registers nothing.
func newMetrics(s *Store, r prometheus.Registerer) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_cache_requests_total", Help: "Requests by what became of them in the cache.",
	}, []string{"outcome"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_cache_not_stored_total", Help: "Responses to fills that were not stored, by reason.",
	}, []string{"reason"})
	peeks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_cache_peeks_total", Help: "Requests of other nodes for what is stored here and fresh, by whether it was there.",
	}, []string{"found"})
	m := &metrics{
		peeks:       [2]prometheus.Counter{absent: peeks.WithLabelValues("no"), present: peeks.WithLabelValues("yes")},
		fills:       gauge("fills_in_flight", "Fills that are running."),
		collapsed:   counter("collapsed_total", "Requests that joined a fill which another had started."),
		waiting:     gauge("waiting_requests", "Requests that wait for the head of a fill, its leader included."),
		hitForMiss:  counter("hit_for_miss_total", "Requests that were not collapsed because their key was last found not to be shareable."),
		abandoned:   counter("fills_abandoned_total", "Fills that were ended because nobody was left to read them."),
		incomplete:  counter("fills_incomplete_total", "Fills whose content was cut short or did not fit its length."),
		panics:      counter("fill_panics_total", "Panics recovered in fills: each is a bug."),
		invalidated: counter("invalidations_total", "Keys invalidated by unsafe requests, at this node or another."),
		evictions:   counter("evictions_total", "Resources that made room for others."),
		windows:     counter("fills_outgrown_total", "Fills whose content outgrew the store and was passed on only."),
	}
	for o := range exchange.NumOutcomes {
		m.requests[o] = requests.WithLabelValues(o.String())
	}
	for i := stored + 1; i < numRefusals; i++ {
		m.refusals[i] = refused.WithLabelValues(i.String())
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		requests, refused, peeks, m.fills, m.collapsed, m.waiting, m.hitForMiss, m.abandoned, m.incomplete,
		m.panics, m.invalidated, m.evictions, m.windows,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "landfall_cache_stored_bytes", Help: "Bytes that the stored resources take, with what Go keeps beside them.",
		}, func() float64 { return float64(s.objects.WeightedSize()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "landfall_cache_content_bytes", Help: "Bytes of content in memory: stored, being filled, or being read after it left the store.",
		}, func() float64 { return float64(s.content.used.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "landfall_cache_objects", Help: "Stored resources; one may have several variants.",
		}, func() float64 { return float64(s.objects.EstimatedSize()) }),
	} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
