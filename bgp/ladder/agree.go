package ladder

import "time"

// Ask is the question of a node that wants to step down, to all others:
// will you stay?
type Ask struct {
	Node uint8  `json:"node"`
	Pop  string `json:"pop"`
	Life int64  `json:"life"`
	Seq  uint64 `json:"seq"` // of the asker's record that says Stepping
	Wide bool   `json:"wide,omitempty"`
}

// Answer is what another node says to an Ask.
type Answer struct {
	Node uint8 `json:"node"`
	// Stays promises that the node, which announces, will not step down
	// before it has heard what came of the asker's step, or Rules.Promise is
	// over.
	Stays bool `json:"stays"`
	// Busy tells that it steps down itself, and that the asker has to wait.
	Busy bool `json:"busy,omitempty"`
}

// Agreement keeps two nodes from counting on each other at once. A node
// steps down on promises of others to stay, and not while it has one
// outstanding itself; of two that ask each other, the one with the lower id
// goes on and the other promises. A node that has promised and dies breaks
// its promise: that is what BFD is for. The zero Agreement is ready.
//
// It follows Ricart and Agrawala's mutual exclusion (1981), with ids for
// time stamps, and with an end to every promise, as nodes crash.
type Agreement struct {
	asking  *Ask
	granted map[uint8]grant
}

// grant is a promise that this node gave.
type grant struct {
	life  int64
	seq   uint64
	until time.Time
}

// Begin starts to ask. It fails while this node's own promises are
// outstanding.
func (a *Agreement) Begin(ask Ask, now time.Time) bool {
	if a.bound(now) {
		return false
	}
	a.asking = &ask
	return true
}

// End ends what Begin began, and reports whether this node still may step:
// it may not when it has given way to another meanwhile.
func (a *Agreement) End() bool {
	kept := a.asking != nil
	a.asking = nil
	return kept
}

// Asked answers another node. serves tells whether this node announces and
// is not about to stop.
func (a *Agreement) Asked(self Record, ask Ask, rules Rules, now time.Time) Answer {
	answer := Answer{Node: self.Node}
	if ask.Wide && ask.Pop == self.Pop {
		return answer // a PoP that goes as a whole does not count on its own
	}
	if a.asking != nil {
		if self.Node < ask.Node {
			answer.Busy = true
			return answer
		}
		a.asking = nil
	}
	if !self.serves() {
		return answer
	}
	if a.granted == nil {
		a.granted = map[uint8]grant{}
	}
	a.granted[ask.Node] = grant{ask.Life, ask.Seq, now.Add(rules.Promise)}
	answer.Stays = true
	return answer
}

// Heard ends a promise once the node that it was given to says that its step
// is over, has started anew, or stops.
func (a *Agreement) Heard(r Record) {
	g, ok := a.granted[r.Node]
	if ok && (r.Life != g.life || r.Leaving || r.Seq > g.seq && !r.Stepping) {
		delete(a.granted, r.Node)
	}
}

// bound tells whether a promise of this node is outstanding.
func (a *Agreement) bound(now time.Time) bool {
	for node, g := range a.granted {
		if now.Before(g.until) {
			return true
		}
		delete(a.granted, node)
	}
	return false
}
