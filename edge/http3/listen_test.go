package http3

import (
	"crypto/tls"
	"net"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// TestSocketState: what the kernel did not give is said, once for each kind.
func TestSocketState(t *testing.T) {
	for _, tc := range []struct {
		name  string
		state socketState
		lines int
	}{
		{"all there", socketState{readBuffer: socketBuffer, writeBuffer: 2 * socketBuffer, segmentation: true}, 0},
		{"small buffers", socketState{readBuffer: socketBuffer, writeBuffer: 212992, segmentation: true}, 1},
		{"nothing", socketState{}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			core, seen := observer.New(zapcore.WarnLevel)
			tc.state.log(zap.New(core))
			if seen.Len() != tc.lines {
				t.Errorf("%d lines, want %d: %v", seen.Len(), tc.lines, seen.All())
			}
		})
	}
}

// TestTuneSocket: on any Linux the socket gets a buffer, and segmentation
// unless it was turned off.
func TestTuneSocket(t *testing.T) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	t.Setenv("QUIC_GO_DISABLE_GSO", "true")
	if s := tuneSocket(socket); s.readBuffer == 0 || s.writeBuffer == 0 || s.segmentation {
		t.Errorf("got %+v", s)
	}
}

// TestListenFails: an endpoint that cannot be opened closes its socket.
func TestListenFails(t *testing.T) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(socket, ListenConfig{TLS: &tls.Config{}, Limits: limits.Default()}); err == nil {
		t.Error("listening on a closed socket works")
	}
}
