package front

import (
	"net/netip"
	"sync"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// perClient bounds the open connections of each client address.
type perClient struct {
	limit    int
	counters *limits.Counters

	// Guarded by mu.
	mu   sync.Mutex
	open map[netip.Addr]int
}

func newPerClient(limit int, counters *limits.Counters) *perClient {
	return &perClient{limit: limit, counters: counters, open: map[netip.Addr]int{}}
}

// clientOf is the unit that the bound counts by: a host in IPv4, a /64 in
// IPv6, where one host has as many addresses as it likes.
func clientOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // cannot fail: 64 is within 128
		return p.Addr()
	}
	return a
}

func (p *perClient) acquire(client netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[client] >= p.limit {
		p.counters.Hit(limits.ConnsPerClient)
		return false
	}
	p.open[client]++
	return true
}

func (p *perClient) release(client netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[client]--; p.open[client] == 0 {
		delete(p.open, client)
	}
}
