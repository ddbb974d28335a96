package bgp

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector turns a Status into metrics when it is scraped.
type collector struct {
	status func() Status

	session, received, alarms          *prometheus.Desc
	quarantined, quarantines           *prometheus.Desc
	announced, wanted, applied         *prometheus.Desc
	down, restarts, leasesLost, leases *prometheus.Desc
}

func NewCollector(status func() Status) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("landfall_bgp_"+name, help, labels, nil)
	}
	return &collector{
		status: status,
		session: desc("session_state", "State of the session (RFC 4271 section 8.2.2): "+
			"1 idle, 2 connect, 3 active, 4 open-sent, 5 open-confirm, 6 established.", "peer"),
		received:    desc("received_routes", "Routes the peer sent; all are ignored, it should send none.", "peer"),
		alarms:      desc("received_routes_alarms_total", fmt.Sprintf("How often the peer began to send more than %d routes.", MaxReceived), "peer"),
		quarantined: desc("peer_quarantined", "1 while there is no session with the peer because speakers ended when there was one.", "peer"),
		quarantines: desc("peer_quarantines_total", "How often that began.", "peer"),
		announced:   desc("announced_prefixes", "Prefixes in the speaker's table."),
		wanted:      desc("generation_wanted", "Generation of the newest desired state."),
		applied:     desc("generation_applied", "Generation in force; 0 when nothing is announced for want of a speaker or a lease."),
		down:        desc("speaker_down", "1 when the speaker stays down until the node is started anew."),
		restarts:    desc("speaker_restarts_total", "How often the speaker was started again."),
		leasesLost:  desc("leases_lost_total", "How often the speaker withdrew everything because the data plane fell silent."),
		leases:      desc("lease_age_seconds", "Time since the lease was last renewed; absent before the first time."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, p := range s.Peers {
		gauge(c.session, float64(p.State)+1, p.Address.String())
		gauge(c.received, float64(p.Received), p.Address.String())
		count(c.alarms, p.Alarms, p.Address.String())
		count(c.quarantines, p.Quarantines, p.Address.String())
		if p.Quarantine.IsZero() {
			gauge(c.quarantined, 0, p.Address.String())
		} else {
			gauge(c.quarantined, 1, p.Address.String())
		}
	}
	gauge(c.announced, float64(s.Announced))
	gauge(c.wanted, float64(s.WantedGeneration))
	gauge(c.applied, float64(s.AppliedGeneration))
	if s.Down != "" {
		gauge(c.down, 1)
	} else {
		gauge(c.down, 0)
	}
	count(c.restarts, s.Restarts)
	count(c.leasesLost, s.LeasesLost)
	if !s.Beat.IsZero() {
		gauge(c.leases, time.Since(s.Beat).Seconds())
	}
}
