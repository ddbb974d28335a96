package limits

import (
	"reflect"

	"github.com/prometheus/client_golang/prometheus"
)

var names = func() (out [numNames]string) {
	t := reflect.TypeFor[Limits]()
	for i := range out {
		out[i] = t.Field(i).Tag.Get("name")
	}
	return out
}()

// String returns the name as metrics, logs and the node file spell it.
func (n Name) String() string { return names[n] }

var hitsDesc = prometheus.NewDesc("landfall_limit_hits_total",
	"How often a limit was met.", []string{"limit"}, nil)

// Describe implements prometheus.Collector.
func (c *Counters) Describe(ch chan<- *prometheus.Desc) { ch <- hitsDesc }

// Collect implements prometheus.Collector.
func (c *Counters) Collect(ch chan<- prometheus.Metric) {
	for n := range numNames {
		ch <- prometheus.MustNewConstMetric(hitsDesc, prometheus.CounterValue,
			float64(c.hits[n].Load()), n.String())
	}
}
