package ladder

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of an announcer. What is a state is read from it when asked.
type metrics struct {
	a          *Announcer
	refusals   *prometheus.CounterVec
	steps      *prometheus.CounterVec
	collectors []prometheus.Collector
}

func newMetrics(a *Announcer) *metrics {
	m := &metrics{
		a: a,
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "landfall_interlock_refusals_total", Help: "Steps of the announcement that an interlock refused.",
		}, []string{"interlock"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "landfall_announce_steps_total", Help: "Steps of the announcement, by where they lead and who wanted them.",
		}, []string{"to", "cause"}),
	}
	for _, i := range append([]Interlock{Agreed}, Interlocks...) {
		m.refusals.WithLabelValues(string(i))
	}
	gauge := func(name, help string, value func(Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(a.Status()) })
	}
	m.collectors = []prometheus.Collector{
		m.refusals, m.steps, &stateCollector{a},
		gauge("landfall_announce_rung", "How far the node announces itself: 0 normal, 1 deprefer, 2 gshut, 3 withdrawn.",
			func(s Status) float64 { return float64(s.Rung) }),
		gauge("landfall_announce_wanted", "How far checks and operators want it to.",
			func(s Status) float64 { return float64(s.Wanted) }),
		gauge("landfall_announcers", "Nodes of the fleet that announce, as far as this node knows.",
			func(s Status) float64 { return float64(s.Announcers) }),
	}
	return m
}

func (m *metrics) register(reg prometheus.Registerer) error {
	var errs []error
	for _, c := range m.collectors {
		errs = append(errs, reg.Register(c))
	}
	return errors.Join(errs...)
}

func (m *metrics) refused(i Interlock) { m.refusals.WithLabelValues(string(i)).Inc() }

func (m *metrics) stepped(d Decision) {
	cause := "operator"
	if d.Step.Auto {
		cause = "check"
	}
	m.steps.WithLabelValues(d.To.String(), cause).Inc()
}

var (
	checkDesc    = prometheus.NewDesc("landfall_check_failing", "1 while a check fails.", []string{"check", "class"}, nil)
	holdingDesc  = prometheus.NewDesc("landfall_interlock_holding", "1 while an interlock keeps the node where it is.", []string{"interlock"}, nil)
	overrideDesc = prometheus.NewDesc("landfall_interlock_overridden_seconds", "How long an override still holds, 0 without one.", []string{"interlock"}, nil)
)

// stateCollector shows what has labels.
type stateCollector struct{ a *Announcer }

// Describe implements prometheus.Collector.
func (stateCollector) Describe(out chan<- *prometheus.Desc) {
	out <- checkDesc
	out <- holdingDesc
	out <- overrideDesc
}

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(out chan<- prometheus.Metric) {
	s := c.a.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, r := range s.Checks {
		gauge(checkDesc, one(r.Failing), r.Name, r.Class.String())
	}
	for _, i := range Interlocks {
		held := false
		for _, r := range s.Refusals {
			held = held || r.Interlock == i
		}
		gauge(holdingDesc, one(held), string(i))
		left := 0.0
		for _, o := range s.Overrides {
			if o.Interlock == i {
				left = time.Until(o.Until).Seconds()
			}
		}
		gauge(overrideDesc, left, string(i))
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
