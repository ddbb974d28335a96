package policy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// carrier is a session cache that offers its one session to whatever
// server is dialled, as no honest client does.
type carrier struct {
	session *tls.ClientSessionState
	got     chan struct{}
}

func newCarrier() *carrier { return &carrier{got: make(chan struct{}, 16)} }

func (c *carrier) Get(string) (*tls.ClientSessionState, bool) { return c.session, c.session != nil }

func (c *carrier) Put(_ string, s *tls.ClientSessionState) {
	if s != nil && c.session == nil {
		c.session = s
		c.got <- struct{}{}
	}
}

// protocol is a way to reach the sites of a policy; dial reports whether
// the session of the carrier was resumed, and returns once the carrier has
// one.
type protocol struct {
	name string
	dial func(t *testing.T, p *Policy, host string, c *carrier) (resumed bool)
}

func overTCP(version uint16) protocol {
	return protocol{name: tls.VersionName(version), dial: func(t *testing.T, p *Policy, host string, c *carrier) bool {
		t.Helper()
		cs, _, err := handshake(p.ServerConfig(), &tls.Config{
			ServerName: host, MinVersion: version, MaxVersion: version,
			InsecureSkipVerify: true, ClientSessionCache: c,
		})
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		return cs.DidResume
	}}
}

// overQUIC dials one listener for each policy, made at the first dial, as a
// listener has to follow the policy for all its life.
func overQUIC() protocol {
	listeners := map[*Policy]net.Addr{}
	return protocol{name: "QUIC", dial: func(t *testing.T, p *Policy, host string, c *carrier) bool {
		t.Helper()
		addr := listeners[p]
		if addr == nil {
			addr = serveQUIC(t, p)
			listeners[p] = addr
		}
		had := c.session != nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		conn, err := quic.DialAddr(ctx, addr.String(), &tls.Config{
			ServerName: host, InsecureSkipVerify: true, NextProtos: []string{"h3"}, ClientSessionCache: c,
		}, nil)
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		if !had {
			select {
			case <-c.got:
			case <-ctx.Done():
				t.Fatal("the server sent no ticket")
			}
		}
		resumed := conn.ConnectionState().TLS.DidResume
		_ = conn.CloseWithError(0, "")
		return resumed
	}}
}

// serveQUIC listens as an HTTP/3 server does and accepts until the test
// ends.
func serveQUIC(t *testing.T, p *Policy) net.Addr {
	t.Helper()
	n := newQUICNode(t, p, nil)
	return n.addr
}

func protocols() []protocol {
	return []protocol{overTCP(tls.VersionTLS12), overTCP(tls.VersionTLS13), overQUIC()}
}

func TestRefusalOverQUIC(t *testing.T) {
	p := twoSites(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := quic.DialAddr(ctx, serveQUIC(t, p).String(), &tls.Config{ServerName: "stranger.test", NextProtos: []string{"h3"}}, nil)
	// A TLS alert is a transport error of 0x100 plus its number (RFC 9001, 4.8).
	var refused *quic.TransportError
	if !errors.As(err, &refused) || refused.ErrorCode != 0x100+alertUnrecognizedName {
		t.Errorf("handshake = %v, want alert %d", err, alertUnrecognizedName)
	}
	if got := p.refusals(unknownName); got != 1 {
		t.Errorf("refused %v times, want once", got)
	}
}

// twoSites serves both sites with one certificate, so that nothing but the
// ticket keys keeps them apart.
func twoSites(t *testing.T) *Policy {
	t.Helper()
	ca := authority(t)
	cert := issued(t, ca, "a.test", "b.test")
	p := newPolicy(t, nil)
	swap(t, p, "", SiteConfig{Name: "a", Hostnames: []string{"a.test"}, Certificates: cert},
		SiteConfig{Name: "b", Hostnames: []string{"b.test"}, Certificates: cert})
	return p
}

func TestSessionsDoNotCrossSites(t *testing.T) {
	for _, proto := range protocols() {
		t.Run(proto.name, func(t *testing.T) {
			p := twoSites(t)
			for _, from := range []string{"a.test", "b.test"} {
				for _, to := range []string{"a.test", "b.test"} {
					c := newCarrier()
					if proto.dial(t, p, from, c) {
						t.Fatal("the first connection was resumed")
					}
					if got, want := proto.dial(t, p, to, c), from == to; got != want {
						t.Errorf("a session of %s at %s: resumed %v, want %v", from, to, got, want)
					}
				}
			}
		})
	}
}

// TestSessionsWouldCross shows that the matrix above can fail: with equal
// keys, a session of one site is resumed at the other.
func TestSessionsWouldCross(t *testing.T) {
	for _, proto := range protocols() {
		t.Run(proto.name, func(t *testing.T) {
			p := twoSites(t)
			for _, s := range p.table.Load().sites {
				s.tls.SetSessionTicketKeys([][32]byte{{1}})
			}
			c := newCarrier()
			proto.dial(t, p, "a.test", c)
			if !proto.dial(t, p, "b.test", c) {
				t.Error("with equal keys the session was not resumed: the carrier does not carry")
			}
		})
	}
}

// TestRotationReachesListeners: on a listener that is open all the while, a
// session outlives one rotation and not two.
func TestRotationReachesListeners(t *testing.T) {
	for _, proto := range protocols() {
		t.Run(proto.name, func(t *testing.T) {
			p := twoSites(t)
			c := newCarrier()
			proto.dial(t, p, "a.test", c)
			now := time.Now()
			for i, want := range []bool{true, true, false} {
				p.rotate(now.Add(time.Duration(i) * time.Hour))
				if got := proto.dial(t, p, "a.test", c); got != want {
					t.Errorf("after %d epochs: resumed %v, want %v", i, got, want)
				}
			}
		})
	}
}

func TestSessionsOutliveASwap(t *testing.T) {
	p := twoSites(t)
	proto, c := overTCP(tls.VersionTLS13), newCarrier()
	proto.dial(t, p, "a.test", c)
	swap(t, p, "", SiteConfig{Name: "a", Hostnames: []string{"a.test"}, Certificates: issued(t, authority(t), "a.test")})
	if !proto.dial(t, p, "a.test", c) {
		t.Error("the site's session was not resumed after its config was replaced")
	}
}

func TestRunRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := twoSites(t)
		ctx, cancel := context.WithCancel(t.Context())
		ready, done := make(chan struct{}), make(chan error)
		go func() { done <- p.Run(ctx, func() { close(ready) }) }()
		<-ready
		proto, c := overTCP(tls.VersionTLS13), newCarrier()
		proto.dial(t, p, "a.test", c)
		start := time.Now()
		for _, want := range []bool{true, true, false} {
			if got := proto.dial(t, p, "a.test", c); got != want {
				t.Errorf("after %v: resumed %v, want %v", time.Since(start), got, want)
			}
			time.Sleep(time.Until(p.tickets.Rotation(time.Now())))
			synctest.Wait()
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// TestSwapAfterARotation: a table that was built before a rotation and is
// swapped in after it seals with the keys of its time.
func TestSwapAfterARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, nil)
		table, err := p.Build([]SiteConfig{{Name: "a", Hostnames: []string{"a.test"}, Certificates: issued(t, authority(t), "a.test")}}, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		p.Swap(table)
		proto, c := overTCP(tls.VersionTLS13), newCarrier()
		proto.dial(t, p, "a.test", c)
		p.rotate(time.Now())
		if !proto.dial(t, p, "a.test", c) {
			t.Error("the table sealed with other keys than those of the time")
		}
	})
}
