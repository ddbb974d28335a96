// Package attack is the corpus of hostile traffic that the program is
// tested with: requests that two readers could read in two ways, frames in
// the wrong order, floods, bombs, responses that no origin should send.
// Each case drives the real binary and is judged by what the client saw
// and by the very bytes that reached the origin. It holds no code of the
// program's own, and none of a case's verdict depends on the program's
// logs.
package attack
