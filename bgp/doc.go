// Package bgp decides what a node announces: its VIPs once it can serve
// them, nothing once it is told to stop. It owns the configuration of
// the node's BGP, the desired state and what is known of the sessions.
// It never speaks BGP itself: a Speaker does, in a process of its own
// (package speaker), so that a crash of the protocol code costs no
// packet. It accepts no route from anybody, and it knows nothing of the
// traffic it attracts; whoever wires it says when the node is ready.
package bgp
