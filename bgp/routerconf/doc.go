// Package routerconf writes the router's half of a node's BGP sessions: the
// configuration that BIRD 2 or FRR needs for the sessions of one node file.
// It owns what that half has to say so that the node's half is safe, and the
// words for it. It never reads a secret and never talks to a router.
//
// The router's half decides what is safe: it takes the VIPs and nothing else,
// sends nothing, takes GRACEFUL_SHUTDOWN (RFC 8326) for what it is, does not
// keep routes of a node that is gone, and spreads load over all nodes.
package routerconf
