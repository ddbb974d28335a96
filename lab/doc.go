// Package lab tests the program as its users have it: the real binary,
// real origins, real clients, real routers. It holds no code of the
// program's own.
package lab
