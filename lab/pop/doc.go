// Package pop tests several nodes that are one PoP: real processes that
// gossip, relay and change, real clients that come to any of them, and an
// origin that notes who asked for what. It holds no code of the program's
// own, and touches nothing of the machine but loopback addresses and network
// namespaces that it makes and removes.
package pop
