package bfd

import "github.com/prometheus/client_golang/prometheus"

// collector turns what is known of the sessions into metrics when it is
// scraped.
type collector struct {
	server *Server

	state, flaps, detection, gap, received, sent, failed, discarded *prometheus.Desc
	kernel, unknown, merged                                         *prometheus.Desc
}

func newCollector(s *Server) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("landfall_bfd_"+name, help, labels, nil)
	}
	return &collector{
		server:    s,
		state:     desc("session_state", "State of the session (RFC 5880 section 6.2): 0 held down, 1 down, 2 init, 3 up.", "peer"),
		flaps:     desc("flaps_total", "How often the session left up.", "peer"),
		detection: desc("detection_seconds", "How long the peer may be silent before this end gives it up; 0 while it is not heard.", "peer"),
		gap:       desc("largest_gap_seconds", "Longest time between two packets of the peer while the session was up.", "peer"),
		received:  desc("received_packets_total", "Packets of the peer that were taken.", "peer"),
		sent:      desc("sent_packets_total", "Packets that were given to the kernel.", "peer"),
		failed:    desc("send_failures_total", "Packets that the kernel refused to send.", "peer"),
		discarded: desc("discarded_packets_total", "Packets of the peer's address that were discarded (RFC 5880 section 6.8.6), by reason.", "peer", "reason"),
		kernel:    desc("kernel_dropped_packets_total", "Packets that the kernel dropped: forwarded on their way here, from no peer, or too many at once."),
		unknown:   desc("unknown_peer_packets_total", "Packets from no peer that got past the kernel."),
		merged:    desc("merged_changes_total", "Changes of state that were not told apart, as a newer one of the same session was waiting."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, s := range c.server.Status() {
		peer := s.Peer.String()
		gauge(c.state, float64(s.State), peer)
		count(c.flaps, s.Flaps, peer)
		gauge(c.detection, s.Detection.Seconds(), peer)
		gauge(c.gap, s.LargestGap.Seconds(), peer)
		count(c.received, s.Received, peer)
		count(c.sent, s.Sent, peer)
		count(c.failed, s.Failed, peer)
		for reason := kept + 1; reason < numDiscards; reason++ {
			count(c.discarded, s.Discarded[reason], peer, reason.String())
		}
	}
	drops := c.server.Drops()
	count(c.kernel, drops.Kernel)
	count(c.unknown, drops.Unknown)
	count(c.merged, drops.Merged)
}
