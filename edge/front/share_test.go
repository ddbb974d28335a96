package front

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// deaf is a socket on which nothing arrives: what a sender of forged
// addresses has.
type deaf struct{ net.PacketConn }

func (d *deaf) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		if n, a, err := d.PacketConn.ReadFrom(p); err != nil {
			return n, a, err
		}
	}
}

func (*deaf) SetReadBuffer(int) error  { return nil }
func (*deaf) SetWriteBuffer(int) error { return nil }

// TestForgedAddressUsesNobodysShare: handshakes that are only begun do not
// count for limits.ConnsPerClient.
func TestForgedAddressUsesNobodysShare(t *testing.T) {
	r := start(t, func(_ context.Context, w exchange.Writer, _ *exchange.Request) { _ = w.Head(200, nil, 0) },
		func(c *Config) { c.Limits.ConnsPerClient = 1 })
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	transport := &quic.Transport{Conn: &deaf{socket}}
	defer func() { _ = transport.Close(); _ = socket.Close() }()
	conf := r.tls.Clone()
	conf.NextProtos = []string{"h3"}
	ctx, cancel := context.WithCancel(t.Context())
	dialled := make(chan struct{})
	go func() {
		defer close(dialled)
		_, _ = transport.Dial(ctx, net.UDPAddrFromAddrPort(r.HTTPSAddrs()[0]), conf, nil) // no answer is heard
	}()
	waitFor(t, "handshake that was begun", func() bool { return r.open.count() > 0 })
	if _, err := r.client(t, exchange.HTTP2).Get(r.url("https")); err != nil {
		t.Errorf("a client of that address: %v", err)
	}
	if n := r.counters.Hits(limits.ConnsPerClient); n != 0 {
		t.Errorf("the limit was met %d times", n)
	}
	cancel()
	<-dialled
}

// TestLateDrainOfAHandshake: one that is over leaves the deadlines to the
// server that has the connection now.
func TestLateDrainOfAHandshake(t *testing.T) {
	for _, over := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server, client := net.Pipe()
			c := &tcpConn{wire: wire.NewConn(server, true, wire.Pace{})}
			if over {
				c.done()
			}
			c.Drain()
			ended := make(chan struct{})
			go func() { defer close(ended); _, _ = c.wire.Read(make([]byte, 1)) }()
			passed := time.NewTimer(2 * hurried)
			select {
			case <-ended:
				if over {
					t.Error("the drain of a handshake that is over ended a read")
				}
			case <-passed.C:
				if !over {
					t.Error("a handshake goes on though the node drains")
				}
			}
			_ = client.Close()
			<-ended
		})
	}
}
