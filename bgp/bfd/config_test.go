package bfd

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestValidate(t *testing.T) {
	many := make([]Peer, MaxPeers+1)
	for i := range many {
		many[i].Address = netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
	}
	for _, tc := range []struct {
		name  string
		peers []Peer
		says  string // "" when it is right
	}{
		{"defaults", []Peer{{Address: addrA}}, ""},
		{"the bounds", []Peer{{Address: addrA, TX: MinInterval, RX: MaxInterval, Multiplier: 255}}, ""},
		{"as many as there may be", many[:MaxPeers], ""},
		{"none", nil, "peers: missing"},
		{"too many", many, "peers: 17, at most 16"},
		{"twice", []Peer{{Address: addrA}, {Address: addrA}}, "peers[1]: 10.0.0.1 is peers[0] again"},
		{"no address", []Peer{{}}, "peers[0]: address: missing"},
		{"mapped", []Peer{{Address: netip.MustParseAddr("::ffff:10.0.0.1")}}, "write it as IPv4"},
		{"link-local", []Peer{{Address: netip.MustParseAddr("fe80::1%eth0")}}, "link-local"},
		{"multicast", []Peer{{Address: netip.MustParseAddr("ff02::1")}}, "not the address of a router"},
		{"unspecified", []Peer{{Address: netip.IPv4Unspecified()}}, "not the address of a router"},
		{"too fast", []Peer{{Address: addrA, TX: MinInterval - time.Microsecond}}, "tx: 9.999ms; want 10ms to 30s"},
		{"too slow", []Peer{{Address: addrA, RX: time.Minute}}, "rx: 1m0s"},
		{"too fine", []Peer{{Address: addrA, TX: 100*time.Millisecond + 1}}, "whole microseconds"},
		{"negative", []Peer{{Address: addrA, TX: -time.Second}}, "tx: -1s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(Config{Peers: tc.peers})
			if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%v, want %q", err, tc.says)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	cfg := Config{Peers: []Peer{{Address: addrB}}, Registerer: registry}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	in := packet{state: Down, mine: 9, multiplier: 3, minTx: time.Second, minRx: time.Second}
	s.deliver(now, addrB, in.appendTo(nil))
	s.deliver(now, addrB, []byte("junk"))
	s.deliver(now, addrA, nil)
	const want = `
# HELP landfall_bfd_detection_seconds How long the peer may be silent before this end gives it up; 0 while it is not heard.
# TYPE landfall_bfd_detection_seconds gauge
landfall_bfd_detection_seconds{peer="10.0.0.2"} 3
# HELP landfall_bfd_discarded_packets_total Packets of the peer's address that were discarded (RFC 5880 section 6.8.6), by reason.
# TYPE landfall_bfd_discarded_packets_total counter
landfall_bfd_discarded_packets_total{peer="10.0.0.2",reason="authentication"} 0
landfall_bfd_discarded_packets_total{peer="10.0.0.2",reason="length"} 1
landfall_bfd_discarded_packets_total{peer="10.0.0.2",reason="multiplier"} 0
landfall_bfd_discarded_packets_total{peer="10.0.0.2",reason="multipoint"} 0
landfall_bfd_discarded_packets_total{peer="10.0.0.2",reason="my_discriminator"} 0
landfall_bfd_discarded_packets_total{peer="10.0.0.2",reason="version"} 0
landfall_bfd_discarded_packets_total{peer="10.0.0.2",reason="your_discriminator"} 0
# HELP landfall_bfd_received_packets_total Packets of the peer that were taken.
# TYPE landfall_bfd_received_packets_total counter
landfall_bfd_received_packets_total{peer="10.0.0.2"} 1
# HELP landfall_bfd_session_state State of the session (RFC 5880 section 6.2): 0 held down, 1 down, 2 init, 3 up.
# TYPE landfall_bfd_session_state gauge
landfall_bfd_session_state{peer="10.0.0.2"} 2
# HELP landfall_bfd_unknown_peer_packets_total Packets from no peer that got past the kernel.
# TYPE landfall_bfd_unknown_peer_packets_total counter
landfall_bfd_unknown_peer_packets_total 1
`
	err = testutil.GatherAndCompare(registry, strings.NewReader(want), "landfall_bfd_session_state", "landfall_bfd_detection_seconds",
		"landfall_bfd_received_packets_total", "landfall_bfd_discarded_packets_total", "landfall_bfd_unknown_peer_packets_total")
	if err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry); n < 17 || err != nil {
		t.Errorf("%d metrics, %v", n, err)
	}
	if _, err := New(cfg); err == nil {
		t.Error("a second server on the same registry was accepted")
	}
}
