package pop

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// isRetry reports whether a packet of QUIC version 1 is a Retry (RFC 9000,
// 17.2.5).
func isRetry(packet []byte) bool { return len(packet) > 0 && packet[0]&0xf0 == 0xf0 }

// hasToken reports whether a packet of QUIC version 1 is an Initial packet
// with a token (RFC 9000, 17.2.2).
func hasToken(packet []byte) bool {
	const ids = 5 // where the connection IDs begin: after the first byte and the version
	if len(packet) <= ids || packet[0]&0xf0 != 0xc0 {
		return false
	}
	rest := packet[ids:]
	for range 2 {
		if len(rest) == 0 || len(rest) <= int(rest[0]) {
			return false
		}
		rest = rest[1+rest[0]:]
	}
	return len(rest) > 0 && rest[0] != 0
}

// router brings a client's packets to one node until the client shows a
// token, and then to another: a route has changed.
type router struct {
	client net.PacketConn // where the client sends to
	nodes  net.PacketConn
	back   atomic.Pointer[net.Addr]

	mu      sync.Mutex
	retries map[string]int // packets, by the address of the node
}

func newRouter(t testing.TB, first, then *node) *router {
	t.Helper()
	listen := func() net.PacketConn {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		return c
	}
	resolve := func(n *node) *net.UDPAddr {
		a, err := net.ResolveUDPAddr("udp", n.https())
		must(t, err)
		return a
	}
	r := &router{client: listen(), nodes: listen(), retries: map[string]int{}}
	var both sync.WaitGroup
	both.Go(func() { r.forth(resolve(first), resolve(then)) })
	both.Go(r.bring)
	t.Cleanup(func() {
		_, _ = r.client.Close(), r.nodes.Close()
		both.Wait()
	})
	return r
}

// forth brings what the client sends to the nodes.
func (r *router) forth(to, then net.Addr) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := r.client.ReadFrom(buf)
		if err != nil {
			return
		}
		if hasToken(buf[:n]) {
			to = then
		}
		r.back.Store(&from)
		_, _ = r.nodes.WriteTo(buf[:n], to)
	}
}

// bring brings what the nodes send back.
func (r *router) bring() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := r.nodes.ReadFrom(buf)
		if err != nil {
			return
		}
		if isRetry(buf[:n]) {
			r.mu.Lock()
			r.retries[from.String()]++
			r.mu.Unlock()
		}
		_, _ = r.client.WriteTo(buf[:n], *r.back.Load())
	}
}

// seen is how many Retry packets a node has sent.
func (r *router) seen(n *node) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retries[n.https()]
}

// get sends one request by way of the router.
func (r *router) get(t testing.TB, p *pop, url string) {
	t.Helper()
	rt := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: p.roots},
		Dial: func(ctx context.Context, _ string, conf *tls.Config, qconf *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, r.client.LocalAddr().String(), conf, qconf)
		},
	}
	defer func() { _ = rt.Close() }()
	get(t, &http.Client{Transport: rt, Timeout: patience}, url)
}

// halfOpen leaves a node with a handshake that does not go on: whoever
// comes next has to show first that its address is its own.
func halfOpen(t testing.TB, n *node) {
	t.Helper()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	to, err := net.ResolveUDPAddr("udp", n.https())
	must(t, err)
	tr := &quic.Transport{Conn: deaf{silent}}
	ctx, cancel := context.WithCancel(t.Context())
	var dial sync.WaitGroup
	dial.Go(func() {
		_, _ = tr.Dial(ctx, to, &tls.Config{ServerName: "one" + domain, NextProtos: []string{"h3"}}, nil)
	})
	t.Cleanup(func() { cancel(); dial.Wait(); _, _ = tr.Close(), silent.Close() })
	waitFor(t, "demand for Retry at "+n.name, func() bool {
		probe := newRouter(t, n, n)
		probe.get(t, n.pop, "https://one"+domain+"/s/echo")
		return probe.seen(n) > 0
	})
}

// deaf is a socket that hears nothing.
type deaf struct{ net.PacketConn }

// ReadFrom implements net.PacketConn.
func (d deaf) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if _, _, err := d.PacketConn.ReadFrom(b); err != nil {
			return 0, nil, err
		}
	}
}

// TestRetryAtAnyNode: a client that one node has sent away with a token to
// show that its address is its own shows it at another.
func TestRetryAtAnyNode(t *testing.T) {
	p := twoSites(t, "limits: { half_open: 1, handshake_time: 1m }\n")
	for _, n := range p.nodes {
		halfOpen(t, n)
	}
	for i, from := range p.nodes {
		to := p.nodes[(i+1)%len(p.nodes)]
		r := newRouter(t, from, to)
		r.get(t, p, "https://one"+domain+"/s/echo")
		if r.seen(from) == 0 || r.seen(to) != 0 {
			t.Errorf("%s sent %d Retry packets, %s sent %d: want a token of the first that is good at the second", from.name, r.seen(from), to.name, r.seen(to))
		}
	}
}
