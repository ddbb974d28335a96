package policy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quicNode listens as an HTTP/3 server does, with the keys of its policy's
// ring, and accepts until the test ends.
type quicNode struct {
	addr     *net.UDPAddr
	accepted chan *quic.Conn // those that there is room for
}

func newQUICNode(t *testing.T, p *Policy, verify func(net.Addr) bool) *quicNode {
	t.Helper()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	token, reset := quic.TokenGeneratorKey(p.tickets.TokenKey()), quic.StatelessResetKey(p.tickets.ResetKey())
	tr := &quic.Transport{Conn: udp, TokenGeneratorKey: &token, StatelessResetKey: &reset, VerifySourceAddress: verify}
	ln, err := tr.ListenEarly(http3.ConfigureTLSConfig(p.ServerConfig()), &quic.Config{Allow0RTT: true})
	if err != nil {
		t.Fatal(err)
	}
	n := &quicNode{addr: udp.LocalAddr().(*net.UDPAddr), accepted: make(chan *quic.Conn, 16)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept(context.Background())
			if err != nil {
				return
			}
			select {
			case n.accepted <- conn:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		_ = tr.Close()
		_ = udp.Close()
		<-done
	})
	return n
}

// route is what stands between one client and two nodes: it forwards
// datagrams to one of them at a time, and both see one address.
type route struct {
	near, far *net.UDPConn
	to        atomic.Pointer[net.UDPAddr]
	client    atomic.Pointer[net.UDPAddr]
	// onReturn is called with the sender before a datagram goes to the
	// client.
	onReturn func(r *route, from *net.UDPAddr)
}

func newRoute(t *testing.T, to *net.UDPAddr, onReturn func(r *route, from *net.UDPAddr)) *route {
	t.Helper()
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	r := &route{near: listen(), far: listen(), onReturn: onReturn}
	r.to.Store(to)
	var work sync.WaitGroup
	work.Go(func() {
		r.copy(r.near, func(b []byte, from *net.UDPAddr) {
			r.client.Store(from)
			_, _ = r.far.WriteToUDP(b, r.to.Load())
		})
	})
	work.Go(func() {
		r.copy(r.far, func(b []byte, from *net.UDPAddr) {
			if r.onReturn != nil {
				r.onReturn(r, from)
			}
			_, _ = r.near.WriteToUDP(b, r.client.Load())
		})
	})
	t.Cleanup(func() {
		_ = r.near.Close()
		_ = r.far.Close()
		work.Wait()
	})
	return r
}

func (r *route) copy(from *net.UDPConn, handle func([]byte, *net.UDPAddr)) {
	b := make([]byte, 64<<10)
	for {
		n, addr, err := from.ReadFromUDP(b)
		if err != nil {
			return
		}
		handle(b[:n], addr)
	}
}

func (r *route) addr() string { return r.near.LocalAddr().String() }

func clientTLS(host string, c *carrier) *tls.Config {
	conf := &tls.Config{ServerName: host, InsecureSkipVerify: true, NextProtos: []string{"h3"}}
	if c != nil {
		conf.ClientSessionCache = c
	}
	return conf
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestEarlyDataOnTheOtherNode: what a client sends with its first flight is
// taken by a node it has never met, and by no other site.
func TestEarlyDataOnTheOtherNode(t *testing.T) {
	for _, tc := range []struct {
		to   string
		want bool
	}{{"a.test", true}, {"b.test", false}} {
		t.Run(tc.to, func(t *testing.T) {
			nodes := twoNodes(t)
			first, second := newQUICNode(t, nodes[0], nil), newQUICNode(t, nodes[1], nil)
			ctx, c := within(t), newCarrier()
			conn, err := quic.DialAddr(ctx, first.addr.String(), clientTLS("a.test", c), nil)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-c.got:
			case <-ctx.Done():
				t.Fatal("the first node sent no ticket")
			}
			_ = conn.CloseWithError(0, "")
			conn, err = quic.DialAddrEarly(ctx, second.addr.String(), clientTLS(tc.to, c), nil)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-conn.HandshakeComplete():
			case <-ctx.Done():
				t.Fatal("the handshake does not end")
			}
			if got := conn.ConnectionState(); got.Used0RTT != tc.want || got.TLS.DidResume != tc.want {
				t.Errorf("early data used %v, session resumed %v; want %v", got.Used0RTT, got.TLS.DidResume, tc.want)
			}
			_ = conn.CloseWithError(0, "")
		})
	}
}

// TestRetryOnTheOtherNode: a client that one node has told to prove its
// address proves it to the other.
func TestRetryOnTheOtherNode(t *testing.T) {
	nodes := twoNodes(t)
	always := func(net.Addr) bool { return true }
	first, second := newQUICNode(t, nodes[0], always), newQUICNode(t, nodes[1], always)
	var asked atomic.Int32
	r := newRoute(t, first.addr, func(r *route, from *net.UDPAddr) {
		if from.Port == first.addr.Port {
			asked.Add(1)
			r.to.Store(second.addr)
		}
	})
	conn, err := quic.DialAddr(within(t), r.addr(), clientTLS("a.test", nil), nil)
	if err != nil {
		t.Fatalf("the Retry token of one node was not taken by the other: %v", err)
	}
	defer conn.CloseWithError(0, "")
	if asked.Load() == 0 {
		t.Error("the first node did not ask for proof")
	}
	select {
	case <-second.accepted:
	case <-time.After(time.Minute):
		t.Error("the second node has no connection")
	}
}

// TestResetByTheOtherNode: a client whose packets begin to arrive at
// another node learns at once that its connection is gone.
func TestResetByTheOtherNode(t *testing.T) {
	nodes := twoNodes(t)
	first, second := newQUICNode(t, nodes[0], nil), newQUICNode(t, nodes[1], nil)
	r := newRoute(t, first.addr, nil)
	ctx := within(t)
	conn, err := quic.DialAddr(ctx, r.addr(), clientTLS("a.test", nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	select {
	case served := <-first.accepted:
		greet(ctx, t, served, conn)
	case <-ctx.Done():
		t.Fatal("the first node has no connection")
	}
	r.to.Store(second.addr)
	stream, err := conn.OpenUniStreamSync(ctx)
	if err == nil {
		_, err = stream.Write(make([]byte, 500))
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-conn.Context().Done():
	case <-ctx.Done():
		t.Fatal("the client still waits")
	}
	var reset *quic.StatelessResetError
	if err := context.Cause(conn.Context()); !errors.As(err, &reset) {
		t.Errorf("the connection ended with %v, want a stateless reset", err)
	}
}

// greet brings a byte from server to client once both have done with the
// handshake, whose packets are never answered with a reset.
func greet(ctx context.Context, t *testing.T, server, client *quic.Conn) {
	t.Helper()
	select {
	case <-server.HandshakeComplete():
	case <-ctx.Done():
		t.Fatal("the handshake does not end")
	}
	out, err := server.OpenUniStreamSync(ctx)
	if err == nil {
		_, err = out.Write([]byte{1})
	}
	if err != nil {
		t.Fatal(err)
	}
	in, err := client.AcceptUniStream(ctx)
	if err == nil {
		_, err = in.Read(make([]byte, 1))
	}
	if err != nil {
		t.Fatal(err)
	}
}
