package exchange

import "time"

// Ask is what another node of the fleet wants with a request that it brings
// here. A request is brought once: the node that is asked answers, or
// declines, and never asks on.
type Ask uint8

// What a node may be asked.
const (
	AskNothing Ask = iota // the request comes from a client
	AskFill               // answer as the owner of the key
	AskStored             // answer from what is stored and fresh, or decline
	AskSession            // answer as the owner of the session, or decline when another node is
	AskHome               // the same, from a node that does not know who owned the session before: decline when such a one may hold it
	AskHeld               // answer if the session is held here, or decline
	AskAnyway             // answer: no other node will
	numAsks
)

// String returns the word that logs and metrics use.
func (a Ask) String() string {
	return [numAsks]string{"nothing", "fill", "stored", "session", "home", "held", "anyway"}[a]
}

// Asks returns everything that can be asked.
func Asks() []Ask { return []Ask{AskFill, AskStored, AskSession, AskHome, AskHeld, AskAnyway} }

// Valid reports whether a is something that can be asked.
func (a Ask) Valid() bool { return a > AskNothing && a < numAsks }

// Relayed says whether the request came over the authenticated listener for
// nodes, and so has had its one hop. No field of a request can say so.
func (r *Request) Relayed() bool { return r.Asked != AskNothing }

// Copy is what the node that owns a response says of it to the node that it
// gives it to, so that a copy is never fresher than what it is a copy of.
type Copy struct {
	// Kept says that the owner has the response for all who ask. One that
	// it has not is neither stored nor shared by others.
	Kept bool
	// Age is the response's age when the owner answered, and Fresh the
	// freshness that it had left; not positive for a stale one.
	Age, Fresh time.Duration
	// Inherited says that the node which has it now owns the key: it is no
	// longer a copy of what another has, though it is as old.
	Inherited bool
	// Abroad says that the node which gave it is of another PoP. What that
	// has to tell, it has told its own.
	Abroad bool
	// Purges is how far in the sequence of purges the owner was.
	Purges uint64
}

// PeerWriter is the Writer of a relayed request: a node is told more than a
// client.
type PeerWriter interface {
	Writer
	// Copy says what the response is a copy of, before Head.
	Copy(c Copy)
	// Fail says, in place of Head, why no response could be had.
	Fail(e *Error)
	// Decline says, in place of Head, that the answer is not this node's to
	// give; owner is the node whose it seems to be, 0 when that is unknown.
	Decline(owner uint8)
}
