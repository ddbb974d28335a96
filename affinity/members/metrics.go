package members

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap/zapcore"

	"github.com/landfall-cdn/landfall/affinity"
)

// joined is what became of an attempt to join, as metrics spell it.
type joined string

// Outcomes of attempts to join.
const (
	joinOK         joined = "ok"
	joinUnresolved joined = "unresolved" // the name has no address
	joinSilent     joined = "silent"     // nobody answers there
	joinRefused    joined = "refused"    // somebody answers, and does not take this node
)

type metrics struct {
	// Static after newMetrics.
	refused map[reason]prometheus.Counter
	joins   map[joined]prometheus.Counter
	lines   map[zapcore.Level]prometheus.Counter
	views   prometheus.Counter
	members map[affinity.State]prometheus.Gauge // by L7 state
	lost    prometheus.Gauge
	aside   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		refused: map[reason]prometheus.Counter{},
		joins:   map[joined]prometheus.Counter{},
		lines:   map[zapcore.Level]prometheus.Counter{},
		members: map[affinity.State]prometheus.Gauge{},
		views: f.NewCounter(prometheus.CounterOpts{
			Name: "landfall_members_views_total", Help: "Views published.",
		}),
		lost: f.NewGauge(prometheus.GaugeOpts{
			Name: "landfall_members_unreached", Help: "Nodes that gossip knows and the data path does not reach.",
		}),
		aside: f.NewGauge(prometheus.GaugeOpts{
			Name: "landfall_members_aside", Help: "1 while this node runs alone because another one has its id or name.",
		}),
	}
	refused := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_members_refused_total", Help: "Nodes (id, name, quarantine) and messages (secret, pop, metadata) that were not taken in.",
	}, []string{"reason"})
	for _, r := range reasons {
		m.refused[r] = refused.WithLabelValues(string(r))
	}
	joins := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_members_joins_total", Help: "Attempts to join an address, by outcome.",
	}, []string{"outcome"})
	for _, j := range [...]joined{joinOK, joinUnresolved, joinSilent, joinRefused} {
		m.joins[j] = joins.WithLabelValues(string(j))
	}
	lines := f.NewCounterVec(prometheus.CounterOpts{
		Name: "landfall_members_log_lines_total", Help: "Lines that the gossip library logged, written out or not.",
	}, []string{"level"})
	for _, l := range [...]zapcore.Level{zapcore.DebugLevel, zapcore.InfoLevel, zapcore.WarnLevel} {
		m.lines[l] = lines.WithLabelValues(l.String())
	}
	members := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "landfall_members", Help: "Nodes of the PoP's view by their state for requests, this one included.",
	}, []string{"state"})
	for s := affinity.Joining; s <= affinity.Gone; s++ {
		m.members[s] = members.WithLabelValues(s.String())
	}
	return m
}

// refuse counts a refusal. Nodes of newer versions may have reasons of
// which this one knows nothing.
func (m *metrics) refuse(why reason) {
	if c := m.refused[why]; c != nil {
		c.Inc()
	}
}

func (m *metrics) view(v verdict) {
	var count [affinity.Gone + 1]int
	for _, member := range v.members {
		count[member.L7]++
	}
	for state, gauge := range m.members {
		gauge.Set(float64(count[state]))
	}
	m.lost.Set(float64(len(v.lost)))
	m.aside.Set(0)
	if v.aside != nil {
		m.aside.Set(1)
	}
}
