// Package pop is the operator's view of a PoP: what the admin address says
// of the nodes and of the ring, and how a node is sent away and taken back.
// It owns the shapes of the answers, the handlers under /v1/, and what a
// drain would change; it never knows how a node learns or does any of it.
package pop

import (
	"context"
	"errors"
	"time"
)

// Pop is what the handlers ask of a node. All its methods may be called at
// once, and answer within the context.
type Pop interface {
	// Nodes returns what this node knows of every node of the PoP, itself
	// included, in the order of ids.
	Nodes(ctx context.Context) []Node
	// Drain has a node go: it keeps accepting, gives new keys and sessions to
	// others, has routers look for other paths and tells clients to leave. It
	// returns once the node has begun. Sessions that it holds stay until the
	// deadline has passed. Draining a node that drains changes its deadline.
	Drain(ctx context.Context, name string, d Departure) error
	// Undrain takes a node back, whatever its drain has reached. Undraining
	// an active node changes nothing.
	Undrain(ctx context.Context, name string) error
	// Progress returns how far a node's drain has come.
	Progress(ctx context.Context, name string) (Progress, error)
	Routes
	// Ring returns the table in force on this node.
	Ring() Ring
	// Locate returns whose a key is. A URL stands for the cache key of a GET
	// request for it.
	Locate(keyOrURL string) (Located, error)
}

// What Pop's methods may fail with, wrapped in what to do about it. Any
// other error is a fault of the node.
var (
	ErrNoNode   = errors.New("no such node")
	ErrRefused  = errors.New("refused") // by an interlock, or by a state that does not allow it
	ErrBadKey   = errors.New("no key")  // a URL that no site serves, for one
	ErrNotHeard = errors.New("no answer from the node")
)

// The admin states of a node: what its operator wants.
const (
	AdminActive   = "active"
	AdminDraining = "draining"
)

// Unknown is the word for a state that this node has not been told.
const Unknown = "unknown"

// AnnounceNone is the word for the announcement of a node without BGP.
const AnnounceNone = "none"

// The words for whether a node can be asked over the relay.
const (
	RelaySelf        = "self"
	RelayReachable   = "reachable"
	RelayUnreachable = "unreachable"
)

// Node is one node, as the node that was asked sees it. What the operator
// wants, how the node is and what is announced are three things, never one.
type Node struct {
	ID   uint8  `json:"id"`
	Name string `json:"name"`
	Pop  string `json:"pop"`
	Self bool   `json:"self,omitempty"` // the node that was asked

	Admin    string `json:"admin"`    // AdminActive, AdminDraining, Unknown
	Health   string `json:"health"`   // ok, degraded, failed, Unknown
	Announce string `json:"announce"` // normal, deprefer, gshut, withdrawn, none, Unknown

	L4      string  `json:"l4"` // joining, active, draining, gone
	L7      string  `json:"l7"`
	Weight  int     `json:"weight"`
	Share   float64 `json:"share_percent"` // of the table
	Peer    string  `json:"peer"`          // address of the relay
	Relay   string  `json:"relay"`
	Version string  `json:"version"`
	Sites   string  `json:"sites"` // hash of the set of sites, hexadecimal; "" when not known

	// Load is nil while the node has not told.
	Load *Load `json:"load"`
	// Age is how old what is said here is, in seconds.
	Age float64 `json:"age_seconds"`
}

// Load is what a node holds.
type Load struct {
	Sessions    int `json:"sessions"` // affinity sessions that it owns and has served lately
	Connections int `json:"connections"`
	HTTP1       int `json:"http1"`
	HTTP2       int `json:"http2"`
	HTTP3       int `json:"http3"`
	// Earlier are the connections from before the drain in progress; 0
	// while there is none.
	Earlier  int `json:"earlier"`
	InFlight int `json:"in_flight"` // exchanges, tunnels included
	Tunnels  int `json:"tunnels"`   // WebSockets and the like
	// Accepted counts connections since the process started.
	Accepted uint64 `json:"accepted"`
	// Announced tells that routes still lead to a node that drains.
	Announced bool `json:"announced"`
}

// The states of a drain.
const (
	StateActive   = "active"   // the node does not drain
	StateDraining = "draining" // something is left that the drain waits for
	StateDrained  = "drained"  // nothing is
	StateExpired  = "expired"  // the deadline has passed, and something is left
)

// Progress is how far a node's drain has come.
type Progress struct {
	Node  string `json:"node"`
	State string `json:"state"`
	// Elapsed and Deadline are times since the drain began, in seconds.
	Elapsed  float64 `json:"elapsed_seconds"`
	Deadline float64 `json:"deadline_seconds"`
	Phase    string  `json:"phase,omitempty"`
	Announce string  `json:"announce"` // as of a Node
	Load
}

// The phases of a drain.
const (
	PhaseConverging = "converging" // routers look for other paths, new connections cease
	PhaseLeaving    = "leaving"    // clients are told to go
	PhaseWithdrawn  = "withdrawn"  // no route leads here
)

// Judge returns the state of a drain that began elapsed ago: it has come to
// its end when no route leads to the node, no session is held, nothing is
// tunnelled and no connection from before is left. Connections that came later are asked to leave too,
// but as long as routes lead here there will be some.
func Judge(l Load, elapsed, deadline time.Duration) string {
	switch {
	case !l.Announced && l.Sessions == 0 && l.Tunnels == 0 && l.Earlier == 0:
		return StateDrained
	case elapsed >= deadline:
		return StateExpired
	}
	return StateDraining
}

// Ring is the table in force.
type Ring struct {
	Generation uint64   `json:"generation"` // of the view that the table is of
	Hash       string   `json:"hash"`       // of all owners, hexadecimal: equal on nodes with equal views
	Partitions int      `json:"partitions"`
	Members    []Member `json:"members"` // by id
}

// Member is a node's part of the table.
type Member struct {
	ID         uint8   `json:"id"`
	Name       string  `json:"name"`
	L7         string  `json:"l7"`
	Weight     int     `json:"weight"`
	Partitions int     `json:"partitions"`
	Share      float64 `json:"share_percent"`
}

// Located is whose a key is.
type Located struct {
	Key       string `json:"key"`
	Site      string `json:"site,omitempty"` // of a URL
	Partition int    `json:"partition"`
	// Owner is nil while no node is active.
	Owner *Ref `json:"owner"`
	// Previous are the owners before it that can still be asked, newest first.
	Previous   []Ref  `json:"previous"`
	Generation uint64 `json:"generation"`
}

// Ref names a node.
type Ref struct {
	ID   uint8  `json:"id"`
	Name string `json:"name"`
	Self bool   `json:"self,omitempty"` // the node that was asked
}
