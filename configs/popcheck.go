package configs

import (
	"fmt"
	"net/netip"
)

// The rules about the nodes of a PoP and of the fleet.

// checkPop wants the two keys together that make a node one of several, and
// siblings that are somebody else.
func (n *Node) checkPop(in scope) {
	switch {
	case n.Pop != nil && !in.has("listen.peer"):
		in.errorf("pop", "needs listen.peer, an address of this node where the others ask it; add listen: { peer: %q }", n.Pop.suggestedPeer())
	case n.Pop == nil && in.has("listen.peer"):
		in.errorf("listen.peer", "has no effect without pop, as no other node is known; add pop, or remove it")
	}
	if n.Listen.Peer.IsValid() && !unicast(n.Listen.Peer.Addr()) {
		in.errorf("listen.peer", "%s is not one address; the others are told it, expected one of this node that they can reach", n.Listen.Peer)
	}
	if n.Pop == nil {
		return
	}
	for i, s := range n.Pop.Siblings {
		key := fmt.Sprintf("pop.siblings[%d].", i)
		if s.ID == n.Node.ID && s.ID != 0 {
			in.errorf(key+"id", "%d is this node's own; every node of the fleet has another", s.ID)
		}
		if s.Pop == n.Node.Pop && s.Pop != "" {
			in.errorf(key+"pop", "%s is this node's own PoP, whose nodes find one another; siblings are those of other PoPs", s.Pop)
		}
	}
}

// suggestedPeer is an example for a message.
func (p *Pop) suggestedPeer() string {
	const port = 7443
	if a := p.Listen.Addr(); a.IsValid() && unicast(a) {
		return netip.AddrPortFrom(a, port).String()
	}
	return fmt.Sprintf("10.0.0.11:%d", port)
}

func (p *Pop) check(in scope) {
	if p.Listen.IsValid() && !unicast(p.Listen.Addr()) {
		in.errorf("listen", "%s is not one address; the others are told it, expected one of this node that they can reach", p.Listen)
	}
	ids, peers := make(map[uint8]int), make(map[netip.AddrPort]int)
	for i, s := range p.Siblings {
		key := fmt.Sprintf("siblings[%d].", i)
		if other, dup := ids[s.ID]; dup && s.ID != 0 {
			in.errorf(key+"id", "%d is siblings[%d] already; every node of the fleet has another", s.ID, other)
		} else {
			ids[s.ID] = i
		}
		if !s.Peer.IsValid() {
			continue
		}
		if other, dup := peers[s.Peer]; dup {
			in.errorf(key+"peer", "%s is siblings[%d] already; remove one", s.Peer, other)
		} else {
			peers[s.Peer] = i
		}
		if !unicast(s.Peer.Addr()) || s.Peer.Port() == 0 {
			in.errorf(key+"peer", "%s is no node's address; expected the sibling's listen.peer", s.Peer)
		}
	}
}

func (e *ECH) check(in scope) {
	if isAddr(e.PublicName) {
		in.errorf("public_name", "%s is an address; clients take a name only (RFC 9849, 6.1.7)", e.PublicName)
	}
}
