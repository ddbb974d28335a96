// Package ladder decides how far a node announces itself: normal, less
// preferred, about to go (RFC 8326), or not at all. It owns the checks'
// classes, the interlocks, the agreement between nodes before one steps
// down, and the loop that carries decisions out. It never looks at traffic
// and never speaks BGP: that is a bgp.Speaker's.
//
// What a decision is made of is passed in, the time too, so that the rules
// are tested as functions: Tracker for hold-downs, Judge for interlocks,
// Agreement for promises, State.Decide for the rung.
package ladder
