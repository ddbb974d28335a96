package policy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/landfall-cdn/landfall/tls/tickets"
)

// twoNodes are two nodes of a PoP with the same two sites, of different
// tenants.
func twoNodes(t *testing.T) [2]*Policy { return nodesWithEpoch(t, time.Hour) }

func nodesWithEpoch(t *testing.T, epoch time.Duration) (nodes [2]*Policy) {
	t.Helper()
	cert := issued(t, authority(t), "a.test", "b.test")
	for i := range nodes {
		ring, err := tickets.New(tickets.Config{Secret: bytes.Repeat([]byte{7}, tickets.MinSecret), Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = New(Config{Tickets: ring})
		swap(t, nodes[i], "", SiteConfig{Name: "a", Hostnames: []string{"a.test"}, Certificates: cert},
			SiteConfig{Name: "b", Hostnames: []string{"b.test"}, Certificates: cert})
	}
	return nodes
}

// TestSessionsAcrossNodes: a session resumes at its own site on every node,
// and at another's on none.
func TestSessionsAcrossNodes(t *testing.T) {
	for _, proto := range protocols() {
		t.Run(proto.name, func(t *testing.T) {
			nodes := twoNodes(t)
			for from := range nodes {
				for to := range nodes {
					for _, host := range []string{"a.test", "b.test"} {
						c := newCarrier()
						if proto.dial(t, nodes[from], "a.test", c) {
							t.Fatal("the first connection was resumed")
						}
						if got, want := proto.dial(t, nodes[to], host, c), host == "a.test"; got != want {
							t.Errorf("a session of a.test on node %d, at %s on node %d: resumed %v, want %v", from, host, to, got, want)
						}
					}
				}
			}
		})
	}
}

// TestSessionsAcrossClocks: nodes that are an epoch apart understand each
// other.
func TestSessionsAcrossClocks(t *testing.T) {
	for _, proto := range protocols() {
		t.Run(proto.name, func(t *testing.T) {
			nodes := twoNodes(t)
			nodes[1].rotate(time.Now().Add(time.Hour))
			for from := range nodes {
				c := newCarrier()
				proto.dial(t, nodes[from], "a.test", c)
				if !proto.dial(t, nodes[1-from], "a.test", c) {
					t.Errorf("a session of node %d was not resumed on the other, an epoch away", from)
				}
			}
		})
	}
}

// TestRotationUnderLoad: with keys that change every second for a minute,
// clients that come back to either node within an epoch are never refused
// and never start anew.
func TestRotationUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pause = 470 * time.Millisecond
		nodes := nodesWithEpoch(t, time.Second)
		ctx, stop := context.WithCancel(t.Context())
		var running, clients sync.WaitGroup
		for _, p := range nodes {
			running.Go(func() {
				if err := p.Run(ctx, func() {}); err != nil {
					t.Errorf("Run = %v", err)
				}
			})
		}
		for n := range 4 {
			version := []uint16{tls.VersionTLS12, tls.VersionTLS13}[n%2]
			conf := &tls.Config{
				ServerName: []string{"a.test", "b.test"}[n/2], MinVersion: version, MaxVersion: version,
				InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1),
			}
			clients.Go(func() {
				end := time.Now().Add(time.Minute)
				for turn := 0; time.Now().Before(end); turn++ {
					state, _, err := handshake(nodes[(turn/2)%2].ServerConfig(), conf)
					if err != nil {
						t.Errorf("client %d, turn %d: %v", n, turn, err)
					} else if got, want := state.DidResume, turn > 0; got != want {
						t.Errorf("client %d, turn %d: resumed %v, want %v", n, turn, got, want)
					}
					time.Sleep(pause)
				}
			})
		}
		clients.Wait()
		stop()
		running.Wait()
	})
}

// TestRotationUnderLoadOverQUIC: the same over sockets, with rotations as
// fast as clients come.
func TestRotationUnderLoadOverQUIC(t *testing.T) {
	const turns = 24
	nodes := twoNodes(t)
	var addrs [2]string
	for i, p := range nodes {
		addrs[i] = newQUICNode(t, p, nil).addr.String()
	}
	ctx := within(t)
	var clients sync.WaitGroup
	came, gone := make(chan struct{}), make(chan struct{})
	for n := range 3 {
		cache := tls.NewLRUClientSessionCache(1)
		clients.Go(func() {
			for turn := range turns {
				if err := visit(ctx, addrs[turn%2], cache); err != nil {
					t.Errorf("client %d, turn %d: %v", n, turn, err)
				}
				came <- struct{}{}
			}
		})
	}
	go func() {
		defer close(gone)
		now := time.Now()
		for range 3 * turns {
			<-came
			now = now.Add(time.Hour / 2)
			for _, p := range nodes {
				p.rotate(now)
			}
		}
	}()
	clients.Wait()
	<-gone
}

func visit(ctx context.Context, addr string, cache tls.ClientSessionCache) error {
	conf := clientTLS("a.test", nil)
	conf.ClientSessionCache = cache
	conn, err := quic.DialAddr(ctx, addr, conf, nil)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	return conn.CloseWithError(0, "")
}
