// Package members learns by gossip which nodes a PoP has, and yields views.
// It owns the gossip socket, what nodes say of themselves, who may be a
// member when two claim the same id, and how long one that is gone is
// remembered. It decides nothing about keys, brings no request anywhere and
// never compares clocks of two nodes. What it knows is lost when the process
// ends: a node that starts asks others again.
package members
