package bgp

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := Status{
			WantedGeneration: 3, AppliedGeneration: 2, Announced: 4, Restarts: 5, LeasesLost: 6,
			Beat: time.Now(), Down: "too many crashes",
			Peers: []PeerStatus{
				{Address: addr("10.0.0.1"), State: Established, Received: 7, Alarms: 8},
				{Address: addr("fd00::1"), Quarantine: time.Now(), Quarantines: 9},
			},
		}
		time.Sleep(50 * time.Millisecond)
		const want = `
# HELP landfall_bgp_announced_prefixes Prefixes in the speaker's table.
# TYPE landfall_bgp_announced_prefixes gauge
landfall_bgp_announced_prefixes 4
# HELP landfall_bgp_generation_applied Generation in force; 0 when nothing is announced for want of a speaker or a lease.
# TYPE landfall_bgp_generation_applied gauge
landfall_bgp_generation_applied 2
# HELP landfall_bgp_generation_wanted Generation of the newest desired state.
# TYPE landfall_bgp_generation_wanted gauge
landfall_bgp_generation_wanted 3
# HELP landfall_bgp_lease_age_seconds Time since the lease was last renewed; absent before the first time.
# TYPE landfall_bgp_lease_age_seconds gauge
landfall_bgp_lease_age_seconds 0.05
# HELP landfall_bgp_leases_lost_total How often the speaker withdrew everything because the data plane fell silent.
# TYPE landfall_bgp_leases_lost_total counter
landfall_bgp_leases_lost_total 6
# HELP landfall_bgp_peer_quarantined 1 while there is no session with the peer because speakers ended when there was one.
# TYPE landfall_bgp_peer_quarantined gauge
landfall_bgp_peer_quarantined{peer="10.0.0.1"} 0
landfall_bgp_peer_quarantined{peer="fd00::1"} 1
# HELP landfall_bgp_peer_quarantines_total How often that began.
# TYPE landfall_bgp_peer_quarantines_total counter
landfall_bgp_peer_quarantines_total{peer="10.0.0.1"} 0
landfall_bgp_peer_quarantines_total{peer="fd00::1"} 9
# HELP landfall_bgp_received_routes_alarms_total How often the peer began to send more than 64 routes.
# TYPE landfall_bgp_received_routes_alarms_total counter
landfall_bgp_received_routes_alarms_total{peer="10.0.0.1"} 8
landfall_bgp_received_routes_alarms_total{peer="fd00::1"} 0
# HELP landfall_bgp_received_routes Routes the peer sent; all are ignored, it should send none.
# TYPE landfall_bgp_received_routes gauge
landfall_bgp_received_routes{peer="10.0.0.1"} 7
landfall_bgp_received_routes{peer="fd00::1"} 0
# HELP landfall_bgp_session_state State of the session (RFC 4271 section 8.2.2): 1 idle, 2 connect, 3 active, 4 open-sent, 5 open-confirm, 6 established.
# TYPE landfall_bgp_session_state gauge
landfall_bgp_session_state{peer="10.0.0.1"} 6
landfall_bgp_session_state{peer="fd00::1"} 1
# HELP landfall_bgp_speaker_down 1 when the speaker stays down until the node is started anew.
# TYPE landfall_bgp_speaker_down gauge
landfall_bgp_speaker_down 1
# HELP landfall_bgp_speaker_restarts_total How often the speaker was started again.
# TYPE landfall_bgp_speaker_restarts_total counter
landfall_bgp_speaker_restarts_total 5
`
		if err := testutil.CollectAndCompare(NewCollector(func() Status { return status }), strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}

func TestSessionStateText(t *testing.T) {
	for s := range numStates {
		text, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back SessionState
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%d -> %q -> %d, %v", s, text, back, err)
		}
	}
	if err := new(SessionState).UnmarshalText([]byte("asleep")); err == nil {
		t.Error("an unknown state was accepted")
	}
}
