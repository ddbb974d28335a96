package sessions

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	begun   prometheus.Counter
	crowded prometheus.Counter
}

// newMetrics registers the metrics of t with r; a nil r registers nothing.
func newMetrics(t *Table, r prometheus.Registerer) *metrics {
	m := &metrics{
		begun: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "landfall_sessions_begun_total", Help: "Sessions that this node began to hold.",
		}),
		crowded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "landfall_sessions_crowded_out_total", Help: "Sessions that were forgotten before their time because others needed the room.",
		}),
	}
	if r != nil {
		r.MustRegister(m.begun, m.crowded, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "landfall_sessions_held", Help: "Sessions that this node has served lately and would go on serving.",
		}, func() float64 { return float64(t.Len(time.Now())) }))
	}
	return m
}
