// Package must states what cannot be false unless we made a mistake. It
// is never for what a user, a client, an origin or a peer can cause. The
// panic is recovered at the request or connection that met it.
package must

import "fmt"

// True panics with "BUG:" and the message when ok is false.
func True(ok bool, format string, args ...any) {
	if !ok {
		panic("BUG: " + fmt.Sprintf(format, args...))
	}
}
