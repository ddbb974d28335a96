// Package affinity decides which node owns a key. It owns the view (the
// nodes and their states at one generation), the table that every node
// computes from it (partition to owner), and the place that a table gives
// a key. It is pure: no goroutine, socket, clock, lock or log. It never
// learns who is alive, moves nothing, and does not know what a key means;
// whoever yields views and swaps tables does.
package affinity
