package members

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// portTries is how often a port of the system's choice is tried: the one
// that is free for TCP may not be for UDP.
const portTries = 10

// transport is memberlist's with connections from the address that this
// node is known by, which end with the node.
type transport struct {
	*memberlist.NetTransport
	// Static after openTransport.
	ctx    context.Context // ends dials
	cancel context.CancelFunc
	addr   netip.AddrPort
}

// openTransport listens at an address for datagrams and connections.
func openTransport(at netip.AddrPort, to *log.Logger) (*transport, error) {
	conf := &memberlist.NetTransportConfig{
		BindAddrs: []string{at.Addr().String()}, BindPort: int(at.Port()), Logger: to,
	}
	var inner *memberlist.NetTransport
	var err error
	for range portTries {
		if inner, err = memberlist.NewNetTransport(conf); err == nil || at.Port() != 0 {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen address %s: %w", at, err)
	}
	t := &transport{NetTransport: inner, addr: netip.AddrPortFrom(at.Addr(), uint16(inner.GetAutoBindPort()))}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t, nil
}

// DialTimeout connects to another node.
func (t *transport) DialTimeout(addr string, limit time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: limit, LocalAddr: &net.TCPAddr{IP: t.addr.Addr().AsSlice()}}
	return d.DialContext(t.ctx, "tcp", addr)
}

// DialAddressTimeout connects to another node.
func (t *transport) DialAddressTimeout(a memberlist.Address, limit time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, limit)
}

// Shutdown closes the sockets and waits for their readers.
func (t *transport) Shutdown() error {
	t.cancel()
	return t.NetTransport.Shutdown()
}
