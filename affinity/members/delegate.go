package members

import (
	"encoding/binary"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/landfall-cdn/landfall/affinity"
)

// settings returns how memberlist is set up; see Tuning for the arithmetic.
func (m *Members) settings() *memberlist.Config {
	c, t := memberlist.DefaultLANConfig(), m.conf.Tuning
	// A name for each start: memberlist knows no two of one name, and the
	// rules for two nodes with one id are ours.
	c.Name = fmt.Sprintf("%d-%016x", m.self.ID, m.self.instance)
	c.Label, c.SecretKey = m.conf.Pop, m.conf.Key
	c.BindAddr, c.BindPort = m.transport.addr.Addr().String(), int(m.transport.addr.Port())
	c.Transport = m.transport
	if m.conf.wrap != nil {
		c.Transport = m.conf.wrap(m.transport)
	}
	c.ProbeInterval, c.ProbeTimeout = t.ProbeInterval, t.ProbeTimeout
	c.GossipInterval, c.GossipNodes = t.GossipInterval, 4
	c.PushPullInterval = t.SyncInterval
	c.TCPTimeout = t.JoinTimeout
	// Others' confirmations do not shorten the suspicion, which is as short as
	// it may be; and who had one probe fail does not probe more slowly.
	c.SuspicionMult, c.SuspicionMaxTimeoutMult, c.AwarenessMaxMultiplier = 3, 1, 1
	c.EnableCompression = false // what is said is short
	c.Logger = log.New(m.lines, "", 0)
	d := delegate{m}
	c.Delegate, c.Events, c.Alive = d, d, d
	return c
}

// delegate is what memberlist calls, mostly while it holds its own lock:
// nothing here may block or call it.
type delegate struct{ m *Members }

// NodeMeta returns what this node says of itself.
func (d delegate) NodeMeta(int) []byte {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	self := d.m.self
	self.uptime = time.Since(d.m.started)
	return self.encode()
}

// NotifyAlive refuses nodes that cannot be members.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	said, err := parseMeta(n.Meta)
	if err != nil {
		d.m.met(unreadable, address(n).String())
		return fmt.Errorf("what it says of itself cannot be read: %w", err)
	}
	if said.pop != d.m.conf.Pop {
		d.m.met(otherPop, address(n).String())
		return fmt.Errorf("it is of PoP %q", said.pop)
	}
	return nil
}

// NotifyJoin is told of nodes that are new or came back.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.heard(n) }

// NotifyUpdate is told of nodes that say something else of themselves.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.heard(n) }

func (d delegate) heard(n *memberlist.Node) {
	said, err := parseMeta(n.Meta)
	m := d.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil || said.instance == m.self.instance {
		return // NotifyAlive has refused it, or it is this node
	}
	started := time.Now().Add(-said.uptime)
	c := m.claims[n.Name]
	if c == nil {
		c = &claim{started: started}
		m.claims[n.Name] = c
	}
	c.meta, c.addr, c.until = said, address(n), time.Time{}
	if started.Before(c.started) {
		c.started = started // what took less time to get here
	}
	delete(m.former, c.addr)
	poke(m.changedC)
}

// NotifyLeave is told of nodes that went, by their own word or not.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	m := d.m
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.claims[n.Name]
	if c == nil {
		return
	}
	now := time.Now()
	c.until = now.Add(m.conf.Tuning.Quarantine)
	c.refused = ""
	if c.taken {
		m.former[c.addr] = now.Add(m.conf.Tuning.Remember)
	}
	poke(m.changedC)
}

func address(n *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port)
}

// NotifyMsg is not used.
func (delegate) NotifyMsg([]byte) {}

// GetBroadcasts is not used.
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }

// goneFormat is the first byte of what LocalState returns.
const goneFormat = 1

// LocalState tells nodes that join, and now and then all others, who went
// lately: memberlist itself does not tell a node of one that it never knew.
// Each is its id, the whole seconds left, its address and its name, with
// their lengths.
func (d delegate) LocalState(bool) []byte {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	now, b := time.Now(), []byte{goneFormat}
	for _, c := range d.m.claims {
		left := c.until.Sub(now) / time.Second
		if c.alive() || !c.taken || left <= 0 || left > 1<<16-1 {
			continue
		}
		addr, _ := c.addr.MarshalBinary() // has no errors to return
		b = append(b, byte(c.ID))
		b = binary.BigEndian.AppendUint16(b, uint16(left))
		b = append(append(b, byte(len(addr))), addr...)
		b = append(append(b, byte(len(c.Name))), c.Name...)
	}
	return b
}

// MergeRemoteState takes over what LocalState of another node returned.
func (d delegate) MergeRemoteState(b []byte, _ bool) {
	gone := parseGone(b)
	m := d.m
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, g := range gone {
		if m.knows(g.claim) || g.left > m.conf.Tuning.Quarantine {
			continue
		}
		g.until = now.Add(g.left)
		m.claims[fmt.Sprintf("gone-%d-%s", g.ID, g.Name)] = &g.claim
		poke(m.changedC)
	}
}

// knows tells whether a node that went is known, alive or not. It is called
// with mu held.
func (m *Members) knows(gone claim) bool {
	if gone.ID == m.self.ID && gone.Name == m.self.Name {
		return true
	}
	for _, c := range m.claims {
		if c.ID == gone.ID && c.Name == gone.Name {
			return true
		}
	}
	return false
}

// departed is a node that went, as another node remembers it.
type departed struct {
	claim
	left time.Duration
}

// parseGone reads what LocalState wrote, as far as it can be read.
func parseGone(b []byte) (out []departed) {
	if len(b) == 0 || b[0] != goneFormat {
		return nil
	}
	for b = b[1:]; len(b) >= 4; {
		g := departed{left: time.Duration(binary.BigEndian.Uint16(b[1:])) * time.Second}
		g.ID, g.L4, g.L7, g.taken = affinity.NodeID(b[0]), affinity.Gone, affinity.Gone, true
		addr, rest, ok := prefixed(b[3:])
		if !ok || g.addr.UnmarshalBinary(addr) != nil {
			return out
		}
		name, rest, ok := prefixed(rest)
		if !ok || len(name) == 0 || len(name) > maxText || g.ID == 0 {
			return out
		}
		g.Name, b = string(name), rest
		out = append(out, g)
	}
	return out
}

// prefixed cuts off a value that follows its length.
func prefixed(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}
