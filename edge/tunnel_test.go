package edge

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// joined runs a join between two pipes and gives their far ends.
func joined(limit time.Duration) (client, origin net.Conn, silent <-chan bool) {
	client, c := net.Pipe()
	o, origin := net.Pipe()
	ended := make(chan bool, 1)
	j := &join{client: c, origin: o, limit: limit}
	go func() { ended <- j.run() }()
	return client, origin, ended
}

func TestTunnelCarriesBothWaysUntilOneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, origin, ended := joined(time.Hour)
		for _, way := range [][2]net.Conn{{client, origin}, {origin, client}} {
			go func() { _, _ = way[0].Write([]byte("hello")) }()
			buf := make([]byte, 5)
			if _, err := io.ReadFull(way[1], buf); err != nil || string(buf) != "hello" {
				t.Errorf("%q, %v", buf, err)
			}
		}
		_ = client.Close()
		if <-ended {
			t.Error("ended by silence, want by the client")
		}
		if _, err := origin.Read(make([]byte, 1)); err == nil {
			t.Error("the origin's side is still open")
		}
	})
}

// TestSilentTunnelIsClosed: limits.TunnelIdle ends a tunnel that neither
// side uses; a byte in either direction starts the wait anew.
func TestSilentTunnelIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Hour
		client, origin, ended := joined(limit)
		start := time.Now()
		time.Sleep(limit - time.Minute)
		go func() { _, _ = origin.Write([]byte("x")) }()
		if _, err := client.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if !<-ended {
			t.Error("ended otherwise than by silence")
		}
		if got, want := time.Since(start), 2*limit-time.Minute; got != want {
			t.Errorf("ended after %v, want %v", got, want)
		}
		_, _ = client.Close(), origin.Close()
	})
}

// halfCloser is a side that can end one direction.
type halfCloser struct {
	net.Conn
	ended chan struct{}
}

func (h *halfCloser) CloseWrite() error { close(h.ended); return nil }

func TestHalfCloseIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, c := net.Pipe()
		o, origin := net.Pipe()
		half := &halfCloser{Conn: o, ended: make(chan struct{})}
		ended := make(chan bool, 1)
		j := &join{client: c, origin: half, limit: time.Hour}
		go func() { ended <- j.run() }()
		_ = client.Close()
		<-half.ended // the origin learns that nothing more comes
		_ = origin.Close()
		<-ended
	})
}
